"""What goes over all families: every bar, and every model."""

from __future__ import annotations

from _tables import BARS, MISSING, made_by, markdown, table
from honeyguide.core.errors import MissingExtraError
from honeyguide.models.registry import MODELS, PLUGINS
from result_file import read_result


@table("bars")
def all_bars() -> str:
    """What had to be reached and what was, from every result file that is there."""
    return markdown(["", "bar", "reached", "command"], [line for lines in BARS for line in lines()], words=4)


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
    return markdown(["model", "what it is", "capabilities"], rows, words=3)


@table("plugins")
def plugins() -> str:
    """Every registered plug-in, and its page."""
    pages = {"text-align": "easyrec"}
    rows = [[f"[`{p.name}`](docs/models/{pages.get(p.name, p.name)}.md)", p.summary] for p in PLUGINS.values()]
    return markdown(["plug-in", "what it does"], rows, words=2)


@table("goodbooks-tags")
def goodbooks_tags() -> str:
    """Whether books that the same people read have tags in common."""
    result = read_result("goodbooks_tags")
    if result is None:
        return MISSING
    found = result["results"]
    rows = [[name, f"{value:.3f}"] for name, value in found["agreement_of_neighbours"].items()]
    rows.append(["bundled books without tags", f"{found['bundled_without_tags']} of {found['bundled']:,}"])
    return markdown(("mean cosine of the tags of a book and of its ten neighbours by readers", ""), rows) + made_by(
        result
    )
