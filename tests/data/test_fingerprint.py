from __future__ import annotations

from dataclasses import replace

import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.data.fingerprint import fingerprint


def test_any_change_of_the_events_changes_the_fingerprint(books: Dataset) -> None:
    frame = books.interactions
    changed = [
        frame.head(-1),
        frame.with_columns(split=pl.lit("train")),
        frame.with_columns(position=pl.col("position") + 1),
        frame.with_columns(item=pl.col("item").reverse()),
        frame.with_columns(label=pl.lit(1.0)),
        frame.with_columns(label=pl.lit(None, pl.Float64)),
    ]
    prints = {fingerprint(books), *(fingerprint(replace(books, interactions=c)) for c in changed)}
    assert len(prints) == 1 + len(changed)


def test_models_that_read_text_are_measured_again_when_a_title_changes(books: Dataset) -> None:
    changed = replace(books, items=books.items.with_columns(title=pl.col("title").str.replace("The", "A")))
    assert fingerprint(changed) != fingerprint(books)
    assert fingerprint(replace(books, items=books.items.clone())) == fingerprint(books)
