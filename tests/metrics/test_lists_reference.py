"""Every metric over lists equals its slow reference on random cases: empty, tied, repeated, short, graded."""

from __future__ import annotations

import numpy as np
import pytest
from tests.metrics import reference_lists as slow

from honeyguide.core.ragged import Ragged
from honeyguide.metrics import agreement
from honeyguide.metrics.candidates import personalisation
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.groups import stability_rbo
from honeyguide.metrics.lists import Conventions, Lists
from honeyguide.metrics.registry import METRICS
from honeyguide.metrics.totals import Totals

N_ITEMS, WIDTH = 9, 6
SETTINGS = (
    (Conventions(max_grade=3.0), 4),
    (Conventions("zero", "list", "drop", 3.0), 6),
    (Conventions("skip", "list", "keep", 3.0), 3),
    (Conventions("zero", "k", "drop", 3.0), 1),
)


class Cases:
    """Random lists, truths and a catalogue, as arrays for the library and as plain lists for the reference."""

    def __init__(self, n, seed, repeats):
        rng = np.random.default_rng(seed)
        free = rng.integers(0, N_ITEMS, (n, WIDTH))
        unique = np.argsort(rng.random((n, N_ITEMS)), axis=1)[:, :WIDTH]
        items = (free if repeats else unique).astype(np.int32)
        items[rng.random((n, WIDTH)) < 0.15] = -1  # gaps inside and at the end
        items[rng.random(n) < 0.05] = -1
        self.items = items
        sizes = rng.integers(0, 6, n)
        values = rng.integers(-1, N_ITEMS, sizes.sum()).astype(np.int32)  # repeats, and unknown items
        self.truth = Ragged(np.append(0, np.cumsum(sizes)), values)
        self.grades = rng.integers(0, 4, len(values)).astype(float)
        lengths = rng.integers(0, 5, n)
        self.histories = Ragged(
            np.append(0, np.cumsum(lengths)), rng.integers(0, N_ITEMS, lengths.sum()).astype(np.int32)
        )
        self.counts = rng.integers(0, 6, N_ITEMS)
        self.counts[0] += 1
        raw = rng.random((N_ITEMS, N_ITEMS)) * 2 - 1
        self.similarity = (raw + raw.T) / 2
        self.genres = rng.integers(0, 2, (N_ITEMS, 3)).astype(float)
        self.ages = rng.integers(20, 40, N_ITEMS).astype(float)
        self.catalogue = Catalogue(
            N_ITEMS,
            self.counts.astype(np.float32),
            self.histories,
            n_train_users=20,
            similarity=lambda a, b: self.similarity[a, b],
            genres=self.genres,
            ages=self.ages,
        )

    def plain(self, conventions, k):
        shared = (self.counts.tolist(), 20, self.similarity.tolist(), self.genres.tolist(), self.ages.tolist())
        for row in range(len(self.items)):
            listed = [i for i in self.items[row].tolist() if i >= 0]
            if conventions.duplicates == "drop":
                listed = list(dict.fromkeys(listed))
            span = slice(self.truth.offsets[row], self.truth.offsets[row + 1])
            grades, lost = {}, []
            for item, grade in zip(self.truth.values[span].tolist(), self.grades[span].tolist(), strict=True):
                if item < 0:
                    lost.append(grade)
                else:
                    grades[item] = max(grade, grades.get(item, grade))
            yield slow.Case(
                listed[:k], k, grades, lost, self.histories[row].tolist(), *shared,
                short_list=conventions.short_list, zero_for_empty=conventions.empty_truth == "zero",
            )  # fmt: skip


@pytest.mark.parametrize("setting", range(len(SETTINGS)))
def test_per_user_metrics_equal_the_reference_on_2500_users_each(setting):
    conventions, k = SETTINGS[setting]
    cases = Cases(2500, setting, repeats=conventions.duplicates != "error")
    names = [id for id, metric in METRICS.items() if metric.kind == "per_user"]
    assert set(names) == set(slow.NEED_TRUTH) | set(slow.NEED_NO_TRUTH)
    found = evaluate_lists(
        cases.items, cases.truth, [f"{n}@{k}" for n in names], cases.catalogue, grades=cases.grades,
        conventions=conventions,
    )  # fmt: skip
    plain = list(cases.plain(conventions, k))
    for name in names:
        expected = np.array([slow.per_user(name, case) for case in plain])
        np.testing.assert_allclose(found.per_user[f"{name}@{k}"], expected, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("setting", range(len(SETTINGS)))
def test_aggregates_equal_the_reference_on_2500_sets_of_lists_each(setting):
    conventions, k = SETTINGS[setting]
    cases = Cases(10_000, 10 + setting, repeats=conventions.duplicates != "error")
    functions = {id: metric.function for id, metric in METRICS.items() if metric.kind == "aggregate"}
    assert set(functions) == set(slow.AGGREGATES)
    plain = list(cases.plain(conventions, k))
    starts = range(0, len(plain), 4)
    totals = []
    for start in starts:
        rows, span = slice(start, start + 4), slice(cases.truth.offsets[start], cases.truth.offsets[start + 4])
        block = Lists(
            cases.items[rows], cases.truth.take(rows), cases.catalogue, conventions, cases.grades[span],
            cases.histories.take(rows),
        )  # fmt: skip
        totals.append(Totals.of(block, k))
    for name, function in functions.items():
        found = [function(total, cases.catalogue) for total in totals]
        expected = [slow.AGGREGATES[name](plain[start : start + 4]) for start in starts]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9, err_msg=name)


def test_agreement_of_lists_equals_the_reference_on_10000_pairs():
    rng = np.random.default_rng(5)
    n, k = 10_000, 5
    pair = []
    for _ in range(2):
        items = np.argsort(rng.random((n, N_ITEMS)), axis=1)[:, :WIDTH].astype(np.int32)
        items[np.arange(WIDTH) >= rng.integers(0, WIDTH + 1, n)[:, None]] = -1
        pair.append(items)
    a, b = pair
    plain = [
        ([x for x in p if x >= 0], [x for x in q if x >= 0])
        for p, q in zip(a[:, :k].tolist(), b[:, :k].tolist(), strict=True)
    ]
    for found, expected in (
        (agreement.kendall_lists(a, b, k), [slow.kendall_lists(p, q) for p, q in plain]),
        (agreement.jaccard_lists(a, b, k), [slow.jaccard_lists(p, q) for p, q in plain]),
        (agreement.rbo(a, b, k, 0.9), [slow.rbo(p, q, 0.9) for p, q in plain]),
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert stability_rbo(a, b, k) == pytest.approx(np.nanmean([slow.rbo(p, q, 0.9) for p, q in plain]), abs=1e-9)
    groups = [a[at : at + 4] for at in range(0, n, 4)]
    expected = [slow.personalisation([[x for x in row if x >= 0] for row in g[:, :k].tolist()]) for g in groups]
    np.testing.assert_allclose([personalisation(g, k) for g in groups], expected, rtol=0, atol=1e-9)


def test_rbo_is_one_for_equal_lists_and_zero_for_disjoint_ones():
    a = np.array([[0, 1, 2, 3], [0, 1, -1, -1], [-1, -1, -1, -1], [4, 5, 6, 7]], np.int32)
    np.testing.assert_allclose(agreement.rbo(a, a, 4), [1, 1, np.nan, 1])
    np.testing.assert_allclose(agreement.rbo(a, a[::-1], 4), [0, 0, 0, 0])
