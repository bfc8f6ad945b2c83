"""What a fit and a comparison need of a data set: parts where it does not come with them, and something to learn."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.data.pictures import PICTURE
from honeyguide.data.reading import Reading
from honeyguide.data.splits import auto_split
from honeyguide.data.valid import ensure_valid
from honeyguide.encode.items import item_texts, text_columns


def with_valid(data: Dataset, seed: int = 0) -> Dataset:
    """``data`` with a part to choose on; without any split, all the rest is train."""
    if "split" not in data.interactions.columns:
        data = replace(data, interactions=data.interactions.with_columns(split=pl.lit("train")))
    return ensure_valid(data, seed=seed)


def with_test(data: Dataset, seed: int = 0) -> Dataset:
    """``data`` with the parts train, valid and test; a published split is obeyed.

    Raises
    ------
    DataError
        If there is nothing to test on.
    """
    data = auto_split(data, seed=seed)
    if not len(data.histories("test").values):
        raise DataError("the split has no test part.", "Split it with 'honeyguide data split', or drop its column.")
    return ensure_valid(data, seed=seed)


def what_is_learnt(data: Dataset, reading: Reading | None = None) -> str | None:
    """What can be learnt where all events are of one user or about one item, in words; ``None`` where there are more.

    Parameters
    ----------
    data
        Its parts train and valid are what a fit sees.
    reading
        Names the columns for a remedy: such a log is mostly one whose columns were mistaken.

    Raises
    ------
    DataError
        If whatever is learnt could only say nothing: there is one item, or nothing tells apart what a single user may
        be shown.
    """
    events = data.select("train", "valid").positives()
    users, items = events["user"].n_unique(), events["item"].n_unique()
    if not events.height or (users > 1 and items > 1):
        return None
    described, named = _others_are_described(data, events["item"]), reading.columns if reading is not None else {}
    if items == 1:
        return _of_one_item(data.item_ids.values[int(events["item"][0])], named.get("item_id", "item_id"), described)
    user, again = data.user_ids.values[int(events["user"][0])], events.height > items
    return _of_one_user(user, named.get("user_id", "user_id"), described, again)


def _of_one_item(item: object, column: str, described: bool) -> str:
    if not described:
        raise DataError(
            f"all events are about one item ({item}), so there is nothing to choose between.",
            f"If {column!r} is not the column of items, name it with --item-col. Others come in by their words, with "
            "--items TABLE.",
        )
    return (
        "All events are about one item: others can be recommended by their words or pictures alone, which cold-map "
        "and the profile models read."
    )


def _of_one_user(user: object, column: str, described: bool, again: bool) -> str:
    if not described and not again:
        raise DataError(
            f"all events are of one user ({user}), and nothing tells what to recommend next: no item was taken twice, "
            "and no other has words.",
            f"If {column!r} is not the column of users, name it with --user-col. For one person alone, give items "
            "that the person has not taken yet, with words: --items TABLE.",
        )
    new = "new items by their words or pictures, which cold-map and the profile models read" if described else ""
    old = "what is done again, to be asked for with --seen" if again else ""
    return (
        "All events are of one user: nothing can be learnt from others, and figures on valid mean little. What can be "
        f"recommended is {' and '.join(filter(None, (new, old)))}."
    )


def _others_are_described(data: Dataset, used: pl.Series) -> bool:
    """Whether an item without events has a word or a picture."""
    others = data.items.filter(~pl.int_range(pl.len()).is_in(used.cast(pl.Int64).unique().implode()))
    pictured = PICTURE in others.columns and others[PICTURE].null_count() < others.height
    return pictured or any(item_texts(others, text_columns(data.items)))
