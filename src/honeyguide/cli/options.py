"""Options that several commands share, and what they mean."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

_MAPPING = "Columns of DATA"

DataRef = Annotated[
    str,
    typer.Argument(
        metavar="DATA", help="A file, a folder, a bundled name, a name under $HONEYGUIDE_DATA or a database URL."
    ),
]
Items = Annotated[Path | None, typer.Option("--items", help="Table of items, with the item id and, say, a title.")]
Pictures = Annotated[
    str | None,
    typer.Option(
        "--pictures",
        metavar="COLUMN|FILE|FOLDER",
        help="Pictures of items: a column of --items with paths or bytes, a table of them, or a folder of ID.jpg.",
    ),
]
UserCol = Annotated[str | None, typer.Option("--user-col", help="Column of user ids.", rich_help_panel=_MAPPING)]
ItemCol = Annotated[str | None, typer.Option("--item-col", help="Column of item ids.", rich_help_panel=_MAPPING)]
TimeCol = Annotated[str | None, typer.Option("--time-col", help="Column of times.", rich_help_panel=_MAPPING)]
LabelCol = Annotated[str | None, typer.Option("--label-col", help="Column of ratings.", rich_help_panel=_MAPPING)]
WeightCol = Annotated[str | None, typer.Option("--weight-col", help="Column of weights.", rich_help_panel=_MAPPING)]
GroupCol = Annotated[
    str | None, typer.Option("--group-col", help="Column of baskets, sessions or trips.", rich_help_panel=_MAPPING)
]
SplitCol = Annotated[
    str | None, typer.Option("--split-col", help="Column of train, valid and test.", rich_help_panel=_MAPPING)
]
Positive = Annotated[
    str | None,
    typer.Option("--positive", help="Which events count, such as 'rating>=4'.", rich_help_panel=_MAPPING),
]
InOrder = Annotated[
    bool,
    typer.Option(
        "--in-order",
        help="Rows of a user stand in the order in which things happened; times, where there are any, go first.",
        rich_help_panel=_MAPPING,
    ),
]
_READING: dict[str, tuple[Any, Any]] = {
    "items": (Items, None),
    "user_col": (UserCol, None),
    "item_col": (ItemCol, None),
    "time_col": (TimeCol, None),
    "label_col": (LabelCol, None),
    "weight_col": (WeightCol, None),
    "group_col": (GroupCol, None),
    "split_col": (SplitCol, None),
    "positive": (Positive, None),
    "in_order": (InOrder, False),
}
_MEANING = {
    "user_col": "user_id",
    "item_col": "item_id",
    "time_col": "timestamp",
    "label_col": "label",
    "weight_col": "weight",
    "group_col": "group_id",
    "split_col": "split",
}
Split = Annotated[
    str | None,
    typer.Option("--split", help="Split anew, not as published: leave-last-out, leave-last-new-out, global-time, ..."),
]
Bundle = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder written by 'honeyguide fit --out'.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output and nothing else.")]
K = Annotated[int, typer.Option("-k", min=1, help="How many.")]
Device = Annotated[
    str, typer.Option("--device", callback=lambda name: _known(device=name), help="auto, cpu, cuda, cuda:1 or mps.")
]
Precision = Annotated[
    str, typer.Option("--precision", callback=lambda name: _known(precision=name), help="float32 or bfloat16.")
]
MemoryLimit = Annotated[
    str | None, typer.Option("--memory-limit", help="Refuse what needs more, for example 4GB; default: what is free.")
]
Ray = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Run on this Ray cluster; its nodes share the folders written to."),
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="An option of the model.")]
Model = Annotated[
    str | None, typer.Option("--model", "-m", help="One of 'honeyguide models'.", autocompletion=lambda: model_names())
]


def model_names() -> list[str]:
    """Names of the registered models, for completion."""
    from honeyguide.models.registry import MODELS

    return list(MODELS)


def reads_data(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` with the options that say how DATA is read in the place of its parameter ``read``.

    It is given these as keywords for :func:`honeyguide.data.load.load_data`.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "read"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [inspect.Parameter(n, keyword, default=d, annotation=a) for n, (a, d) in _READING.items()]

    @wraps(command)
    def wrapped(**given: Any) -> None:
        said = {name: given.pop(name) for name in _READING}
        command(read=_read_options(**said), **given)

    wrapped.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in [*own, *shared]}
    return wrapped


def _read_options(items: Path | None, positive: str | None, in_order: bool, **columns: str | None) -> dict[str, Any]:
    named = {_MEANING[name]: column for name, column in columns.items() if column is not None}
    return {
        "items": items,
        "positive": positive,
        "order": "rows" if in_order else None,
        "columns": named or None,
    }


def _known(**where: str) -> str:
    """The device or precision, if there is such a one: before data is read, and of models that read neither."""
    from honeyguide.core.fitting import FitOptions

    FitOptions(**where)  # type: ignore[arg-type]
    return next(iter(where.values()))


def parse_bytes(text: str | None) -> int | None:
    """``"4GB"``, ``"512 MiB"`` or a plain number as bytes.

    Raises
    ------
    ConfigError
        If it is not an amount of memory.
    """
    from honeyguide.core.errors import ConfigError

    if text is None:
        return None
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    body = text.strip().upper().removesuffix("B").removesuffix("I").strip()
    number, unit = (body[:-1], body[-1]) if body[-1:] in units and body[-1:] else (body, "")
    try:
        return int(float(number) * units[unit])
    except ValueError as error:
        raise ConfigError(f"{text!r} is not an amount of memory.", "Write for example 4GB or 512MB.") from error


def parse_seconds(text: str) -> float:
    """``"90s"``, ``"10m"``, ``"2h"`` or a plain number of seconds.

    Raises
    ------
    ConfigError
        If it is not a time above zero.
    """
    from honeyguide.core.errors import ConfigError

    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    body = text.strip().lower()
    number, unit = (body[:-1], units[body[-1]]) if body[-1:] in units and body else (body, 1.0)
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise ConfigError(f"{text!r} is not a time.", "Write for example 90s, 10m or 2h.")
    return seconds
