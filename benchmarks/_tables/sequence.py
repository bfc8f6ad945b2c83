"""Models of the next item: accuracy with every set of options, side by side, and speed of training."""

from __future__ import annotations

from typing import Any

from _tables import MISSING, SEQUENTIAL, bar_line, bars, digits, made_by, markdown, options_text, table
from _tables.figures import ACCURACY_BARS
from result_file import read_result

NEXT_ITEM = ("gru4rec", "esasrec", "bert4rec", "hstu")  # beside SASRec, which has tables of its own
_NEXT_ITEM_HEADER = ["seeds", "valid NDCG@10", "test Recall@10 / NDCG@10", "the same, seen kept", "fit, CPU-s"]


def next_item_rows(model: str, dataset: str) -> list[dict[str, Any]]:
    """Means over seeds on one data set: the default options first, then every ablation."""
    result = read_result(f"{model}_{dataset}")
    rows = (
        sorted(result["results"]["summary"], key=lambda row: (bool(row["options"]), -row["ndcg@10"])) if result else []
    )
    return [{**row, "model": model, "dataset": dataset} for row in rows]


def next_item_cells(row: dict[str, Any]) -> list[str]:
    """Seeds, valid NDCG, test accuracy with seen items removed and kept, CPU-seconds of the fit."""
    pairs = [" / ".join(digits(row[f"{name}@10{suffix}"]) for name in ("recall", "ndcg")) for suffix in ("", ":kept")]
    return [str(len(row["seeds"])), digits(row["valid_ndcg@10"]), *pairs, f"{row['cpu_seconds']:.0f}"]


@table("model-sasrec")
def sasrec_accuracy() -> str:
    """SASRec with its default options on every data set it was measured on."""
    rows = [row for name in SEQUENTIAL for row in next_item_rows("sasrec", name) if not row["options"]]
    if not rows:
        return MISSING
    cells = [[row["dataset"], *next_item_cells(row)] for row in rows]
    return markdown(["data", *_NEXT_ITEM_HEADER], cells) + "\n\n`python benchmarks/sequence_accuracy.py`"


@table("sasrec-ablations")
def sasrec_ablations() -> str:
    """Other options than the default ones, the worse included."""
    return next_item_table("sasrec")


def next_item_table(model: str) -> str:
    """One model with all the options that it was measured with."""
    rows = [row for name in SEQUENTIAL for row in next_item_rows(model, name)]
    if not rows:
        return MISSING
    cells = [[row["dataset"], options_text(row["options"]), *next_item_cells(row)] for row in rows]
    return markdown(["data", "options", *_NEXT_ITEM_HEADER], cells)


def network_rows() -> list[dict[str, Any]]:
    """What was measured of networks side by side."""
    result = read_result("sequence_networks")
    return result["results"] if result else []


def network_cells(row: dict[str, Any]) -> list[str]:
    """Seeds, epochs, accuracy, the test against the block of SASRec's paper, and what a fit took."""
    cells = row["cells"]
    seeds, valid, test, unfiltered, _ = next_item_cells({**row, "seeds": cells, "cpu_seconds": 0.0})
    epochs = f"{mean(cells, 'best_epoch'):.0f} of {mean(cells, 'epochs'):.0f}"
    ended = "" if all(cell["finished"] for cell in cells) else ", cut off"
    return [seeds, epochs + ended, valid, test, unfiltered, p_text(row.get("p")), f"{mean(cells, 'wall_seconds'):.0f}"]


def mean(cells: list[dict[str, Any]], name: str) -> float:
    """Over seeds."""
    return sum(cell[name] for cell in cells) / len(cells)


def p_text(p: float | None) -> str:
    """One digit that counts."""
    return "–" if p is None else f"{p:.1g}"


_NETWORK_HEADER = ["seeds", "best epoch", *_NEXT_ITEM_HEADER[1:-1], "p", "fit, s"]


