"""Popularity, neighbours and linear models: accuracy, cost, and speed against other libraries."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import Any

from _tables import MISSING, SEQUENTIAL, bar_line, bars, digits, made_by, markdown, table
from _tables.figures import ACCURACY_BARS, published_cell
from result_file import read_result

LINEAR = ("popularity", "itemknn", "ease", "ials", "gfcf", "floor")
_SPEED_BARS = {"ease": {"fit": 0.6}, "ials": {"fit": 1.1, "recommend": 1.0}}


def accuracy_cells(row: dict[str, Any]) -> list[str]:
    """Recall / NDCG with seen items removed and kept, CPU-seconds of the fit, peak memory."""
    k, metrics = row["k"], row["metrics"]
    pairs = [
        " / ".join(digits(metrics[f"{name}@{k}{suffix}"]) for name in ("recall", "ndcg")) for suffix in ("", ":kept")
    ]
    return [*pairs, f"{row['cpu_seconds']['fit']:.1f}", f"{row['peak_rss_mb']:.0f}"]


def model_page(model: str) -> str:
    """What one model reached on every data set it was measured on."""
    result = read_result("linear_accuracy")
    if result is None:
        return MISSING
    rows = []
    for row in result["results"]:
        if row["model"] != model:
            continue
        parts = "+".join(part for part in row["history"] if part == "train" or "gowalla" not in row["dataset"])
        chosen = row["chosen"] if model == "gfcf" else {}
        data = ", ".join([row["dataset"], *(f"{option} {value:g}" for option, value in chosen.items())])
        rows.append(
            [data, parts, str(row["k"]), *accuracy_cells(row), "–" if chosen else published_cell(model, row["dataset"])]
        )
    header = ["data", "history", "k", "Recall@k / NDCG@k", "the same, seen kept", "fit, CPU-s", "peak MB", "published"]
    return markdown(header, rows) + made_by(result)


for _model in LINEAR:
    table(f"model-{_model}")(partial(model_page, _model))


@table("linear-accuracy")
def linear_accuracy() -> str:
    """Models by data sets with an order: Recall@10 / NDCG@10, seen items removed."""
    result = read_result("linear_accuracy")
    if result is None:
        return MISSING
    cells = {(row["model"], row["dataset"]): row for row in result["results"]}
    rows = [
        [model, *(accuracy_cells(cells[model, name])[0] if (model, name) in cells else "–" for name in SEQUENTIAL)]
        for model in LINEAR
    ]
    return markdown(["model", *SEQUENTIAL], rows) + made_by(result)


@table("linear-speed")
def linear_speed() -> str:
    """CPU-seconds of ours and theirs, and the ratios."""
    result = read_result("linear_speed")
    if result is None:
        return MISSING
    rows = []
    for row in result["results"]:
        cells = [row["model"], f"{row['against']} {result['versions'][row['against']]}"]
        for step in ("fit", "recommend"):
            ours, theirs = (sorted(row[step][who])[len(row[step][who]) // 2] for who in ("ours", "theirs"))
            cells.append(f"{ours:.2f} : {theirs:.2f} = {row[step]['ratio']:.2f}")
        cells.append(f"{median(row['recommend_loaded']):.2f}")
        rows.append([*cells, f"{100 * row['same_items']:.1f} %" if "same_items" in row else "–"])
    header = [
        "model",
        "against",
        "fit, ours : theirs",
        "top-10 for all users, ours : theirs",
        "after loading",
        "same items in the lists",
    ]
    return markdown(header, rows) + made_by(result)


@bars
def linear_bars() -> list[list[str]]:
    """Accuracy of the floor, GF-CF and iALS, and speed against implicit and RecTools."""
    lines = []
    accuracy, speed = read_result("linear_accuracy"), read_result("linear_speed")
    for row in accuracy["results"] if accuracy else ():
        if (row["model"], row["dataset"]) not in ACCURACY_BARS or row["history"] == ["train"] or row["options"]:
            continue
        bar, holds = ACCURACY_BARS[row["model"], row["dataset"]]
        k, seconds = row["k"], row["cpu_seconds"]["fit"]
        met = holds(row["metrics"][f"recall@{k}"], row["metrics"][f"ndcg@{k}"], seconds)
        what = f"{row['model']}, {row['dataset']}, Recall@{k} / NDCG@{k}"
        lines.append(bar_line(what, bar, f"{accuracy_cells(row)[0]} in {seconds:.1f} CPU-s", met, accuracy["command"]))
    for row in speed["results"] if speed else ():
        if row["against"] == "lenskit":  # no bar is set against it
            continue
        for step, limit in _SPEED_BARS.get(row["model"], {}).items():
            ratio = row[step]["ratio"]
            reached = f"{ratio:.2f} ×"
            if step == "recommend":
                loaded = median(row["recommend_loaded"]) / median(row["recommend"]["theirs"])
                reached += f" as fitted; {loaded:.2f} × once loaded, when every user is folded in anew"
            what = f"{row['model']} {step}, CPU-s against {row['against']}"
            lines.append(bar_line(what, f"≤ {limit} ×", reached, ratio <= limit, speed["command"]))
    return lines
