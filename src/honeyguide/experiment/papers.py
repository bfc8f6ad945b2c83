"""Papers, their claims, and the state of their reproduction."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from honeyguide.core.errors import UnknownNameError
from honeyguide.experiment.planned import SEEDS
from honeyguide.experiment.records import read_json

Profile = Literal["cpu", "paper"]
Verdict = Literal["holds", "does not hold", "not testable"]
Result = Mapping[str, Any]

PROFILES: tuple[Profile, ...] = ("cpu", "paper")
_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parents[2] / "benchmarks" / "results" / "papers"
_SHIPPED = _PACKAGE / "evidence"
RESULTS = _CHECKOUT if _CHECKOUT.parents[1].is_dir() else Path("honeyguide-papers")

# Seed -> the module that declares its PAPER.
_MODULES = {
    12: "honeyguide.experiment.claims.reloop2",
    14: "honeyguide.experiment.claims.easyrec",
    17: "honeyguide.experiment.claims.llm4dsr",
    18: "honeyguide.agent.claims.recbot",
    19: "honeyguide.experiment.claims.tim4rec",
    21: "honeyguide.experiment.claims.lorec",
    25: "honeyguide.experiment.claims.lightgnn",
    26: "honeyguide.experiment.claims.recsae",
    29: "honeyguide.experiment.claims.bigrec",
    32: "honeyguide.experiment.claims.vat",
    37: "honeyguide.experiment.claims.metrics_survey",
    38: "honeyguide.experiment.claims.alpharec",
    41: "honeyguide.experiment.claims.ada_retrieval",
    49: "honeyguide.experiment.claims.rel_mf",
    50: "honeyguide.experiment.claims.cml",
    52: "honeyguide.experiment.claims.llm_ratings",
    56: "honeyguide.experiment.claims.knn_embed",
    58: "honeyguide.experiment.claims.llm_answers",
    59: "honeyguide.experiment.claims.hllm",
    60: "honeyguide.experiment.claims.lite_llm4rec",
}


def evidence_file(seed: int, profile: str = "cpu") -> str:
    """Name of the file with the evidence of a paper."""
    return f"{seed:02d}.json" if profile == "cpu" else f"{seed:02d}-{profile}.json"


def verdict(holds: bool) -> Verdict:
    """In the words of the evidence."""
    return "holds" if holds else "does not hold"


@dataclass(frozen=True)
class Cell:
    """One resumable piece of work: data x system x seed.

    Parameters
    ----------
    id
        Names its result file.
    run
        Does it and returns a JSON-able result.
    """

    id: str
    run: Callable[[Profile], Result]


@dataclass(frozen=True)
class Judgement:
    """What the cells say about a claim.

    Parameters
    ----------
    value
        The figure found, in words or as a number.
    verdict
        Whether the claim holds.
    ci
        95 % interval of the value, where it is a mean.
    note
        What must be known to read it: exceptions with their reasons, or what is missing.
    """

    value: float | str
    verdict: Verdict
    ci: tuple[float, float] | None = None
    note: str | None = None


@dataclass(frozen=True)
class Claim:
    """Something the paper, or its card, says, and how it is put to the test.

    Parameters
    ----------
    id
        Short name.
    text
        The claim.
    dataset, metric
        What it is about.
    floor
        What the value has to reach.
    cells
        The work.
    judge
        From the results of the cells, by id, to a judgement.
    """

    id: str
    text: str
    dataset: str
    metric: str
    floor: float | str
    cells: tuple[Cell, ...]
    judge: Callable[[Mapping[str, Result]], Judgement]


@dataclass(frozen=True)
class Paper:
    """A paper and what is claimed of it here.

    Parameters
    ----------
    seed
        Its number.
    module
        Where its code is.
    claims
        At most one may be not testable.
    """

    seed: int
    module: str
    claims: tuple[Claim, ...]

    @property
    def name(self) -> str:
        """Short name."""
        return SEEDS[self.seed][0]

    @property
    def kind(self) -> str:
        """What it contributes."""
        return SEEDS[self.seed][1]


def paper(seed: int) -> Paper:
    """The paper with that number.

    Raises
    ------
    UnknownNameError
        If there is none, or it is only planned.
    """
    if seed not in _MODULES:
        kind = "paper that can be reproduced yet" if seed in SEEDS else "paper"
        raise UnknownNameError(kind, str(seed), [str(known) for known in _MODULES])
    found: Paper = importlib.import_module(_MODULES[seed]).PAPER
    return found


def status(results: Path = RESULTS) -> dict[str, Any]:
    """Every paper with its state and its evidence: ``{"papers": [...]}``, from stored results alone.

    Parameters
    ----------
    results
        Folder of result files, one per paper; what was shipped with honeyguide stands in where
        it has none.
    """
    return {"papers": [_status(seed, results) for seed in sorted(SEEDS)]}


def _status(seed: int, results: Path) -> dict[str, Any]:
    name, kind = SEEDS[seed]
    evidence = evidence_of(seed, results) if seed in _MODULES else []
    verdicts = [entry["verdict"] for entry in evidence]
    if not evidence:
        state = "planned"
    elif verdicts.count("not testable") <= 1 and "does not hold" not in verdicts:
        state = "working"
    else:
        state = "partial"
    module = paper(seed).module if seed in _MODULES else None
    return {"seed": seed, "name": name, "kind": kind, "module": module, "state": state, "evidence": evidence}


def evidence_of(seed: int, results: Path = RESULTS) -> list[dict[str, Any]]:
    """What is stored of a paper's claims: in the profile cpu, then those that were also tested in full."""
    files = [evidence_file(seed, profile) for profile in PROFILES]
    stored = [read_json(results / file) or read_json(_SHIPPED / file) or {} for file in files]
    return [entry for content in stored for entry in content.get("evidence", [])]


