from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from honeyguide.core.errors import ConfigError, DataError, HoneyguideError, UnknownNameError
from honeyguide.experiment import papers, reproduce
from honeyguide.experiment.claims import metrics_survey
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, paper, status, to_markdown
from honeyguide.experiment.planned import SEEDS

EVIDENCE = {"claim", "dataset", "metric", "value", "ci", "floor", "verdict", "command"}


def entry(verdict: str) -> dict[str, Any]:
    return {
        "claim": "a | b",
        "dataset": "d",
        "metric": "m",
        "value": 0.123456,
        "ci": [0.1, 0.2],
        "floor": "at least .1",
        "verdict": verdict,
        "command": "honeyguide reproduce 37",
        "note": "a note",
    }


def store(folder: Path, *verdicts: str) -> dict[str, Any]:
    (folder / "37.json").write_text(json.dumps({"evidence": [entry(v) for v in verdicts]}))
    return next(p for p in status(folder)["papers"] if p["seed"] == 37)


def test_without_results_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(papers, "_SHIPPED", tmp_path)
    found = status(tmp_path)["papers"]
    assert [p["seed"] for p in found] == list(range(61))
    for each in found:
        assert set(each) == {"seed", "name", "kind", "module", "state", "evidence"}
        assert each["state"] == "planned"
        assert each["evidence"] == []


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        (["holds", "holds"], "working"),
        (["holds", "not testable"], "working"),
        (["not testable", "not testable"], "partial"),
        (["holds", "does not hold"], "partial"),
    ],
)
def test_the_state_follows_from_the_verdicts(verdicts: list[str], state: str, tmp_path: Path) -> None:
    assert store(tmp_path, *verdicts)["state"] == state


def test_the_page_is_made_from_the_results(tmp_path: Path) -> None:
    store(tmp_path, "holds", "does not hold")
    page = to_markdown(status(tmp_path))
    assert "| 37 | Evaluation metrics survey | metrics | partial | 1 of 2 |" in page
    assert "a \\| b | d | m | 0.1235 [0.1, 0.2] | at least .1 | holds | `honeyguide reproduce 37` |" in page
    assert all(f"| {name} |" in page for name, _ in SEEDS.values())


