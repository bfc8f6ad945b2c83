"""Fill the tables of README and docs from the result files.

A table stands between ``<!-- table:NAME -->`` and ``<!-- /table -->`` (or ``<!-- /table:NAME -->``); what is
between them is replaced. Add a table with a function that returns Markdown, decorated with ``@table(NAME)``,
and lines to the table of bars with ``@bars``. With ``--check`` nothing is written and the exit status says
whether anything would change.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from honeyguide.core.errors import MissingExtraError
from honeyguide.models.registry import MODELS
from result_file import read_result

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"(<!-- table:(?P<name>[\w-]+) -->\n).*?(<!-- /table(?::[\w-]+)? -->)", re.DOTALL)
_MISSING = "*Not measured yet: run `make bench`.*"

Render = Callable[[], str]
TABLES: dict[str, Render] = {}
BARS: list[Callable[[], list[list[str]]]] = []

LINEAR = ("popularity", "itemknn", "ease", "ials", "gfcf", "floor")
NEXT_ITEM = ("gru4rec", "esasrec", "bert4rec", "hstu")  # beside SASRec, which has tables of its own
SEQUENTIAL = ("amazon-beauty", "amazon-toys", "amazon-sports", "ml-1m")

# Figures that others printed for the same model on the same split: Recall and NDCG, and where.
PUBLISHED = {
    ("gfcf", "gowalla-lightgcn"): (0.1849, 0.1518, "Shen et al. 2021"),
    ("itemknn", "gowalla-lightgcn"): (0.1570, 0.1214, "BARS leaderboard"),
}

# By model and data set: what Recall and NDCG may differ from or must reach, and CPU-seconds of the fit.
_BARS: dict[tuple[str, str], tuple[str, Callable[[float, float, float], bool]]] = {
    ("floor", "amazon-beauty"): ("NDCG ≥ .051 in ≤ 20 CPU-s", lambda r, n, s: n >= 0.051 and s <= 20),
    ("floor", "amazon-toys"): ("NDCG ≥ .064 in ≤ 20 CPU-s", lambda r, n, s: n >= 0.064 and s <= 20),
    ("floor", "amazon-sports"): ("NDCG ≥ .031 in ≤ 20 CPU-s", lambda r, n, s: n >= 0.031 and s <= 20),
    ("gfcf", "gowalla-lightgcn"): (
        ".1849 / .1518 ± .001",
        lambda r, n, s: abs(r - 0.1849) <= 0.001 and abs(n - 0.1518) <= 0.001,
    ),
    ("ials", "yelp-lightgnn"): ("Recall ≥ .080", lambda r, n, s: r >= 0.080),
    ("sasrec", "amazon-beauty"): (
        "≥ .093 / .056 in ≤ 450 CPU-s",
        lambda r, n, s: r >= 0.093 and n >= 0.056 and s <= 450,
    ),
    ("sasrec", "ml-1m"): (
        "≥ .325 / .188 in ≤ 2,100 CPU-s",
        lambda r, n, s: r >= 0.325 and n >= 0.188 and s <= 2100,
    ),
}
_SPEED_BARS = {"ease": {"fit": 0.6}, "ials": {"fit": 1.1, "recommend": 1.0}}


def table(name: str) -> Callable[[Render], Render]:
    """Register a function that renders the table ``name``."""

    def register(render: Render) -> Render:
        TABLES[name] = render
        return render

    return register


def bars(lines: Callable[[], list[list[str]]]) -> Callable[[], list[list[str]]]:
    """Register a function that gives lines of the table of bars: what, bar, reached, command."""
    BARS.append(lines)
    return lines


@table("bars")
def all_bars() -> str:
    """What had to be reached and what was, from every result file that is there."""
    return markdown(["", "bar", "reached", "command"], [line for lines in BARS for line in lines()])


@table("models")
def models() -> str:
    """Every registered model, what it can do, and its page."""
    rows = []
    for entry in MODELS.values():
        name = f"[`{entry.name}`](docs/models/{entry.name}.md)"
        try:
            abilities = ", ".join(sorted(entry.load().capabilities))
        except MissingExtraError:
            abilities = f"needs [{entry.extra}]"
        rows.append([name, entry.summary, abilities])
    return markdown(["model", "what it is", "capabilities"], rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    rule = ["---", *["--:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def made_by(result: dict[str, Any]) -> str:
    """The line under a table that says how to make it again."""
    version = result["versions"].get("honeyguide", "from a checkout")
    return f"\n\n`{result['command']}` (honeyguide {version}, {result['protocol']})"


def digits(value: float) -> str:
    """Four decimals without the leading zero, as the field prints accuracies."""
    return f"{value:.4f}".removeprefix("0")


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
        return _MISSING
    rows = []
    for row in result["results"]:
        if row["model"] != model:
            continue
        recall, ndcg, source = PUBLISHED.get((model, row["dataset"]), (None, None, ""))
        published = f"{digits(recall)} / {digits(ndcg)} ({source})" if recall is not None and ndcg is not None else "–"
        parts = "+".join(part for part in row["history"] if part == "train" or "gowalla" not in row["dataset"])
        rows.append([row["dataset"], parts, str(row["k"]), *accuracy_cells(row), published])
    header = ["data", "history", "k", "Recall@k / NDCG@k", "the same, seen kept", "fit, CPU-s", "peak MB", "published"]
    return markdown(header, rows) + made_by(result)


for _model in LINEAR:
    table(f"model-{_model}")(lambda model=_model: model_page(model))


@table("linear-accuracy")
def linear_accuracy() -> str:
    """Models by data sets with an order: Recall@10 / NDCG@10, seen items removed."""
    result = read_result("linear_accuracy")
    if result is None:
        return _MISSING
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
        return _MISSING
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


def bar_line(what: str, bar: str, reached: str, met: bool, command: str) -> list[str]:
    """A line of the table of bars; a bar that is missed is said to be."""
    return [what, bar, reached if met else f"{reached} (**missed**)", f"`{command}`"]


@bars
def linear_bars() -> list[list[str]]:
    """Accuracy of the floor, GF-CF and iALS, and speed against implicit and RecTools."""
    lines = []
    accuracy, speed = read_result("linear_accuracy"), read_result("linear_speed")
    for row in accuracy["results"] if accuracy else ():
        if (row["model"], row["dataset"]) not in _BARS or row["history"] == ["train"]:
            continue
        bar, holds = _BARS[row["model"], row["dataset"]]
        k, seconds = row["k"], row["cpu_seconds"]["fit"]
        met = holds(row["metrics"][f"recall@{k}"], row["metrics"][f"ndcg@{k}"], seconds)
        what = f"{row['model']}, {row['dataset']}, Recall@{k} / NDCG@{k}"
        lines.append(bar_line(what, bar, f"{accuracy_cells(row)[0]} in {seconds:.1f} CPU-s", met, accuracy["command"]))
    for row in speed["results"] if speed else ():
        for step, limit in _SPEED_BARS.get(row["model"], {}).items():
            ratio = row[step]["ratio"]
            reached = f"{ratio:.2f} ×"
            if step == "recommend":
                loaded = median(row["recommend_loaded"]) / median(row["recommend"]["theirs"])
                reached += f" as fitted; {loaded:.2f} × once loaded, when every user is folded in anew"
            what = f"{row['model']} {step}, CPU-s against {row['against']}"
            lines.append(bar_line(what, f"≤ {limit} ×", reached, ratio <= limit, speed["command"]))
    return lines


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


_SAME = {"dim": 64, "loss": "sampled"}  # what networks are compared under
_BLOCK_NAMES = {
    ("sasrec", "sasrec"): "SASRec, block of the paper",
    ("sasrec", None): "SASRec, LiGR block",
    ("hstu", None): "HSTU",
    ("gru4rec", None): "GRU4Rec",
    ("bert4rec", None): "BERT4Rec",
}
_NEXT_ITEM_HEADER = ["seeds", "valid NDCG@10", "test Recall@10 / NDCG@10", "the same, seen kept", "fit, CPU-s"]


@table("model-sasrec")
def sasrec_accuracy() -> str:
    """SASRec with its default options on every data set it was measured on."""
    rows = [row for name in SEQUENTIAL for row in next_item_rows("sasrec", name) if not row["options"]]
    if not rows:
        return _MISSING
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
        return _MISSING
    cells = [[row["dataset"], shown(row["options"]), *next_item_cells(row)] for row in rows]
    return markdown(["data", "options", *_NEXT_ITEM_HEADER], cells)


def shown(options: dict[str, Any]) -> str:
    """Options that differ from the defaults."""
    return ", ".join(f"`{name}={value}`" for name, value in options.items()) or "defaults"


for _model in NEXT_ITEM:
    table(f"model-{_model}")(
        lambda model=_model: (
            next_item_table(model)
            + f"\n\n`python benchmarks/sequence_accuracy.py --models {model}`, and `--set` for options"
        )
    )


@table("sequence-blocks")
def sequence_blocks() -> str:
    """Networks side by side under the same width and loss, with the same start and schedule."""
    rows = [
        row
        for name in SEQUENTIAL
        for model in ("sasrec", *NEXT_ITEM)
        for row in next_item_rows(model, name)
        if {option: value for option, value in row["options"].items() if option not in ("block", "epochs")} == _SAME
    ]
    if not rows:
        return _MISSING
    rows.sort(key=lambda row: (SEQUENTIAL.index(row["dataset"]), -row["valid_ndcg@10"]))
    cells = [
        [row["dataset"], _BLOCK_NAMES[row["model"], row["options"].get("block")], *next_item_cells(row)] for row in rows
    ]
    notes = [f"Options of all: {shown(_SAME)}."]
    for name in dict.fromkeys(row["dataset"] for row in rows):
        values = [row["valid_ndcg@10"] for row in rows if row["dataset"] == name and row["model"] in ("sasrec", "hstu")]
        notes.append(
            f"On {name}, HSTU and the blocks of SASRec are within {digits(max(values) - min(values))} on valid;"
        )
        notes.append(f"seeds of one SASRec were up to {digits(seed_spread('sasrec', name))} apart.")
    return markdown(["data", "network", *_NEXT_ITEM_HEADER], cells) + "\n\n" + " ".join(notes)


def seed_spread(model: str, dataset: str) -> float:
    """Largest difference on valid between seeds of the same options."""
    result = read_result(f"{model}_{dataset}")
    groups: dict[str, list[float]] = {}
    for cell in result["results"]["cells"] if result else ():
        groups.setdefault(str(sorted(cell["options"].items())), []).append(cell["valid_ndcg@10"])
    return max((max(values) - min(values) for values in groups.values()), default=0.0)


@table("sasrec-speed")
def sasrec_speed() -> str:
    """CPU-seconds of training per million real targets, ours and RecTools'."""
    result = read_result("sasrec_speed")
    if result is None:
        return _MISSING
    rows = []
    for row in result["results"]:
        cost = row["cpu_seconds_per_million_targets"]
        shape = ", ".join(f"{name} {value}" for name, value in row["options"].items())
        rows.append([row["dataset"], shape, f"{cost['ours']:.0f}", f"{cost['rectools']:.0f}", f"{row['ratio']:.3f}"])
    return markdown(["data", "shape", "honeyguide", "RecTools", "ratio"], rows) + made_by(result)


