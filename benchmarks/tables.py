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
PAIRWISE = ("mf-bpr", "lightgcn", "simplex", "slim")
SEQUENTIAL = ("amazon-beauty", "amazon-toys", "amazon-sports", "ml-1m")

# Figures that others printed for the same model on the same split: Recall and NDCG, and where.
PUBLISHED = {
    ("gfcf", "gowalla-lightgcn"): (0.1849, 0.1518, "Shen et al. 2021"),
    ("itemknn", "gowalla-lightgcn"): (0.1570, 0.1214, "BARS leaderboard"),
    ("mf-bpr", "gowalla-lightgcn"): (0.1627, 0.1378, "published, on all of train"),
    ("lightgcn", "gowalla-lightgcn"): (0.1820, 0.1547, "published, on all of train"),
    ("simplex", "gowalla-lightgcn"): (0.1872, 0.1557, "published, on all of train"),
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
    ("lightgcn", "yelp-lightgnn"): ("Recall ≥ .066 in ≤ 3,600 CPU-s", lambda r, n, s: r >= 0.066 and s <= 3600),
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


@table("scale")
def scale() -> str:
    """Cost against size, one line a model and size."""
    result = read_result("scale")
    if result is None:
        return _MISSING
    rows = []
    for row in result["results"]:
        if row["model"] == "generate":
            continue
        costs = [row[step] for step in ("fit", "recommend")]
        sizes = [f"{row[name]:,}" for name in ("events", "users", "items")]
        seconds, memory = [f"{cost['cpu_seconds']:,.1f}" for cost in costs], [f"{c['peak_rss_mb']:,}" for c in costs]
        rows.append([row["model"], *sizes, *seconds, *memory])
    head = ["model", "events", "users", "items", "fit, CPU-s", "lists of everybody, CPU-s"]
    return markdown([*head, "fit, peak MiB", "lists, peak MiB"], rows) + made_by(result)


@table("scale-generate")
def scale_generate() -> str:
    """What drawing the logs costs."""
    result = read_result("scale")
    if result is None:
        return _MISSING
    drawn = [row for row in result["results"] if row["model"] == "generate"]
    rows = [[f"{r['events']:,}", f"{r['fit']['cpu_seconds']:,.1f}", f"{r['fit']['peak_rss_mb']:,}"] for r in drawn]
    return markdown(["events", "CPU-s", "peak MiB"], rows)


@bars
def scale_bars() -> list[list[str]]:
    """Ten million events within eight gigabytes."""
    result = read_result("scale")
    lines = []
    for row in result["results"] if result else ():
        if row["events"] == 10_000_000 and row["model"] != "generate":
            peak = max(row[step]["peak_rss_mb"] for step in ("fit", "recommend"))
            what = f"{row['model']}: 10 M events × 1 M users × 100 k items, fit and everybody's lists, peak memory"
            lines.append(bar_line(what, "≤ 8 GB", f"{peak / 1024:.1f} GiB", peak * 2**20 <= 8e9, result["command"]))
    return lines


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
    return markdown(header, rows) + made_by(read_result("ranking_accuracy") or {}) if rows else _MISSING


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
    return markdown(header, rows) + made_by(read_result("ranking_accuracy") or {}) if rows else _MISSING


@table("ranking-gains")
def ranking_gains() -> str:
    """The five features that the trees gained most from."""
    rows = []
    for cell in ranking_cells("lists"):
        gains = sorted(cell["runs"][0]["gains"].items(), key=lambda entry: -entry[1])[:5]
        rows.append([cell["dataset"], ", ".join(f"{name} {gain:.2f}" for name, gain in gains)])
    return markdown(["data", "features"], rows) if rows else _MISSING


def options_text(options: dict[str, Any]) -> str:
    """Options that differ from the defaults."""
    return ", ".join(f"`{name}={value}`" for name, value in options.items()) or "defaults"


def pairwise_page(model: str) -> str:
    """What a model of ``cf_accuracy.py`` reached, with every set of options measured."""
    result = read_result("cf_accuracy")
    cells = [cell for cell in result["results"] if cell["model"] == model] if result else []
    if result is None or not cells:
        return _MISSING
    rows = []
    for cell in cells:
        recall, ndcg, source = PUBLISHED.get((model, cell["dataset"]), (None, None, ""))
        published = f"{digits(recall)} / {digits(ndcg)} ({source})" if recall is not None and ndcg is not None else "–"
        pairs = [
            " / ".join(digits(values[f"{name}@20{suffix}"]) for name in ("recall", "ndcg"))
            for values, suffix in ((cell["valid"], ""), (cell["test"], ""), (cell["test"], ":kept"))
        ]
        cost = f"{cell['cpu_seconds']['fit']:.1f}", f"{cell['peak_rss_mb']:.0f}"
        rows.append([cell["dataset"], options_text(cell["options"]), str(cell["seed"]), *pairs, *cost, published])
    header = ["data", "options", "seed", "valid Recall@20 / NDCG@20", "test", "the same, seen kept"]
    return markdown([*header, "fit, CPU-s", "peak MB", "published"], rows) + made_by(result)


def fold_in_page(model: str) -> str:
    """Recall@20 / NDCG@20 on valid of the trained users' vectors and of each way to fold a history in."""
    result = read_result("cf_accuracy")
    cells = [cell for cell in result["results"] if cell["model"] == model and cell["fold_in"]] if result else []
    if result is None or not cells:
        return _MISSING
    ways = list(cells[0]["fold_in"])
    rows = []
    for cell in cells:
        found = [cell["fold_in"][way] for way in ways]
        shown = [f"{digits(values['recall@20'])} / {digits(values['ndcg@20'])}" for values in found]
        rows.append([cell["dataset"], options_text(cell["options"]), *shown])
    return markdown(["data", "options", *ways], rows) + f"\n\n`{result['command']}`, up to 5,000 users of valid"


for _model in PAIRWISE:
    table(f"model-{_model}")(lambda model=_model: pairwise_page(model))
    table(f"fold-in-{_model}")(lambda model=_model: fold_in_page(model))


@bars
def pairwise_bars() -> list[list[str]]:
    """Accuracy of models learnt from pairs."""
    result, lines = read_result("cf_accuracy"), []
    for cell in result["results"] if result else ():
        if (cell["model"], cell["dataset"]) in _BARS and not cell["options"]:
            bar, holds = _BARS[cell["model"], cell["dataset"]]
            recall, ndcg, seconds = cell["test"]["recall@20"], cell["test"]["ndcg@20"], cell["cpu_seconds"]["fit"]
            what = f"{cell['model']}, {cell['dataset']}, Recall@20 / NDCG@20"
            reached = f"{digits(recall)} / {digits(ndcg)} in {seconds:.1f} CPU-s"
            lines.append(bar_line(what, bar, reached, holds(recall, ndcg, seconds), result["command"]))
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


def cold_rows(result: dict[str, Any], models: Sequence[str]) -> list[list[str]]:
    """Recall / NDCG on cold items, on warm ones and on both, by data and model."""
    rows = []
    for dataset, cells in result["results"].items():
        for model in (name for name in models if name in cells):
            cell = cells[model]
            parts = [
                " / ".join(digits(cell[p][f"{m}@10"]) for m in ("recall", "ndcg")) for p in ("cold", "warm", "all")
            ]
            rows.append([dataset, model, *parts, f"{cell['fit_cpu_seconds']:.1f}"])
    return rows


def cold_table(models: Sequence[str]) -> str:
    """What models reach on items without training events, next to the others."""
    result = read_result("cold_items")
    if result is None:
        return _MISSING
    header = ["data", "model", "cold: Recall@10 / NDCG@10", "warm", "all", "fit, CPU-s"]
    rows = cold_rows(result, models)
    return markdown(header, rows) + made_by(result) if rows else _MISSING


COLD_MODELS = ("popularity", "floor", "text-profile", "cold-map", "two-tower")
TABLES["cold-items"] = lambda: cold_table(COLD_MODELS)
for _model in ("text-profile", "two-tower"):
    TABLES[f"cold-{_model}"] = lambda model=_model: cold_table((model,))  # type: ignore[misc]


@bars
def cold_bars() -> list[list[str]]:
    """Cold items beside the mean-history cosine, and what they cost the warm ones of the base model."""
    result, lines = read_result("cold_items"), []
    for dataset, cells in result["results"].items() if result else ():
        if not {"floor", "text-profile", "cold-map"} <= cells.keys():
            continue
        ids = ("recall@10", "ndcg@10")
        gain = [cells["cold-map"]["cold"][m] / cells["text-profile"]["cold"][m] for m in ids]
        kept = [cells["cold-map"]["warm"][m] / cells["floor"]["warm"][m] for m in ids]
        shown = f"cold × {gain[0]:.2f} / {gain[1]:.2f}, warm × {kept[0]:.2f} / {kept[1]:.2f}"
        bar = "cold ≥ 1.2 × the text profile, warm ≥ .99 × the base"
        what = f"{dataset}, cold-map on floor: Recall@10 / NDCG@10"
        lines.append(bar_line(what, bar, shown, min(gain) >= 1.2 and min(kept) >= 0.99, result["command"]))
    return lines


@bars
def text_bars() -> list[list[str]]:
    """CPU-seconds of reading twelve thousand titles."""
    result = read_result("text_encoding")
    if result is None:
        return []
    found = result["results"].get("minilm titles")
    if found is None:
        return []
    first, cached = found["first"]["cpu_seconds"], found["cached"]["cpu_seconds"]
    what = f"{found['first']['texts']:,} titles with MiniLM, CPU-s; from the cache"
    return [bar_line(what, "≤ 110; ≤ 1", f"{first:.0f}; {cached:.2f}", first <= 110 and cached <= 1, result["command"])]


@table("text-encoding")
def text_encoding() -> str:
    """What reading the texts of a shop costs, first and from the cache."""
    result = read_result("text_encoding")
    if result is None:
        return _MISSING
    rows = [
        [
            name,
            f"{found['first']['texts']:,}",
            f"{found['first']['cpu_seconds']:.1f}",
            f"{found['cached']['cpu_seconds']:.2f}",
            f"{found['first']['cache_bytes'] / 1e6:.1f}",
        ]
        for name, found in result["results"].items()
    ]
    return markdown(["encoder, what", "texts", "CPU-s", "from the cache", "cache, MB"], rows) + made_by(result)


@table("cold-bars")
def cold_bars_table() -> str:
    """The bars of cold items alone."""
    return markdown(["", "bar", "reached", "command"], cold_bars())


@table("streaming")
def streaming() -> str:
    """What updates cost and what they recover, held against the bar."""
    found = read_result("streaming")
    if found is None:
        return _MISSING
    head = ["data", "model", "stale", "updated", "refitted", "recovered", "update, CPU-s", "of a fit", "bar"]
    lines = []
    for row in found["results"]:
        cost = "cost holds" if row["cost_holds"] else "**cost missed**"
        gain = {"holds": "gain holds", "missed": "**gain missed**"}.get(row["recovery"], row["recovery"])
        values = [f"{row[who]:.4f}" for who in ("stale", "update", "refit")]
        recovered = "–" if row["recovered"] is None else f"{row['recovered']:.0%}"
        share = f"{row['cost_share_of_first_fit']:.1%}"
        seconds = f"{row['update_cpu_seconds']:.2g}"
        lines.append([row["dataset"], row["model"], *values, recovered, seconds, share, f"{cost}, {gain}"])
    return markdown(head, lines)


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


# By data set: what Recall and NDCG have to reach, and within which CPU-seconds.
_AUTO_BARS = {
    "amazon-beauty": (0.108, 0.0665, 900),
    "amazon-toys": (0.126, 0.079, 900),
    "amazon-sports": (0.059, 0.035, 1800),
    "ml-1m": (0.337, 0.198, 3600),
    "gowalla-lightgcn": (0.1872, 0.1580, 3600),
    "yelp-lightgnn": (0.0879, 0.0443, 3600),
}


def _auto_results() -> list[tuple[str, dict[str, Any]]]:
    found = [(name, read_result(f"auto_{name}")) for name in _AUTO_BARS]
    return [(name, result) for name, result in found if result is not None]


def _auto_command(name: str) -> str:
    return f"python benchmarks/auto_accuracy.py --datasets {name}"


@table("auto")
def auto_table() -> str:
    """What the search reached on every data set it was measured on, beside the floors."""
    rows = []
    for name, result in _auto_results():
        cells, means = result["results"]["cells"], result["results"]["summary"]
        k = cells[0]["k"]
        both = [f"recall@{k}", f"ndcg@{k}"]
        line = [name, ", ".join(str(c["seed"]) for c in cells), str(k)]
        line.append(" / ".join(digits(means["metrics"][m]) for m in both))
        line.append(" / ".join(digits(means["metrics"][f"{m}:kept"]) for m in both))
        for floor in ("floor", "popularity"):
            line.append(" / ".join(digits(cells[0]["metrics"][floor][m]) for m in both))
        p = max(c["p_vs_floor"] for c in cells)
        rows.append([*line, f"{p:.1g}", f"{means['cpu_seconds']:.0f} of {cells[0]['budget']:.0f}"])
    header = ["data", "seeds", "k", "Recall@k / NDCG@k", "the same, seen kept", "floor", "popularity", "p", "CPU-s"]
    return markdown(header, rows) + "\n\n`python benchmarks/auto_accuracy.py`" if rows else _MISSING


@table("auto-parts")
def auto_parts() -> str:
    """What each part of the last blend of the first seed adds."""
    rows = []
    for name, result in _auto_results():
        blends = [step for step in result["results"]["cells"][0]["ladder"] if step["step"] == "blend"]
        for part, added in blends[-1]["adds"].items() if blends else ():
            rows.append([name, part, f"{added['ndcg@10']:+.4f}", f"{added['se']:.4f}"])
    return markdown(["data", "part", "adds", "standard error"], rows) if rows else _MISSING


@bars
def auto_bars() -> list[list[str]]:
    """What the search had to reach."""
    lines = []
    for name, result in _auto_results():
        recall, ndcg, seconds = _AUTO_BARS[name]
        means, k = result["results"]["summary"], result["results"]["cells"][0]["k"]
        found = (means["metrics"][f"recall@{k}"], means["metrics"][f"ndcg@{k}"], means["cpu_seconds"])
        met = found[0] >= recall and found[1] >= ndcg and found[2] <= 1.25 * seconds
        bar = f"≥ {digits(recall)} / {digits(ndcg)} in {seconds:,} CPU-s ± 25 %"
        reached = f"{digits(found[0])} / {digits(found[1])} in {found[2]:.0f} CPU-s"
        n = len(means["seeds"])
        what = f"auto, {name}, Recall@{k} / NDCG@{k}, {n} seed{'s' if n > 1 else ''}"
        lines.append(bar_line(what, bar, reached, met, _auto_command(name)))
    return lines


if __name__ == "__main__":
    main()
