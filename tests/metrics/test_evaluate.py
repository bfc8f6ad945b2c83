from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from honeyguide.core.errors import ConfigError, DataError, UnknownNameError
from honeyguide.core.ragged import Ragged
from honeyguide.metrics.catalogue import Catalogue, CooccurrenceSimilarity
from honeyguide.metrics.evaluate import StreamingEvaluator, evaluate_lists, parse
from honeyguide.metrics.lists import Conventions
from honeyguide.metrics.registry import METRICS
from honeyguide.metrics.report import report

N, M, WIDTH = 200, 30, 8


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    lists = np.argsort(rng.random((N, M)), axis=1)[:, :WIDTH].astype(np.int32)
    truth = Ragged.from_lists([rng.integers(0, M, rng.integers(0, 5)) for _ in range(N)])
    histories = Ragged.from_lists([rng.integers(0, M, rng.integers(0, 6)) for _ in range(N)])
    catalogue = Catalogue(
        M,
        np.bincount(histories.values, minlength=M).astype(np.float32),
        histories,
        similarity=CooccurrenceSimilarity(histories, M),
        genres=(rng.random((M, 4)) < 0.4).astype(np.float32),
        ages=rng.integers(0, 60, M).astype(np.float32),
    )
    return lists, truth, catalogue, rng.integers(0, 2, len(truth.values)).astype(float)


ALL = [f"{id}@{k}" for id, m in METRICS.items() if m.kind != "function" for k in (3, 8)]


def test_blocks_merged_or_streamed_give_what_one_call_gives(world):
    lists, truth, catalogue, grades = world
    whole = evaluate_lists(lists, truth, ALL, catalogue, grades=grades)
    catalogue = replace(catalogue, n_train_users=catalogue.users_in_train)
    stream, parts = StreamingEvaluator(ALL, catalogue), []
    for start in range(0, N, 70):
        rows, span = slice(start, start + 70), slice(truth.offsets[start], truth.offsets[min(start + 70, N)])
        histories = catalogue.histories.take(rows)
        stream.add(lists[rows], truth.take(rows), grades=grades[span], histories=histories)
        part = replace(catalogue, histories=histories)
        parts.append(evaluate_lists(lists[rows], truth.take(rows), ALL, part, grades=grades[span]))
    for other in (stream.result(), parts[0].merge(parts[1]).merge(parts[2])):
        assert (other.n_users, other.n_skipped) == (whole.n_users, whole.n_skipped)
        for id in ALL:
            assert other.overall[id] == pytest.approx(whole.overall[id], abs=1e-12, nan_ok=True), id
        for id, values in whole.per_user.items():
            np.testing.assert_array_equal(other.per_user[id], values, err_msg=id)


def test_large_inputs_are_cut_into_blocks_without_changing_the_result(world, monkeypatch):
    lists, truth, catalogue, grades = world
    whole = evaluate_lists(lists, truth, ALL, catalogue, grades=grades)
    monkeypatch.setattr("honeyguide.metrics.evaluate._CELLS", 13 * WIDTH)
    cut = evaluate_lists(lists, truth, ALL, catalogue, grades=grades)
    for id in ALL:
        assert cut.overall[id] == pytest.approx(whole.overall[id], abs=1e-12, nan_ok=True), id


def test_users_without_truth_are_skipped_or_count_zero(world):
    lists, truth, catalogue, _ = world
    skip = evaluate_lists(lists, truth, ["recall@5", "novelty@5"], catalogue)
    zero = evaluate_lists(lists, truth, ["recall@5"], catalogue, conventions=Conventions(empty_truth="zero"))
    empty = truth.lengths == 0
    assert empty.any()
    np.testing.assert_array_equal(np.isnan(skip.per_user["recall@5"]), empty)
    assert skip.n_skipped == empty.sum()
    assert zero.n_skipped == 0
    assert not np.isnan(skip.per_user["novelty@5"]).any()
    assert zero.overall["recall@5"] == pytest.approx(skip.overall["recall@5"] * (~empty).mean())
    frame = skip.frame()
    assert frame["n_users"].to_list() == [int((~empty).sum()), N]
    assert frame["n_skipped"].to_list() == [int(empty.sum()), 0]


def test_without_a_cut_off_the_whole_list_counts(world):
    lists, truth, catalogue, _ = world
    found = evaluate_lists(lists, truth, ["recall", f"recall@{WIDTH}", "gini", f"gini@{WIDTH}"], catalogue)
    assert found.overall["recall"] == found.overall[f"recall@{WIDTH}"]
    assert found.overall["gini"] == found.overall[f"gini@{WIDTH}"]


def test_no_users_and_no_items_give_nan_not_errors():
    catalogue = Catalogue(3, np.ones(3, np.float32), Ragged.empty(0), n_train_users=1)
    found = evaluate_lists(np.empty((0, 2), np.int32), Ragged.empty(0), ["ndcg@2", "gini@2", "arp@2"], catalogue)
    assert all(np.isnan(v) for v in found.overall.values())
    catalogue = Catalogue(3, np.ones(3, np.float32), Ragged.empty(2), n_train_users=1)
    nobody = evaluate_lists(np.full((2, 2), -1), Ragged.from_lists([[0], []]), ["ndcg@2", "user_coverage@2"], catalogue)
    assert nobody.overall == {"ndcg@2": 0.0, "user_coverage@2": 0.0}


