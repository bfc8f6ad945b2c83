"""``honeyguide experiment``: what the experiments of a service have shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from honeyguide.cli import console, options
from honeyguide.cli.serve import StoreUrl, store_url


def experiment(
    model: options.Bundle,
    experiments: Annotated[
        Path, typer.Option("--experiments", metavar="FILE", help="The file that the service was started with.")
    ],
    store: StoreUrl = None,
    name: Annotated[str | None, typer.Option("--name", help="Only this one.")] = None,
    days: Annotated[float, typer.Option("--days", min=0, help="How far to look back; 0: all there is.")] = 30.0,
    json: options.Json = False,
) -> None:
    """Compare the variants of running experiments, user by user; no winner is named within noise."""
    from honeyguide.core.errors import UnknownNameError
    from honeyguide.serve.analysis import analyse
    from honeyguide.serve.experiments import read_plan
    from honeyguide.serve.store import Store

    plan = read_plan(experiments).experiment
    if name is not None and name not in {one.name for one in plan}:
        raise UnknownNameError("experiment", name, [one.name for one in plan])
    database = Store(store_url(store, model))
    try:
        reports = [analyse(database, one, days) for one in plan if name in (None, one.name)]
    finally:
        database.close()
    if json:
        console.emit({"experiments": reports})
        return
    for report in reports:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    title = f"{report['experiment']} ({report['method']})"
    if report["method"] == "ab":
        heads = ["variant", "users", "lists", "clicks per list", "lift", "p", "conversion"]
        rows = [
            [v["variant"], f"{v['users']:,}", f"{v['lists']:,}", _interval(v["clicks_per_list"]),
             _interval(v.get("clicks_per_list_lift"), percent=True), _p(v.get("clicks_per_list_lift")),
             _interval(v["conversion"])]
            for v in report["variants"]
        ]  # fmt: skip
        console.results().print(console.table(title, heads, rows, numeric=6))
        ratio = report["sample_ratio"]
        console.results().print(f"Users are shared as asked for: p = {ratio['p']:.3g}.")
        if report["users_in_several_variants"]:
            console.results().print(f"{report['users_in_several_variants']:,} users saw several and are left out.")
    else:
        heads = ["variant", "users won", "lists won"]
        rows = [[v["variant"], f"{v['users_won']:,}", f"{v['lists_won']:,}"] for v in report["variants"]]
        console.results().print(console.table(title, heads, rows, numeric=2))
        if report["p"] is not None:
            console.results().print(f"Sign test over users: p = {report['p']:.3g}.")
    console.results().print(f"Verdict: {report['verdict']}.\n")


def _interval(found: dict[str, Any] | None, percent: bool = False) -> str:
    if found is None or found["value"] is None:
        return ""
    scale, form = (100, "{:+.1f} %") if percent else (1, "{:.4f}")
    text = form.format(scale * found["value"])
    if found["low"] is None:
        return text
    low, high = (form.format(scale * found[end]) for end in ("low", "high"))
    return f"{text} [{low}, {high}]"


def _p(found: dict[str, Any] | None) -> str:
    return "" if found is None else f"{found['p']:.3g}"
