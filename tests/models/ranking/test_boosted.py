from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, MemoryLimitError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import Ragged
from honeyguide.core.topk import top_k
from honeyguide.data.build import build
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.linear.floor import Floor
from honeyguide.models.popularity import Popularity
from honeyguide.models.ranking.boosted import Boosted, hold_out, labelled
from honeyguide.models.ranking.candidates import BLOCK, Pool, Retrieval
from honeyguide.models.ranking.features import PRIOR
from honeyguide.models.registry import load_model

QUICK = {"sources": ("floor", "ials", "popularity"), "trees": 60, "candidates": 30}


@pytest.fixture(scope="module")
def model(books: Dataset) -> Boosted:
    return Boosted(**QUICK).fit(books)


# -- who learns from what ------------------------------------------------------------------------


def test_the_last_liked_train_event_of_everybody_who_has_two_is_held_out(books: Dataset) -> None:
    inner, held = hold_out(books.select("train", "valid"), seed=0)
    train, valid = books.histories("train"), books.histories("valid")
    for user, history in enumerate(train):
        last = history[-1:] if len(history) > 1 else history[:0]
        assert_array_equal(held[user], last)
        assert_array_equal(inner.histories("train")[user], history[: len(history) - len(last)])
    assert_array_equal(inner.histories("valid").values, valid.values)


def test_without_order_a_seeded_share_is_held_out_and_something_stays(unordered: Dataset) -> None:
    inner, held = hold_out(unordered.select("train", "valid"), seed=0)
    train = unordered.histories("train")
    left = inner.histories("train")
    assert (held.lengths[train.lengths >= 2] >= 1).all()
    assert (left.lengths[train.lengths >= 1] >= 1).all()
    for user in range(len(train)):
        assert sorted([*left[user], *held[user]]) == sorted(train[user])
    assert_array_equal(hold_out(unordered.select("train", "valid"), seed=0)[1].values, held.values)
    assert not np.array_equal(hold_out(unordered.select("train", "valid"), seed=1)[1].values, held.values)
    disliked = unordered.select("train").interactions.filter(~pl.col("positive")).height
    assert inner.select("train").interactions.filter(~pl.col("positive")).height == disliked


