"""Every metric that is called directly equals its slow reference on 10,000 random cases."""

from __future__ import annotations

import numpy as np
import pytest
from tests.metrics import reference_functions as slow

from honeyguide.metrics import abtest, business, groups, offpolicy, predictive, similarity, stats
from honeyguide.metrics.registry import METRICS

N = 10_000


class Pairs:
    """What was found and what the reference says, by name, compared at the end in one go."""

    def __init__(self):
        self.seen = {}

    def add(self, name, found, expected):
        both = self.seen.setdefault(name, ([], []))
        both[0].append(np.atleast_1d(found))
        both[1].append(np.atleast_1d(np.asarray(expected, float)))

    def check(self):
        for name, (found, expected) in self.seen.items():
            assert [len(f) for f in found] == [len(e) for e in expected], name
            close(np.concatenate(found), np.concatenate(expected), name)


def close(found, expected, name):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=name)


def test_similarities_of_vectors_with_missing_ties_and_constants():
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 4, (N, 5)).astype(float) for _ in range(2))
    for side in (x, y):
        side[rng.random(side.shape) < 0.2] = np.nan
        side[rng.random(N) < 0.1] = 2.0
    pairs = list(zip(x.tolist(), y.tolist(), strict=True))
    for name, function in slow.SIMILARITY.items():
        close(METRICS[name].function(x, y), [function(a, b) for a, b in pairs], name)
    means = rng.random(5)
    shifted = [
        ([v - m for v, m in zip(a, means, strict=True)], [v - m for v, m in zip(b, means, strict=True)])
        for a, b in pairs
    ]
    close(similarity.adjusted_cosine(x, y, means), [slow.cosine(a, b) for a, b in shifted], "adjusted_cosine")
    distance = np.nan_to_num(similarity.euclidean(x, y))
    close(similarity.inverse_distance(distance), [1 / (1 + v) for v in distance.tolist()], "inverse_distance")


def test_similarities_of_sets():
    a, b = np.random.default_rng(1).random((2, N, 5)) < 0.4
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    close(similarity.jaccard(a, b), [slow.jaccard(p, q) for p, q in pairs], "jaccard")
    close(similarity.dice(a, b), [slow.dice(p, q) for p, q in pairs], "dice")


def predictive_cases(seed, n=N):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 9, n)
    for size in sizes:
        yield rng.integers(0, 3, size).astype(float), rng.integers(0, 5, size) / 4.0, rng.integers(0, 3, size)


@pytest.mark.parametrize("name", slow.REGRESSION)
def test_regression_metrics(name):
    cases = list(predictive_cases(2))
    close(
        [METRICS[name].function(y, p) for y, p, _ in cases],
        [slow.REGRESSION[name](y.tolist(), p.tolist()) for y, p, _ in cases],
        name,
    )


@pytest.mark.parametrize("name", slow.CLASSIFICATION)
def test_classification_metrics(name):
    cases = [(np.minimum(y, 1.0), p) for y, p, _ in predictive_cases(3)]
    close(
        [METRICS[name].function(y, p) for y, p in cases],
        [slow.CLASSIFICATION[name](y.tolist(), p.tolist()) for y, p in cases],
        name,
    )


def test_grouped_auc():
    cases = [(np.minimum(y, 1.0), p, u) for y, p, u in predictive_cases(4)]
    close(
        [predictive.gauc(y, p, u) for y, p, u in cases],
        [slow.gauc(y.tolist(), p.tolist(), u.tolist()) for y, p, u in cases],
        "gauc",
    )


@pytest.mark.parametrize("name", ["group_gap", "group_ratio", "group_js"])
def test_groups(name):
    rng = np.random.default_rng(5)
    found, expected = [], []
    for _ in range(N):
        size = rng.integers(0, 8)
        values, group = rng.integers(0, 5, size) / 4.0, rng.integers(-1, 3, size)
        values[rng.random(size) < 0.2] = np.nan
        found.append(METRICS[name].function(values, group))
        expected.append(getattr(slow, name)(values.tolist(), group.tolist()))
    close(found, expected, name)


@pytest.mark.parametrize("name", ["target_hit_rate", "target_ndcg"])
def test_attacks(name):
    rng = np.random.default_rng(8)
    lists = rng.permuted(np.tile(np.arange(12), (N, 1)), axis=1)[:, :6]
    lists[rng.random(N) < 0.1, 4:] = -1
    targets, eligible = np.array([3, 7, 11], np.int32), rng.random((N, 3)) < 0.6
    for k in (1, 3, 6, 9):
        rows = zip(lists.tolist(), eligible.tolist(), strict=True)
        expected = [getattr(slow, name)(row, targets.tolist(), own, k) for row, own in rows]
        close(METRICS[name].function(lists, targets, eligible, k), expected, name)


def test_robustness_drop():
    rng = np.random.default_rng(6)
    cases = rng.integers(0, 3, (N, 2, 4)).astype(float)
    cases[rng.random(cases.shape) < 0.2] = np.nan
    close(
        [groups.robustness_drop(a, b) for a, b in cases],
        [slow.robustness_drop(a, b) for a, b in cases.tolist()],
        "robustness_drop",
    )


def test_business_rates():
    pairs = Pairs()
    rng = np.random.default_rng(7)
    for part, whole in rng.integers(0, 4, (N, 2)).tolist():
        expected = part / whole if whole else np.nan
        for rate in (business.ctr, business.conversion, business.add_to_cart, business.average_order_value):
            pairs.add(rate.__name__, rate(part, whole), expected)
        pairs.add("revenue_per_mille", business.revenue_per_mille(part, whole), 1000 * expected)
        pairs.add("margin_per_mille", business.margin_per_mille(-part, whole), -1000 * expected)
    pairs.check()