@bars
def sasrec_bars() -> list[list[str]]:
    """Accuracy of SASRec in CPU-seconds, and speed against RecTools."""
    lines = []
    for dataset in ("amazon-beauty", "ml-1m"):
        for row in next_item_rows("sasrec", dataset):
            if not row["options"]:
                bar, holds = _BARS["sasrec", dataset]
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
        lines.append(bar_line(what, bar, f"{row['ratio']:.3f}", row["ratio"] <= limit, speed["command"]))
    return lines


@bars
def startup_bars() -> list[list[str]]:
    """What starting costs, before anything is read."""
    startup = read_result("startup")
    if not startup:
        return []
    found, limits = startup["results"], {"import honeyguide": 0.3, "honeyguide --help": 0.5}
    return [
        bar_line(f"`{what}`, CPU-s", f"≤ {limit}", f"{found[what]:.2f}", found[what] <= limit, startup["command"])
        for what, limit in limits.items()
    ]


@bars
def metric_bars() -> list[list[str]]:
    """The published table recomputed, and the speed of evaluation."""
    lines = []
    published, speed = read_result("metrics_published"), read_result("metrics_speed")
    if published:
        summary = published["results"]["summary"]
        shown = f"{summary['within_tolerance']} of {summary['compared']} cells"
        shown += f", largest gap {summary['largest_difference']:.0e}"
        missing = summary["cells"] - summary["compared"]
        if missing:
            shown += f"; the lists of {missing} cells were not released"
        met = summary["within_tolerance"] == summary["compared"]
        what = "11 systems × 20 published metrics"
        lines.append(bar_line(what, "all within 1e-3", shown, met, published["command"]))
    if speed:
        found, command = speed["results"], speed["command"]
        seconds = found["users_6040_metrics_4_at_10"]
        shown = f"{seconds:.3f}"
        if "rectools" in found:
            shown += f" (RecTools {found['rectools']['per_user']:.3f})"
        lines.append(
            bar_line("4 metrics, 6,040 users, per-user values, CPU-s", "≤ .25", shown, seconds <= 0.25, command)
        )
        seconds = found["users_100000_metrics_10_at_100"]
        what = "100,000 users × k = 100 × 10 metrics, CPU-s"
        lines.append(bar_line(what, "≤ 5", f"{seconds:.2f}", seconds <= 5, command))
    return lines


def fill(text: str) -> str:
    """``text`` with every table rendered anew."""

    def replace(block: re.Match[str]) -> str:
        if block["name"] not in TABLES:
            raise SystemExit(f"There is no table {block['name']!r}. Known: {', '.join(sorted(TABLES))}.")
        return f"{block[1]}{TABLES[block['name']]()}\n{block[3]}"

    return _BLOCK.sub(replace, text)


def main() -> None:
    """Fill all pages, or check them."""
    check, stale = "--check" in sys.argv[1:], []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        if not page.exists():
            continue
        before = page.read_text(encoding="utf-8")
        after = fill(before)
        if after != before:
            stale.append(str(page.relative_to(ROOT)))
            if not check:
                page.write_text(after, encoding="utf-8")
    print("\n".join(stale) if stale else "All tables are up to date.")
    if check and stale:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
