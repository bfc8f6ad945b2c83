"""Models learnt from pairs: accuracy with every set of options, and ways to fold a history in."""

from __future__ import annotations

from functools import partial

from _tables import MISSING, bar_line, bars, digits, made_by, markdown, options_text, table
from _tables.figures import ACCURACY_BARS, published_cell
from result_file import read_result

PAIRWISE = ("mf-bpr", "mf", "lightgcn", "simplex", "slim")


def pairwise_page(model: str) -> str:
    """What a model of ``cf_accuracy.py`` reached, with every set of options measured."""
    result = read_result("cf_accuracy")
    cells = [cell for cell in result["results"] if cell["model"] == model] if result else []
    if result is None or not cells:
        return MISSING
    rows = []
    for cell in cells:
        pairs = [
            " / ".join(digits(values[f"{name}@20{suffix}"]) for name in ("recall", "ndcg"))
            for values, suffix in ((cell["valid"], ""), (cell["test"], ""), (cell["test"], ":kept"))
        ]
        cost = f"{cell['cpu_seconds']['fit']:.1f}", f"{cell['peak_rss_mb']:.0f}"
        rows.append(
            [
                cell["dataset"],
                options_text(cell["options"]),
                str(cell["seed"]),
                *pairs,
                *cost,
                published_cell(model, cell["dataset"]),
            ]
        )
    header = ["data", "options", "seed", "valid Recall@20 / NDCG@20", "test", "the same, seen kept"]
    return markdown([*header, "fit, CPU-s", "peak MB", "published"], rows) + made_by(result)


def fold_in_page(model: str) -> str:
    """Recall@20 / NDCG@20 on valid of the trained users' vectors and of each way to fold a history in."""
    result = read_result("cf_accuracy")
    cells = [cell for cell in result["results"] if cell["model"] == model and cell["fold_in"]] if result else []
    if result is None or not cells:
        return MISSING
    ways = list(cells[0]["fold_in"])
    rows = []
    for cell in cells:
        found = [cell["fold_in"][way] for way in ways]
        shown = [f"{digits(values['recall@20'])} / {digits(values['ndcg@20'])}" for values in found]
        rows.append([cell["dataset"], options_text(cell["options"]), *shown])
    return markdown(["data", "options", *ways], rows) + f"\n\n`{result['command']}`, up to 5,000 users of valid"


for _model in PAIRWISE:
    table(f"model-{_model}")(partial(pairwise_page, _model))
    table(f"fold-in-{_model}")(partial(fold_in_page, _model))


@bars
def pairwise_bars() -> list[list[str]]:
    """Accuracy of models learnt from pairs."""
    result, lines = read_result("cf_accuracy"), []
    for cell in result["results"] if result else ():
        if (cell["model"], cell["dataset"]) in ACCURACY_BARS and not cell["options"]:
            bar, holds = ACCURACY_BARS[cell["model"], cell["dataset"]]
            recall, ndcg, seconds = cell["test"]["recall@20"], cell["test"]["ndcg@20"], cell["cpu_seconds"]["fit"]
            what = f"{cell['model']}, {cell['dataset']}, Recall@20 / NDCG@20"
            reached = f"{digits(recall)} / {digits(ndcg)} in {seconds:.1f} CPU-s"
            lines.append(bar_line(what, bar, reached, holds(recall, ndcg, seconds), result["command"]))
    return lines