def test_customers_and_sessions():
    pairs = Pairs()
    rng = np.random.default_rng(8)
    for _ in range(N):
        size = rng.integers(0, 6)
        times, sessions, clicked = rng.integers(0, 9, size), rng.integers(0, 3, size), rng.random(size) < 0.4
        plain = times.tolist(), sessions.tolist()
        pairs.add("session_length", business.session_length(times, sessions), slow.session_length(*plain))
        pairs.add(
            "time_to_first_click",
            business.time_to_first_click(times, sessions, clicked),
            slow.time_to_first_click(*plain, clicked.tolist()),
        )
        observed = times + rng.integers(0, 9, size)
        stay = slow.retention(times.tolist(), observed.tolist(), 5)
        pairs.add("retention", business.retention(times, observed, 5), stay)
        pairs.add("churn", business.churn(times, observed, 5), 1 - stay)
        worth = sum(m * 0.8**t / 1.1**t for t, m in enumerate(times.tolist()))
        pairs.add("lifetime_value", business.lifetime_value(times, 0.8, 0.1), worth)
    pairs.check()


def test_experiments():
    pairs = Pairs()
    rng = np.random.default_rng(9)
    for _ in range(N):
        a, b = (rng.integers(0, 4, rng.integers(0, 6)).astype(float) for _ in range(2))
        found = abtest.lift(a, b)
        pairs.add("lift", [found.value, found.low, found.high], slow.lift(a.tolist(), b.tolist(), 1.959963984540054))
        n = min(len(a), len(b))
        pairs.add("cuped", abtest.cuped(a[:n], b[:n]), slow.cuped(a[:n].tolist(), b[:n].tolist()))
        pairs.add(
            "sequential", abtest.sequential(a[:n], b[:n], 0.7), slow.sequential(a[:n].tolist(), b[:n].tolist(), 0.7)
        )
    pairs.check()


def test_off_policy():
    rng = np.random.default_rng(10)
    n, actions = N, 3
    reward, logged = rng.integers(0, 3, n).astype(float), rng.integers(1, 5, n) / 4
    target = rng.dirichlet(np.ones(actions), n)
    predicted, action = rng.random((n, actions)), rng.integers(0, actions, n)
    pi = target[np.arange(n), action]
    w = [p / m for p, m in zip(pi.tolist(), logged.tolist(), strict=True)]
    plain = (reward.tolist(), action.tolist(), logged.tolist(), target.tolist(), predicted.tolist())
    close(offpolicy.ips(reward, pi, logged), [a * b for a, b in zip(w, plain[0], strict=True)], "ips")
    snips = sum(a * b for a, b in zip(w, plain[0], strict=True)) / sum(w)
    close(offpolicy.snips(reward, pi, logged).mean(), snips, "snips")
    close(
        offpolicy.clipped_ips(reward, pi, logged, 0.5),
        [min(a, 0.5) * b for a, b in zip(w, plain[0], strict=True)],
        "clip",
    )
    for threshold, function in ((0.6, offpolicy.switch_dr), (np.inf, offpolicy.doubly_robust)):
        extra = {"threshold": threshold} if threshold < np.inf else {}
        found = function(reward, action, logged, target, predicted, **extra)
        close(found, slow.switch_dr(*plain, threshold), function.__name__)
    close(offpolicy.direct_method(target, predicted), slow.switch_dr(*plain, -1.0), "direct_method")
    slots, logs = rng.random((n, 2)), rng.integers(1, 5, (n, 2)) / 4
    each = [[p / m for p, m in zip(*row, strict=True)] for row in zip(slots.tolist(), logs.tolist(), strict=True)]
    close(
        offpolicy.slate_pseudo_inverse(reward, slots, logs),
        [r * (sum(x) - 1) for r, x in zip(plain[0], each, strict=True)],
        "slate",
    )
    rewards = rng.random((n, 2))
    expected = [sum(a * b for a, b in zip(*row, strict=True)) for row in zip(each, rewards.tolist(), strict=True)]
    close(offpolicy.position_ips(rewards, slots, logs), expected, "position_ips")
    close(offpolicy.effective_sample_size(pi, logged), sum(w) ** 2 / sum(v * v for v in w), "ess")
    lost = [max(q) - q[a] for q, a in zip(plain[4], plain[1], strict=True)]
    close(offpolicy.regret(predicted, action), np.cumsum(lost), "regret")


@pytest.mark.parametrize("name", ["sign", "wilcoxon", "cohen_dz"])
def test_tests_on_differences(name):
    rng = np.random.default_rng(11)
    function = {"sign": slow.sign_test, "wilcoxon": slow.wilcoxon, "cohen_dz": slow.cohen_dz}[name]
    cases = [rng.integers(-4, 5, rng.integers(1, 7)).astype(float) for _ in range(N)]
    cases = [c for c in cases if name != "cohen_dz" or len(set(c.tolist())) > 1]
    close([METRICS[name].function(c) for c in cases], [function(c.tolist()) for c in cases], name)


def test_corrections_and_cliffs_delta():
    pairs = Pairs()
    rng = np.random.default_rng(12)
    for _ in range(N):
        a, b = (rng.integers(0, 4, rng.integers(0, 6)).astype(float) for _ in range(2))
        pairs.add("cliffs_delta", stats.cliffs_delta(a, b), slow.cliffs_delta(a.tolist(), b.tolist()))
        ps = np.append(rng.integers(0, 9, 3), 1) / 20
        pairs.add("holm", stats.holm(ps), slow.holm(ps.tolist()))
        pairs.add("benjamini_hochberg", stats.benjamini_hochberg(ps), slow.benjamini_hochberg(ps.tolist()))
    pairs.check()
