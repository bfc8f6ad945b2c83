"""Synthetic logs: exact sizes, the same from the same seed, and the structure that they promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.data import generate as generating
from honeyguide.data.generate import LogShape, LogStatistics, World, generate, user_lengths
from honeyguide.data.load import load_data
from honeyguide.data.splits import auto_split
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.linear.floor import Floor
from honeyguide.models.popularity import Popularity

SHAPE = LogShape(events=60_000, users=5_000, items=1_000, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="module")
def found(folder: Path) -> LogStatistics:
    return generate(folder, SHAPE)


@pytest.fixture(scope="module")
def log(found: LogStatistics, folder: Path) -> Dataset:
    return load_data(folder)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.integers(0, 3000), st.integers(1, 300), st.integers(0, 5))
def test_lengths_sum_to_the_events_and_leave_nobody_out(users: int, more: int, items: int, seed: int) -> None:
    lengths = user_lengths(LogShape(users + more, users, items, seed))
    assert len(lengths) == users
    assert lengths.sum() == users + more
    assert lengths.min() >= min(3, (users + more) // users)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (50, 50, 3), (999, 7, 1), (3000, 211, 2000)])
def test_sizes_are_exact(sizes: tuple[int, int, int], tmp_path: Path) -> None:
    generate(tmp_path, LogShape(*sizes))
    data = load_data(tmp_path)
    assert (data.interactions.height, data.n_users, data.n_items) == sizes
    assert data.interactions["user"].n_unique() == sizes[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset.toml", "interactions.parquet", "items.parquet"]


def test_a_seed_gives_one_log_and_another_seed_another(folder: Path, found: LogStatistics, tmp_path: Path) -> None:
    again = generate(tmp_path / "a", SHAPE)
    generate(tmp_path / "b", LogShape(SHAPE.events, SHAPE.users, SHAPE.items, seed=4))
    for name in ("interactions.parquet", "items.parquet"):
        frame = pl.read_parquet(folder / name)
        assert frame.equals(pl.read_parquet(tmp_path / "a" / name))
        assert not frame.equals(pl.read_parquet(tmp_path / "b" / name))
    assert again == found


def test_users_are_written_block_by_block(
    folder: Path, found: LogStatistics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generating, "_BLOCK", 64)
    shape = LogShape(events=3_000, users=300, items=100)
    generate(tmp_path, shape)
    frame = pl.read_parquet(tmp_path / "interactions.parquet")
    assert frame["user_id"].is_sorted()
    assert frame.group_by("user_id", maintain_order=True).len()["len"].to_list() == user_lengths(shape).tolist()


def test_popularity_is_a_power_law(log: Dataset, found: LogStatistics) -> None:
    """Weights have the exponent exactly; counts fall a fifth more slowly, since nobody takes the favourites twice."""
    ranks = np.arange(11, 301) + SHAPE.items / 1000

    def slope(values: np.ndarray) -> float:
        return float(np.polyfit(np.log(ranks), np.log(np.sort(values)[::-1][10:300]), 1)[0])

    assert slope(np.diff(World.draw(SHAPE).mass)) == pytest.approx(-SHAPE.exponent, abs=0.01)
    assert -SHAPE.exponent < slope(log.popularity()) < -0.7 * SHAPE.exponent
    assert found.gini == pytest.approx(0.6, abs=0.1)


def test_without_a_power_law_items_are_taken_alike(tmp_path: Path) -> None:
    flat = generate(tmp_path, LogShape(20_000, 1_000, 200, exponent=0.0, follow=0.0))
    assert flat.gini < 0.35


def test_activity_is_skewed(found: LogStatistics) -> None:
    assert found.lengths["0%"] == 3
    assert found.lengths["50%"] < 12 < found.lengths["90%"]
    assert found.lengths["100%"] > 80


def test_users_keep_to_a_few_clusters(log: Dataset) -> None:
    clusters = log.interactions.join(
        log.items.select("category").with_row_index("item").cast({"item": pl.Int32}), on="item"
    )
    share = clusters.group_by("user", "category").len().group_by("user").agg(pl.max("len"), pl.sum("len").alias("all"))
    assert float((share["len"] / share["all"]).mean()) > 0.5  # type: ignore[arg-type]
    assert log.items["category"].n_unique() > 20


def test_times_rise_and_nobody_repeats_much(log: Dataset, found: LogStatistics) -> None:
    steps = log.interactions.select(pl.col("timestamp").diff().over("user")).drop_nulls()["timestamp"]
    assert steps.min() > 0 * steps.max()  # type: ignore[operator]
    assert found.repeats < 0.01


def test_the_order_is_what_was_asked_for(log: Dataset, found: LogStatistics, tmp_path: Path) -> None:
    assert 0.25 < found.followed < 0.4
    world = World.draw(SHAPE)
    item, user = log.interactions["item"].to_numpy(), log.interactions["user"].to_numpy()
    follows = (world.successors[item[:-1]] == item[1:, None]).any(axis=1) & (user[1:] == user[:-1])
    assert follows.sum() / SHAPE.events == pytest.approx(found.followed)
    assert generate(tmp_path, LogShape(6_000, 500, 1_000, follow=0.0)).followed < 0.6 * found.followed


def test_titles_tell_clusters_apart(log: Dataset) -> None:
    words = log.items.select("category", pl.col("title").str.split(" ").list.head(3)).explode("title")
    vocabulary = words.group_by("category").agg(pl.col("title").n_unique())
    assert vocabulary["title"].max() <= 6  # type: ignore[operator]
    assert log.items["title"].n_unique() > 500


def test_order_carries_information(log: Dataset) -> None:
    """The floor is far above popularity, and what follows what tells much less where train events are shuffled."""

    def ndcg(model: Floor | Popularity, data: Dataset) -> float:
        fitted = model.fit(data)
        return float(holdout_ndcg(fitted.score_histories, data.histories("train"), data.histories("test")).mean())

    data = auto_split(log)
    rules = {"normalisations": ("row",), "decays": (0.6,), "window": 1}
    assert ndcg(Floor(**rules, mixes=(0.5,)), data) > 2.5 * ndcg(Popularity(), data)
    noise = pl.Series("noise", np.random.default_rng(0).random(SHAPE.events))
    frame = data.interactions.with_columns(noise, held=pl.col("split") != "train").sort("user", "held", "noise")
    shuffled = replace(data, interactions=frame.drop("noise", "held"))
    assert ndcg(Floor(**rules, mixes=(0.0,)), shuffled) < 0.8 * ndcg(Floor(**rules, mixes=(0.0,)), data)


@pytest.mark.parametrize("wrong", [{"events": 5, "users": 6}, {"users": 0}, {"items": 0}, {"follow": 1.5}])
def test_sizes_that_do_not_fit_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        LogShape(**wrong)  # type: ignore[arg-type]
