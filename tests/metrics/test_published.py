from __future__ import annotations

import difflib
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide.core.errors import DataError
from honeyguide.metrics import published
from honeyguide.metrics.published import COLUMNS, Released, answered_lists, published_check
from honeyguide.metrics.registry import METRICS

DATA = os.environ.get("HONEYGUIDE_DATA")


@pytest.mark.full
@pytest.mark.skipif(not DATA, reason="HONEYGUIDE_DATA does not name the folder of data sets")
def test_every_released_cell_is_reproduced():
    cells = published_check(Path(str(DATA)) / "ml-small-2018")
    assert len(cells) == 11 * 20
    excused = {cell["system"] for cell in cells if cell["reason"]}
    complete = (Path(str(DATA)) / "llm-answers-ml-small").exists()
    assert len(excused) == (0 if complete else 2)  # ChatGPT's two rows need its raw answers
    for cell in cells:
        assert cell["reason"] or abs(cell["difference"]) <= 1e-3, cell


@pytest.fixture
def folder(tmp_path):
    """Three users, four items, two systems; the second system's lists were not released."""
    pl.DataFrame(
        {
            "user_id": [1, 1, 2, 2, 3, 3],
            "item_id": [10, 20, 10, 30, 20, 30],
            "rating": [5.0, 4.0, 3.0, 4.0, 3.0, 3.0],
            "split": ["train", "test", "train", "test", "train", "train"],
        }
    ).write_parquet(tmp_path / "interactions.parquet")
    pl.DataFrame(
        {
            "model": ["ChatGPT-3.5"] * 4 + ["Pop"] * 4,
            "user_id": [1, 1, 2, 2] * 2,
            "item_id": [10, 20, 99, 10, 20, 30, 30, 20],
            "rank": [1, 2, 1, 2] * 2,
        }
    ).write_parquet(tmp_path / "published_recommendations_top20.parquet")
    values = {column: [0.0, 1.0, 0.0] for column in COLUMNS}
    names = ["output_exp_1_rec_movie_copy", "Pop_nn=20", "output_exp_2_rec_movie_rerank"]
    pl.DataFrame({"model": names, **values}).write_parquet(tmp_path / "published_metrics_at10.parquet")
    return tmp_path


def cell(cells, system, column):
    return next(c for c in cells if c["system"].startswith(system) and c["column"] == column)


def test_seen_and_unknown_items_are_dropped_before_the_cut(folder):
    cells = published_check(folder)
    assert cell(cells, "Pop", "HR")["ours"] == 1.0
    assert cell(cells, "Pop", "HR")["holds"]
    assert cell(cells, "Pop", "MRR")["ours"] == 1.0
    assert cell(cells, "Pop", "UserCoverage")["ours"] == 2
    chat = cell(cells, "output_exp_1", "HR")  # user 2 has only an unknown and a seen item
    assert (chat["ours"], chat["difference"], chat["holds"], chat["reason"]) == (0.5, 0.5, False, published.CUT_LISTS)
    other = cell(cells, "output_exp_2", "HR")
    assert (other["ours"], other["holds"], other["reason"]) == (None, False, published.NOT_SHIPPED)
    assert {c["metric"].removesuffix("@10") for c in cells} <= set(METRICS)


def test_profiles_are_cut_to_the_best_rated_items(folder):
    rows = pl.read_parquet(folder / "interactions.parquet")
    extra = pl.DataFrame({"user_id": [1, 1], "item_id": [5, 40], "rating": [5.0, 3.0], "split": ["train"] * 2})
    pl.concat([rows, extra]).write_parquet(folder / "interactions.parquet")
    released = Released.read(folder, profile=1)
    assert released.items.decode(released.catalogue.histories[0]).to_list() == [5]  # ties by lower id
    assert released.grades.tolist() == [5.0, 5.0]
    assert released.catalogue.users_in_train == 3


def test_answers_are_grounded_by_title_then_by_the_closest(tmp_path, folder):
    titles = ["Matrix, The (1999)", "Heat (1995)", "Heat (1995)", "Alien (1979)"]
    pl.DataFrame({"item_id": [10, 20, 30, 40], "title": titles}).write_parquet(folder / "items.parquet")
    answer = "Here you go:\n1. Heat (1995)\n2. The Matrix (1999)\n 3.  Zzz\n4.\nthe end"
    raw = tmp_path / "answers"
    raw.mkdir()
    columns = {
        "model": ["gpt-3.5-turbo", "palm-2", "gpt-3.5-turbo"],
        "experiment": ["E1", "E1", "E2"],
        "user_id": [1, 1, 2],
        "answer": [answer, answer, "1. Heat (1985)"],
    }
    pl.DataFrame(columns).write_parquet(raw / "answers.parquet")
    assert answered_lists(raw, folder).rows() == [("E1", 1, 30), ("E1", 1, 10), ("E2", 2, 30)]
    cells = published_check(folder, raw)
    assert cell(cells, "output_exp_1", "HR")["ours"] == 0.0
    assert cell(cells, "output_exp_2", "HR")["ours"] == 0.5
    assert all(c["reason"] is None for c in cells)


def test_the_closest_title_is_the_one_difflib_finds():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcd"), 6)) for _ in range(300)]
    for name in words[:40]:
        expected = difflib.get_close_matches(name[::-1], words, n=1, cutoff=0.6)
        assert published._closest(name[::-1], words) == (expected[0] if expected else None)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"published_metrics_at10\.parquet"):
        published_check(tmp_path)
