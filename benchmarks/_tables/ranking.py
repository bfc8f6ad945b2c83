"""Models that rank candidates: clicks, and the re-ranking of lists."""

from __future__ import annotations

from typing import Any

from _tables import MISSING, digits, made_by, markdown, table
from result_file import read_result


def ranking_cells(task: str) -> list[dict[str, Any]]:
    """Cells of one task of the ranking benchmark, one per data set."""
    result = read_result("ranking_accuracy")
    return [cell for cell in result["results"] if cell["task"] == task] if result else []


def _p_value(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


@table("ranking-clicks")
def ranking_clicks() -> str:
    """DIN and its floors over labelled events, means over seeds; p of DIN against each."""
    rows = []
    for cell in ranking_cells("clicks"):
        runs = [run["metrics"] for run in cell["runs"]]
        for name in ("itemrate", "logistic", "din"):
            mean = {metric: sum(run[name][metric] for run in runs) / len(runs) for metric in runs[0][name]}
            values = [digits(mean[metric]) for metric in ("auc", "gauc", "log_loss", "ece")]
            ps = ["–" if name == "din" else _p_value(cell["p"][f"{name} {m}"]) for m in ("auc", "log_loss")]
            rows.append([f"{cell['dataset']}, {name}", str(len(runs)), *values, *ps, f"{mean['cpu_seconds']:.1f}"])
    header = ["data, model", "seeds", "AUC", "GAUC", "log-loss", "ECE", "p, AUC in users", "p, log-loss", "fit, CPU-s"]
    return markdown(header, rows) + made_by(read_result("ranking_accuracy") or {}) if rows else MISSING


@table("ranking-lists")
def ranking_lists() -> str:
    """The boosted re-ranker and its sources, means over seeds."""
    rows = []
    for cell in ranking_cells("lists"):
        runs = cell["runs"]
        ndcg = {name: sum(run["ndcg@10"][name] for run in runs) / len(runs) for name in runs[0]["ndcg@10"]}
        recall = sum(run["recall@10"]["boosted"] for run in runs) / len(runs)
        cost = sum(run["cpu_seconds"]["boosted"] for run in runs) / len(runs)
        ours, floor = ndcg.pop("boosted"), ndcg.pop("floor")
        others = ", ".join(f"{name} {digits(value)}" for name, value in ndcg.items())
        gain, p = f"{100 * (ours / floor - 1):+.1f} %", _p_value(cell["p"]["floor"])
        rows.append(
            [
                cell["dataset"],
                str(len(runs)),
                digits(recall),
                digits(ours),
                digits(floor),
                gain,
                p,
                others,
                f"{cost:.0f}",
            ]
        )
    header = ["data", "seeds", "Recall@10", "NDCG@10", "floor", "gain", "p", "other sources", "fit, CPU-s"]
    return markdown(header, rows) + made_by(read_result("ranking_accuracy") or {}) if rows else MISSING


@table("ranking-gains")
def ranking_gains() -> str:
    """The five features that the trees gained most from."""
    rows = []
    for cell in ranking_cells("lists"):
        gains = sorted(cell["runs"][0]["gains"].items(), key=lambda entry: -entry[1])[:5]
        rows.append([cell["dataset"], ", ".join(f"{name} {gain:.2f}" for name, gain in gains)])
    return markdown(["data", "features"], rows) if rows else MISSING