def test_the_features_of_the_trees_have_never_seen_the_labels(books: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the held-out events are, the sources of the first stage are the same."""
    fitted: list[Dataset] = []
    usual = Boosted._sources

    def watch(self: Boosted, data: Dataset, options: FitOptions, stage: str) -> object:
        fitted.append(data)
        return usual(self, data, options, stage)

    monkeypatch.setattr(Boosted, "_sources", watch)
    Boosted(sources=("popularity",), trees=2).fit(books)
    inner, whole = fitted
    held = hold_out(books.select("train", "valid"), seed=0)[1]
    assert inner.select("train").interactions.height == whole.select("train").interactions.height - len(held.values)
    assert whole.interactions.equals(books.select("train", "valid").interactions)


def test_only_users_with_a_right_and_a_wrong_candidate_teach() -> None:
    rows, items = np.array([0, 0, 1, 1, 2]), np.array([4, 5, 4, 6, 7], np.int32)
    pool = Pool(rows, items, np.arange(5, dtype=np.float32)[:, None])
    kept, labels, groups = labelled(pool, Ragged.from_lists([[5], [9], [7]]))
    assert_array_equal(kept.rows, [0, 0])
    assert_array_equal(labels, [0, 1])
    assert_array_equal(groups, [2])


# -- features ------------------------------------------------------------------------------------


def test_features_by_hand() -> None:
    rows = [("a", 0), ("a", 1), ("a", 1), ("b", 0), ("b", 2), ("c", 0), ("c", 3)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    data = build("few", frame.with_columns(position=pl.int_range(pl.len()).over("user_id")))
    retrieval = Retrieval.of([Popularity().fit(data)], data, per_source=2, repeats=True)
    pool = retrieval.pools(data.histories().take(slice(0, 1)))
    assert_array_equal(pool.items, [0, 1, 2, 3])  # two unseen ones of the source, two of the history
    found = dict(zip(retrieval.names, pool.features.T, strict=True))
    counts = np.array([3, 2, 1, 1])
    assert_allclose(found["popularity score"], counts)
    assert_allclose(found["popularity z-score"], (counts - counts.mean()) / counts.std(), rtol=1e-5)
    assert_allclose(found["popularity rank"], np.log1p([0, 1, 2, 3]), rtol=1e-6)
    assert_allclose(found["popularity"], np.log1p(counts), rtol=1e-6)
    assert_allclose(found["history length"], np.log1p([3] * 4), rtol=1e-6)
    assert_allclose(found["repeats"], np.log1p([1, 2, 0, 0]), rtol=1e-6)
    assert_allclose(found["last seen"], [np.log1p(2), 0, -1, -1], rtol=1e-6)
    assert_array_equal(found["sources"], [1, 1, 0, 0])


def test_the_history_is_a_source_only_where_train_repeats(books: Dataset) -> None:
    assert not Boosted(sources=("popularity",), trees=2).fit(books).retrieval.repeats
    twice = books.interactions.with_columns(item=pl.when(pl.col("item") < 40).then(0).otherwise("item").cast(pl.Int32))
    repeating = replace(books, interactions=twice)
    model = Boosted(sources=("popularity",), trees=2).fit(repeating)
    assert model.retrieval.repeats
    pool = model.retrieval.pools(repeating.histories("train").take(slice(0, 1)))
    assert set(repeating.histories("train")[0][-100:]) <= set(pool.items)


# -- lists ---------------------------------------------------------------------------------------


def test_it_ranks_better_than_popularity_and_not_worse_than_its_best_source(model: Boosted, books: Dataset) -> None:
    histories, truth = books.histories("train", "valid"), books.histories("test")
    best, *others = (holdout_ndcg(s.score_histories, histories, truth).mean() for s in model.retrieval.sources)
    ours = holdout_ndcg(model.score_histories, histories, truth).mean()
    assert ours > 0.9 * max(best, *others)
    assert ours > 1.5 * others[-1]


def test_items_outside_the_candidates_follow_in_the_order_of_the_first_source(model: Boosted, books: Dataset) -> None:
    histories = books.histories("train").take(slice(0, 5))
    scores, base = model.score_histories(histories), model.retrieval.sources[0].score_histories(histories)
    pool = model.retrieval.pools(histories)
    for row in range(5):
        inside = np.isin(np.arange(books.n_items), pool.items[pool.rows == row])
        assert 30 <= inside.sum() <= 90
        assert scores[row, inside].min() > scores[row, ~inside].max()
        order = np.argsort(-scores[row, ~inside], kind="stable")
        assert (np.diff(base[row, ~inside][order]) <= 1e-6 * np.abs(base[row]).max()).all()


def test_a_users_scores_do_not_depend_on_the_others_bit_by_bit(model: Boosted, books: Dataset) -> None:
    histories = books.histories("train").take(slice(0, BLOCK + 9))
    together = model.score_histories(histories)
    for row in (0, 31, BLOCK + 8):
        assert_array_equal(model.score_histories(histories.take(slice(row, row + 1)))[0], together[row])


def test_the_trees_are_kept_as_text_and_a_second_fit_gives_the_same(model: Boosted, books: Dataset) -> None:
    arrays, _ = model._state()
    assert arrays["trees"].dtype == np.uint8
    assert arrays["trees"].tobytes().startswith(b"tree\n")
    assert Boosted(**QUICK).fit(books).text == model.text


def test_the_report_says_how_the_trees_grew_and_what_they_read(model: Boosted) -> None:
    values = [entry["valid_ndcg@10"] for entry in model.report.curve]
    assert 1 <= model.trees.num_trees() == int(np.argmax(values)) + 1 <= len(values) <= 60
    assert sum(entry["gain"] for entry in model.report.search) == pytest.approx(1)
    assert model.report.search[0]["feature"].split()[0] in QUICK["sources"]


# -- limits --------------------------------------------------------------------------------------


def test_with_too_few_users_the_first_source_answers(books: Dataset, tmp_path: Path) -> None:
    few = replace(books, interactions=books.interactions.filter(pl.col("user") < 10))
    model = Boosted(sources=("floor", "popularity")).fit(few)
    histories = few.histories("train")
    assert model.trees is None
    expected = top_k(Floor().fit(few).score_histories(histories), 5)[0]
    assert_array_equal(top_k(model.score_histories(histories), 5)[0], expected)
    model.save(tmp_path)
    assert_array_equal(Boosted.load(tmp_path).score_histories(histories), model.score_histories(histories))


@pytest.mark.parametrize("sources", [("boosted",), ("no-such-model",), ()])
def test_what_cannot_retrieve_is_refused(sources: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="sources"):
        Boosted(sources=sources)


def test_sources_follow_the_size_of_the_catalogue(books: Dataset) -> None:
    assert Boosted()._names(400) == ("floor", "ease", "popularity")
    assert Boosted()._names(40_000) == ("floor", "ials", "popularity")


def test_a_fit_that_is_too_large_is_refused_before_any_source_is_fitted(books: Dataset) -> None:
    model = Boosted()
    with pytest.raises(MemoryLimitError, match="boosted"):
        model.fit(books, FitOptions(memory_limit=10**6))


def test_an_update_counts_events_and_keeps_the_trees(model: Boosted, books: Dataset, tmp_path: Path) -> None:
    model.save(tmp_path)
    grown = load_model(tmp_path)
    n = books.n_items
    items = grown.item_ids.append(pl.Series([10**9]))
    before, after = Ragged.from_lists([[1, 2], []]), Ragged.from_lists([[1, 2, n, n], [n]])
    trees, trends = grown.text, grown.retrieval.trends.copy()
    grown.update(before, after, items)
    assert grown.text == trees and grown.left_behind == ()
    assert grown.retrieval.counts[n] == 3
    assert_allclose(grown.retrieval.trends[n], (0.5 * PRIOR + 3) / (3 + PRIOR), rtol=1e-6)
    assert_allclose(grown.retrieval.trends[:n], trends, rtol=1e-6)
    grown.save(tmp_path)
    assert_array_equal(load_model(tmp_path).score_histories(after), grown.score_histories(after))


def test_new_items_are_the_last_of_a_source_that_cannot_be_updated(model: Boosted, books: Dataset) -> None:
    source = Popularity().fit(books)
    source.report.behind = True
    counts = np.append(books.popularity("train"), np.float32(3))
    retrieval = Retrieval([source], counts, np.full(len(counts), 0.5, np.float32), 5, repeats=False)
    scores = retrieval.scores(source, Ragged.from_lists([[0, books.n_items]]))
    assert_array_equal(scores[0, :-1], books.popularity("train"))
    assert scores[0, -1] == books.popularity("train").min()
    assert top_k(scores, len(counts))[0][0, -1] == books.n_items
