"""The ladder of a search: what was tried, at what cost, and what each part adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from honeyguide.cli import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from honeyguide.core.recommender import Recommender

_VERDICTS = {
    "better": "better than the best single model: taken",
    "within noise": "within noise of the best single model",
    "within noise, and not chosen by luck": "none is better beyond noise: their mean is taken",
}


def line(entry: dict[str, Any]) -> str:
    """One step, as it is told while the search goes on; a stage of another kind with the figures that it has."""
    if "spent" not in entry:
        return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in entry.items())
    spent = f"[{entry['spent']:.0f} CPU-s] "
    if entry["step"] == "skipped":
        return f"{spent}{entry['label']}: left out, {entry['why']}"
    if entry["step"] == "valid":
        return f"{spent}{entry['label']}: {entry['verdict']} for {entry['cpu_seconds']:.0f} CPU-s"
    value = f"valid NDCG@10 {entry['ndcg@10']:.4f}"
    if entry["step"] == "blend":
        return (
            f"{spent}blend of {entry['label']}: {value} on users its weights have not seen, "
            f"best single {entry['best_single']:.4f}: {_verdict(entry)} (p = {entry['p']:.2g})"
        )
    if entry["step"] == "cold":
        return f"{spent}a place for items without events ({entry['verdict']}) for {entry['cpu_seconds']:.0f} CPU-s"
    more = "" if entry.get("finished", True) else ", not at its end"
    return f"{spent}{entry['label']}: {value} for {entry['cpu_seconds']:.0f} CPU-s{more}"


def _verdict(entry: dict[str, Any]) -> str:
    verdict = str(entry.get("verdict", ""))
    return _VERDICTS.get(verdict, verdict)


def table(entries: Sequence[dict[str, Any]]) -> Table:
    """All steps, in order."""
    rows = []
    for entry in entries:
        if entry["step"] == "skipped":
            rows.append([entry["label"], entry["why"], "", "", f"{entry['spent']:.0f}"])
            continue
        note = _verdict(entry) or ("" if entry.get("finished", True) else "not at its end")
        if "best_single" in entry:  # weights are judged on users whom they have not seen, and so is what stands beside
            note = f"{note}; on the same users the best single model has {entry['best_single']:.4f}"
        cost = f"{entry['cpu_seconds']:.1f}"
        judged = "ndcg@10" in entry and entry["step"] != "cold"  # a place for cold items is judged on others
        value = f"{entry['ndcg@10']:.4f}" if judged else ""
        rows.append([entry["label"], note, value, cost, f"{entry['spent']:.0f}"])
    return console.table("What was tried", ["model", "", "valid NDCG@10", "CPU-s", "spent"], rows, numeric=3)


def additions(entries: Sequence[dict[str, Any]]) -> Table | None:
    """What each part of the blend that was taken adds on users its weights have not seen; ``None`` without one."""
    blends = [entry for entry in entries if entry["step"] == "blend" and entry["verdict"] == "better"]
    if not blends:
        return None
    rows = [[label, f"{added['ndcg@10']:+.4f}", f"{added['se']:.4f}"] for label, added in blends[-1]["adds"].items()]
    return console.table("What each part of the blend adds", ["part", "NDCG@10", "standard error"], rows, numeric=2)


def evidence(model: Recommender, say: Console) -> None:
    """What the fit of ``model`` cost, what was tried, what was chosen and what was learnt."""
    from honeyguide.models.trials import VALID

    report = model.report
    say.print(
        f"Fitted {model.name}: {report.cpu_seconds:.1f} CPU-seconds, peak memory {report.peak_rss_mb:,.0f} MiB, "
        f"{report.n_parameters:,} parameters."
    )
    if any("spent" in entry for entry in report.search):
        say.print(table(report.search))
        added = additions(report.search)
        if added is not None:
            say.print(added)
        carried = [entry["carried"] for entry in report.search if "taken_over" in entry]
        if carried:
            say.print(f"From the checkpoint: {len(carried)} fits, which had cost {sum(carried):.1f} CPU-seconds.")
        say.print(f"Chosen: {model.stands_for}.")
    elif report.search:
        best = max(report.search, key=lambda entry: next((v for k, v in entry.items() if "ndcg" in k), 0.0))
        found = (f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in best.items())
        say.print(f"Chosen on valid: {', '.join(found)}")
    if "valid" in report.learnt:
        say.print("Valid was learnt too, after everything was chosen: measure on test, or on what comes next.")
    elif any(entry.get("label") == VALID for entry in report.search):
        say.print("The events of valid were not learnt (see above); 'honeyguide update' takes in what comes next.")
