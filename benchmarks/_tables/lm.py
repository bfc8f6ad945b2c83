"""Language models: what the packaged one costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from _tables import MISSING, bar_line, bars, digits, made_by, markdown, paper_cell, table
from honeyguide.experiment.records import read_json
from result_file import RESULTS, read_result

_NAMES = {"smollm2": "llama.cpp", "transformers:smollm2": "transformers"}
_BAR = 4.0


@table("lm-speed")
def lm_speed() -> str:
    """Loading, reading, writing and choosing, on one thread."""
    result = read_result("lm_speed")
    if result is None:
        return MISSING
    header = [
        "back end",
        "loading, s",
        "reads, tokens/s",
        "writes, tokens/s",
        "a choice among 20 titles: passes",
        "tokens a pass",
        "s for 250 tokens",
        "peak MB",
    ]
    rows = [
        [
            _NAMES[name],
            f"{one['load']:.1f}",
            f"{one['read_per_second']:.0f}",
            f"{one['write_per_second']:.0f}",
            f"{one['passes']}",
            f"{one['tokens_per_pass']:.0f}",
            f"{one['choose_per_250_tokens']:.2f}",
            f"{one['peak_rss_mb']:.0f}",
        ]
        for name, one in result["results"].items()
    ]
    return markdown(header, rows) + made_by(result)


@bars
def choice_bar() -> list[list[str]]:
    """A choice among 20 titles with the packaged model."""
    result = read_result("lm_speed")
    if result is None:
        return []
    one = result["results"]["smollm2"]
    seconds = one["choose_per_250_tokens"]
    reached = f"{seconds:.1f} s, {one['passes']} passes"
    what = "a choice among 20 titles, packaged language model, CPU-seconds for a pass of 250 tokens"
    return [bar_line(what, f"≤ {_BAR:g} s", reached, seconds <= _BAR, "python benchmarks/lm_speed.py")]


@table("llm-answers")
def llm_answers() -> str:
    """What became of the raw answers of three models, by model and experiment."""
    found = paper_cell(58, "grounding")
    if found is None:
        return MISSING
    header = ["answers", "entries", "exact", "normalised", "fuzzy", "none", "repeats", "seen", "cut", "empty"]
    header += ["nDCG@10", "nDCG@10, closest title"]
    rows = []
    for name, row in found["rows"].items():
        way, _, answers = name.partition(": ")
        if way != "careful":
            continue
        near = found["rows"][f"closest: {answers}"]
        whole = row["well_formed"]
        outcomes = [f"{row['outcomes'][outcome] / whole:.1%}" for outcome in ("exact", "normalised", "fuzzy", "none")]
        shares = [f"{row[share]:.1%}" for share in ("repeat_share", "seen_share")]
        counts = [str(row["truncated"]), str(row["empty"])]
        rows.append(
            [answers, f"{row['entries']:,}", *outcomes, *shares, *counts, digits(row["ndcg"]), digits(near["ndcg"])]
        )
    return markdown(header, rows) + "\n\n`honeyguide reproduce 58`, all answers of the released archive, replayed"


@table("llm-ratings-full")
def llm_ratings_full() -> str:
    """Seed 52 on a GPU: the cells of the profile paper that are finished, on its drawn and its cold questions."""
    cells = {path.stem: read_json(path) or {} for path in sorted((RESULTS / "papers" / "52-paper").glob("*.json"))}
    if not {"rules", "zero", "regressed", "networks-0", "few-0"} <= cells.keys():
        return MISSING
    results = {name: cell["result"] for name, cell in cells.items()}
    rules, nets = results["rules"], [r for name, r in results.items() if name.startswith("networks-")]
    shown = [r["figures"] for name, r in results.items() if name.startswith("few-")]
    n, whole = results["regressed"]["examples"], nets[0]["whole"]
    rows = [[name, _pair(one), _pair(rules["drawn cold"][name])] for name, one in rules["drawn"].items()]
    for size in (n, whole):
        for kind, label in (("ids", "ids and genres"), ("text", "MiniLM titles")):
            found = [net["systems"][f"{kind} {size}"] for net in nets]
            rows.append(
                [f"Transformer-MLP, {label}, {size:,} examples", *(_mean(found, place) for place in ("drawn", "cold"))]
            )
    zero = results["zero"]
    rows.append(["language model as it comes", _pair(zero["figures"]), ""])
    rows.append(["the same, calibrated", _pair(zero["calibrated"]["figures"]), ""])
    rows.append([f"4 shots, mean of {len(shown)} parts", _mean([{"all": one} for one in shown], "all"), ""])
    head = results["regressed"]
    rows.append([f"regression head, {n:,} examples", _pair(head["drawn"]), _pair(head["cold"])])
    sizes = f"{head['drawn']['n']:,} drawn", f"{head['cold']['n']:,} about items with at most five ratings"
    made = f"\n\n`honeyguide reproduce 52 --profile paper` on {cells['regressed']['device']}"
    return markdown(("RMSE / AUC", *(f"questions: {size}" for size in sizes)), rows) + made


def _pair(found: Mapping[str, float]) -> str:
    return f"{found['rmse']:.3f} / {found['auc']:.3f}"


def _mean(found: Sequence[Mapping[str, Any]], place: str) -> str:
    return _pair({metric: sum(one[place][metric] for one in found) / len(found) for metric in ("rmse", "auc")})