@pytest.mark.parametrize(("duplicates", "precision"), [("drop", 1 / 3), ("keep", 2 / 3)])
def test_repeated_items(duplicates, precision):
    lists, truth = np.array([[4, 4, 2]]), Ragged.from_lists([[4]])
    with pytest.raises(DataError, match="row 0 holds item 4 again at rank 2"):
        evaluate_lists(lists, truth, ["precision@3"], Catalogue(5))
    found = evaluate_lists(
        lists, truth, ["precision@3", "item_coverage@3"], Catalogue(5), conventions=Conventions(duplicates=duplicates)
    )
    assert found.overall["precision@3"] == pytest.approx(precision)
    assert found.overall["item_coverage@3"] == 2


def test_gaps_close_up():
    found = evaluate_lists(np.array([[-1, 3, -1, 1]]), Ragged.from_lists([[1]]), ["mrr@2"], Catalogue(5))
    assert found.overall["mrr@2"] == 0.5


def test_wrong_input_is_refused_with_a_remedy(world):
    lists, truth, catalogue, _ = world
    for error, match, call in (
        (UnknownNameError, "Did you mean", lambda: parse("ndgc@10")),
        (UnknownNameError, "no metric", lambda: parse("ndcg@0")),
        (ConfigError, "ap_min", lambda: parse("map@10")),
        (ConfigError, "predictive.auc", lambda: parse("auc@10")),
        (ConfigError, "needs lists of 9", lambda: evaluate_lists(lists, truth, ["ndcg@9"], catalogue)),
        (ConfigError, "arp@3 needs popularity", lambda: evaluate_lists(lists, truth, ["arp@3"], Catalogue(M))),
        (ConfigError, "ils@3 needs similarity", lambda: evaluate_lists(lists, truth, ["ils@3"], Catalogue(M))),
        (ConfigError, "histories", lambda: StreamingEvaluator(["poprsp@3"], catalogue).add(lists, truth)),
        (ConfigError, "histories", lambda: StreamingEvaluator(["serendipity@3"], catalogue).add(lists, truth)),
        (DataError, "outside the catalogue", lambda: evaluate_lists(lists, truth, ["ndcg@3"], Catalogue(M - 1))),
        (DataError, "rows of truth", lambda: evaluate_lists(lists[:3], truth, ["ndcg@3"], Catalogue(M))),
        (DataError, "n, k", lambda: evaluate_lists(lists[0], truth, ["ndcg@3"], Catalogue(M))),
        (DataError, "grades", lambda: evaluate_lists(lists, truth, ["ndcg"], Catalogue(M), grades=np.ones(1))),
    ):
        with pytest.raises(error, match=match):
            call()


def test_grades_above_the_highest_are_refused_by_err_only(world):
    lists, truth, catalogue, _ = world
    with pytest.raises(ConfigError, match="max_grade"):
        evaluate_lists(lists, truth, ["err@5"], catalogue, grades=np.full(len(truth.values), 5.0))


def test_different_evaluations_do_not_merge(world):
    lists, truth, catalogue, _ = world
    one = evaluate_lists(lists, truth, ["ndcg@5"], catalogue)
    two = evaluate_lists(lists, truth, ["ndcg@5"], catalogue, conventions=Conventions(empty_truth="zero"))
    with pytest.raises(ConfigError, match="cannot be joined"):
        one.merge(two)


def test_the_report_says_how_many_users_and_which_conventions(world):
    lists, truth, catalogue, _ = world
    metrics = ["ndcg@5", "gini@5"]
    systems = {"a": evaluate_lists(lists, truth, metrics, catalogue)}
    systems["b"] = evaluate_lists(lists[:, ::-1], truth, metrics, catalogue)
    text = report(systems, against="a")
    skipped = systems["a"].n_skipped
    assert f"n={N - skipped:,} skipped={skipped:,}" in text
    assert "conventions: empty truth: skip; short list: divide by k" in text
    assert "Holm-corrected over 1 comparison" in text
    assert "(over all lists)" in text


def test_streaming_keeps_one_float_per_user_and_metric():
    rng, n, metrics = np.random.default_rng(0), 4000, ["ndcg@50", "novelty@50", "gini@50"]
    lists = np.argsort(rng.random((n, 60)), axis=1)[:, :50].astype(np.int32)
    truth = Ragged.from_lists(list(rng.integers(0, 60, (n, 2))))

    def peak(blocks):
        tracemalloc.start()
        stream = StreamingEvaluator(metrics, Catalogue(60, np.ones(60, np.float32)))
        for _ in range(blocks):
            stream.add(lists, truth)
        result = stream.result()
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert result.n_users == blocks * n
        return high

    peak(1)
    kept = 2 * 8 * n  # two metrics have values per user
    assert peak(12) - peak(2) < 10 * kept * 1.1 + 100_000
