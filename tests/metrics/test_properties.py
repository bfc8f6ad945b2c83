"""What must hold for any input: bounds, order of users, and that moving a relevant item up never harms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.test_lists_reference import Cases

from honeyguide.core.ragged import Ragged
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.lists import Conventions
from honeyguide.metrics.registry import METRICS

LISTED = {id: m for id, m in METRICS.items() if m.kind != "function"}
RANK_SENSITIVE = ("mrr", "arhr", "ap_min", "ap_hits", "ap_rel", "map_elliot", "mar_elliot", "dcg", "dcg_exp", "ndcg",
                  "ndcg_exp", "ndcg_binary", "rbp80", "rbp90", "err", "q_measure")  # fmt: skip
ACCURACY = (*RANK_SENSITIVE, "precision", "recall", "recall_capped", "f1", "hit", "bpref")
NOT_MONOTONE = ("ap_hits", "q_measure")  # a late further hit lowers a mean; a low grade early lags the ideal gain
CONVENTIONS = Conventions(max_grade=3.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from(["skip", "zero"]), st.sampled_from(["k", "list"]))
def test_every_value_stays_within_the_declared_range(seed, k, empty, short):
    cases = Cases(30, seed, repeats=False)
    conventions = Conventions(empty, short, "error", 3.0)
    found = evaluate_lists(
        cases.items, cases.truth, [f"{id}@{k}" for id in LISTED], cases.catalogue, grades=cases.grades,
        conventions=conventions,
    )  # fmt: skip
    for id, metric in LISTED.items():
        values = np.append(found.per_user.get(f"{id}@{k}", []), found.overall[f"{id}@{k}"])
        values = values[np.isfinite(values)]
        assert (values >= metric.low - 1e-12).all(), id
        assert (values <= metric.high + 1e-12).all(), id


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_users_does_not_matter(seed):
    cases = Cases(25, seed, repeats=False)
    order = np.random.default_rng(seed).permutation(25)
    metrics = [f"{id}@4" for id in LISTED]
    one = evaluate_lists(cases.items, cases.truth, metrics, cases.catalogue, conventions=CONVENTIONS)
    shuffled = replace(cases.catalogue, histories=cases.histories.take(order))
    two = evaluate_lists(cases.items[order], cases.truth.take(order), metrics, shuffled, conventions=CONVENTIONS)
    for id in metrics:
        assert two.overall[id] == pytest.approx(one.overall[id], abs=1e-12, nan_ok=True), id
        if id in one.per_user:
            np.testing.assert_array_equal(two.per_user[id], one.per_user[id][order], err_msg=id)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_swapping_a_relevant_item_upward_never_lowers_accuracy(seed):
    cases, rng = Cases(60, seed, repeats=False), np.random.default_rng(seed)
    better = np.argsort(rng.random((60, 9)), axis=1)[:, : cases.items.shape[1]]
    before_swap, rows, worth = better.copy(), np.arange(60), np.zeros((60, 9))
    known = cases.truth.values >= 0
    np.maximum.at(worth, (cases.truth.rows[known], cases.truth.values[known]), cases.grades[known])
    low, high = np.sort(np.argsort(rng.random(better.shape), axis=1)[:, :2], axis=1).T
    swap = rows[(worth[rows, better[rows, high]] > 0) & (worth[rows, better[rows, low]] == 0)]
    better[swap, low[swap]], better[swap, high[swap]] = better[swap, high[swap]], better[swap, low[swap]]
    metrics = [f"{id}@4" for id in ACCURACY if id not in NOT_MONOTONE]
    before, after = (
        evaluate_lists(x, cases.truth, metrics, cases.catalogue, grades=cases.grades, conventions=CONVENTIONS)
        for x in (before_swap, better)
    )
    for id in metrics:
        change = after.per_user[id] - before.per_user[id]
        assert (change[np.isfinite(change)] >= -1e-12).all(), id


def test_a_perfect_list_reaches_one():
    truth = Ragged.from_lists([[3, 1, 2], [0]])
    lists = np.array([[3, 1, 2, 0], [0, 1, 2, 3]])
    from honeyguide.metrics.catalogue import Catalogue

    ids = ["recall@4", "recall_capped@2", "ap_min@2", "ap_rel@4", "ndcg@4", "mrr@1", "q_measure@4", "bpref@4"]
    found = evaluate_lists(lists, truth, ids, Catalogue(4))
    assert found.overall == pytest.approx(dict.fromkeys(ids, 1.0))