def test_unknown_papers_and_profiles_are_named(tmp_path: Path) -> None:
    planned = next(seed for seed in SEEDS if seed not in papers._MODULES)
    with pytest.raises(UnknownNameError, match=f"no paper that can be reproduced yet named '{planned}'"):
        paper(planned)
    with pytest.raises(UnknownNameError, match="no paper named '99'"):
        paper(99)
    with pytest.raises(UnknownNameError, match="no profile named 'gpu'"):
        reproduce.reproduce(37, "gpu", tmp_path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A paper of two claims over three cells, one of which fails while ``fail`` is in the list."""
    called: list[str] = []

    def work(name: str) -> Cell:
        def run(profile: str) -> dict[str, Any]:
            called.append(name)
            if name == "c" and "fail" in called:
                raise DataError("the data is not here.", "Fetch it.")
            return {"value": 0.5, "profile": profile}

        return Cell(name, run)

    def judge(results: Any) -> Judgement:
        value = sum(result["value"] for result in results.values())
        return Judgement(value, "holds" if value >= 1 else "does not hold", ci=(0.0, 1.0))

    claims = tuple(
        Claim(name, f"claim {name}", "d", "m", 1.0, tuple(work(cell) for cell in cells), judge)
        for name, cells in (("first", "ab"), ("second", "c"))
    )
    made = Paper(37, "honeyguide.metrics", claims)
    monkeypatch.setattr(reproduce, "paper", lambda seed: made)

    def here(module: str, arguments: list[str], path: Path) -> Any:
        reproduce.main(arguments[0], arguments[1], "cpu", arguments[3])
        return json.loads(path.read_text())

    monkeypatch.setattr(reproduce, "run_module", here)
    return called


def test_reproducing_stores_the_evidence(calls: list[str], tmp_path: Path) -> None:
    found = reproduce.reproduce(37, "cpu", tmp_path)
    assert calls == ["a", "b", "c"]
    assert json.loads((tmp_path / "37.json").read_text()) == found
    first, second = found["evidence"]
    assert set(first) - {"note"} == EVIDENCE
    assert (first["value"], first["verdict"], first["ci"]) == (1.0, "holds", [0.0, 1.0])
    assert second["verdict"] == "does not hold"
    assert second["command"] == "honeyguide reproduce 37"


def test_finished_cells_are_kept_and_failed_ones_run_again(calls: list[str], tmp_path: Path) -> None:
    calls.append("fail")
    with pytest.raises(HoneyguideError, match="the data is not here"):
        reproduce.reproduce(37, "cpu", tmp_path)
    assert not (tmp_path / "37.json").exists()
    calls.clear()
    reproduce.reproduce(37, "cpu", tmp_path)
    assert calls == ["c"]
    calls.clear()
    reproduce.reproduce(37, "cpu", tmp_path)
    assert calls == []
    reproduce.reproduce(37, "cpu", tmp_path, fresh=True)
    assert calls == ["a", "b", "c"]


def test_some_claims_alone_and_what_was_finished_before(calls: list[str], tmp_path: Path) -> None:
    found = reproduce.reproduce(37, "cpu", tmp_path, claims=["second"], jobs=2)
    assert calls == ["c"]
    assert [e["claim"] for e in found["evidence"]] == ["claim second"]
    calls.clear()
    found = reproduce.reproduce(37, "cpu", tmp_path, claims=["first"])
    assert calls == ["a", "b"]
    assert [e["claim"] for e in found["evidence"]] == ["claim first", "claim second"]
    assert (tmp_path / "37-cpu" / "c.json").is_file()
    with pytest.raises(UnknownNameError, match="no claim named 'third'"):
        reproduce.reproduce(37, "cpu", tmp_path, claims=["third"])
    with pytest.raises(ConfigError, match="jobs is 0"):
        reproduce.reproduce(37, "cpu", tmp_path, jobs=0)


def test_the_full_thing_stands_beside_the_small_one(calls: list[str], tmp_path: Path) -> None:
    reproduce.reproduce(37, "cpu", tmp_path)
    full = reproduce.reproduce(37, "paper", tmp_path, claims=["first"])
    assert full["evidence"][0]["command"] == "honeyguide reproduce 37 --profile paper --claim first"
    assert json.loads((tmp_path / "37-paper.json").read_text()) == full
    stored = papers.evidence_of(37, tmp_path)
    assert [e["command"].partition(" --")[2] for e in stored] == ["", "", "profile paper --claim first"]


def test_a_cell_of_the_first_paper_in_its_own_process(tmp_path: Path) -> None:
    cell = metrics_survey.PAPER.claims[4].cells[0]
    path = tmp_path / f"{cell.id}.json"
    record = reproduce._cell(37, cell, "cpu", path, fresh=False)
    assert record["result"]["cpu_seconds"] >= 0
    assert record["peak_rss_mb"] > 10
    assert metrics_survey.PAPER.claims[4].judge({cell.id: record["result"]}).value == record["result"]["cpu_seconds"]


def test_judgements_of_the_first_paper() -> None:
    claims = {claim.id: claim for claim in metrics_survey.PAPER.claims}
    held = {"holds": True, "reason": None, "system": "A"}
    lost = {"holds": False, "reason": None, "system": "A"}
    absent = {"holds": False, "reason": "never released", "system": "B"}
    judge = claims["published"].judge
    assert judge({"published": {"cells": [held, absent]}}).verdict == "holds"
    assert judge({"published": {"cells": [held, absent]}}).note == "B: never released"
    assert judge({"published": {"cells": [held, lost]}}) == Judgement("1 of 2 cells", "does not hold")
    worst = {"sklearn": {"worst": {"mae": 0.0}, "ndcg": 1e-8}}
    assert claims["sklearn"].judge(worst).verdict == "does not hold"
    page = {"reference-page": {"metrics": 3, "incomplete": ["x"], "absent": []}}
    assert claims["reference-page"].judge(page).value == "2 of 3"


def test_missing_measuring_data_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HONEYGUIDE_DATA", raising=False)
    with pytest.raises(DataError, match="HONEYGUIDE_DATA"):
        metrics_survey.PAPER.claims[2].cells[0].run("cpu")