def to_markdown(found: Mapping[str, Any]) -> str:
    """The page ``docs/papers.md`` from what :func:`status` found."""
    papers = found["papers"]
    working = sum(entry["state"] == "working" for entry in papers)
    text = [
        "# Papers",
        "",
        "Generated by `honeyguide papers --markdown` from stored results; not written by hand.",
        "",
        f"{working} of {len(papers)} papers work; each claim below was put to the test by the command beside it.",
        "",
        "| seed | paper | kind | state | claims that hold |",
        "|---:|---|---|---|---|",
    ]
    for entry in papers:
        held = sum(e["verdict"] == "holds" for e in entry["evidence"])
        share = f"{held} of {len(entry['evidence'])}" if entry["evidence"] else ""
        text.append(f"| {entry['seed']:02d} | {entry['name']} | {entry['kind']} | {entry['state']} | {share} |")
    for entry in papers:
        if entry["evidence"]:
            text += ["", *_section(entry)]
    return "\n".join(text) + "\n"


def _section(entry: Mapping[str, Any]) -> list[str]:
    """The claims of one paper."""
    text = [
        f"## {entry['seed']:02d} {entry['name']}",
        "",
        f"Code: `{entry['module']}`.",
        "",
        "| claim | data | metric | value | to reach | verdict | command |",
        "|---|---|---|---|---|---|---|",
    ]
    notes = []
    for e in entry["evidence"]:
        value = shown(e["value"]) + (f" [{shown(e['ci'][0])}, {shown(e['ci'][1])}]" if e["ci"] else "")
        cells = (e["claim"], e["dataset"], e["metric"], value, shown(e["floor"]), e["verdict"], f"`{e['command']}`")
        text.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        if e.get("note"):
            notes += ["", f"{e['claim']}: {e['note']}"]
    return text + notes


def shown(value: float | str) -> str:
    """A value of the evidence for a table."""
    return value if isinstance(value, str) else f"{value:.4g}"