def network_table(rows: list[dict[str, Any]]) -> str:
    """Networks under one another, and on what they were trained."""
    if not rows:
        return MISSING
    cells = [[row["dataset"], row["recipe"], *network_cells(row)] for row in rows]
    devices = sorted({cell["device"] for row in rows for cell in row["cells"]})
    command = "\n\n`python benchmarks/sequence_networks.py`"
    note = f" ({', '.join(devices)}, several fits at once; p: paired over users, against the block of SASRec's paper)"
    return markdown(["data", "network", *_NETWORK_HEADER], cells) + command + note


for _model in NEXT_ITEM:
    table(f"model-{_model}")(
        lambda model=_model: network_table([row for row in network_rows() if row["recipe"].startswith(model)])
    )


@table("sequence-blocks")
def sequence_blocks() -> str:
    """Networks side by side, each recipe trained to its end."""
    return network_table(network_rows())


@table("sasrec-speed")
def sasrec_speed() -> str:
    """CPU-seconds of training per million real targets, ours, RecTools' and RecBole's."""
    result = read_result("sasrec_speed")
    if result is None:
        return MISSING
    rows = []
    for row in result["results"]:
        cost = row["cpu_seconds_per_million_targets"]
        shape = ", ".join(f"{name} {value}" for name, value in row["options"].items())
        peers = [f"{cost[peer]:,.0f} ({row['ratio'][peer]:.3f})" for peer in ("rectools", "recbole")]
        rows.append([row["dataset"], shape, f"{cost['ours']:.0f}", *peers])
    return markdown(["data", "shape", "honeyguide", "RecTools (ratio)", "RecBole (ratio)"], rows) + made_by(result)


@bars
def sasrec_bars() -> list[list[str]]:
    """Accuracy of SASRec in CPU-seconds, and speed against RecTools."""
    lines = []
    for dataset in ("amazon-beauty", "ml-1m"):
        for row in next_item_rows("sasrec", dataset):
            if not row["options"]:
                bar, holds = ACCURACY_BARS["sasrec", dataset]
                met = holds(row["recall@10"], row["ndcg@10"], row["cpu_seconds"])
                _, _, reached, _, seconds = next_item_cells(row)
                seeds = f"mean of {len(row['seeds'])} seeds" if len(row["seeds"]) > 1 else "one seed"
                what = f"sasrec, {dataset}, Recall@10 / NDCG@10, {seeds}"
                command = f"python benchmarks/sequence_accuracy.py --datasets {dataset}"
                lines.append(bar_line(what, bar, f"{reached} in {seconds} CPU-s", met, command))
    speed = read_result("sasrec_speed")
    for row in speed["results"] if speed else ():
        bar, limit = {"amazon-beauty": ("≤ 1/10", 1 / 10), "ml-1m": ("≤ 1/3", 1 / 3)}[row["dataset"]]
        what = f"sasrec training per target against RecTools, {row['dataset']}"
        lines.append(
            bar_line(what, bar, f"{row['ratio']['rectools']:.3f}", row["ratio"]["rectools"] <= limit, speed["command"])
        )
    return lines


@table("softmax-estimates")
def softmax_estimates() -> str:
    """What each softmax reaches in the same CPU-seconds."""
    result = read_result("softmax_estimates")
    if result is None:
        return MISSING
    rows = []
    for name, found in result["results"].items():
        size = f"{found['events']:,} × {found['n_items']:,}"
        for label, cell in found["losses"].items():
            test = f"{digits(cell['recall@10'])} / {digits(cell['ndcg@10'])}"
            p = "–" if cell["p"] is None else f"{cell['p']:.1g}"
            rows.append(
                [name, size, label, str(cell["epochs"]), digits(cell["valid"]), test, p, f"{cell['cpu_seconds']:.0f}"]
            )
    header = [
        "data",
        "events × items",
        "loss",
        "epochs",
        "valid NDCG@10",
        "Recall@10 / NDCG@10",
        "p against softmax",
        "CPU-s",
    ]
    return markdown(header, rows) + made_by(result)
