from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from honeyguide.core.errors import ConfigError, DataError
from honeyguide.metrics import stats


def test_the_bootstrap_agrees_with_a_plain_one():
    rng = np.random.default_rng(0)
    values = rng.exponential(size=300)
    low, high = stats.bootstrap_ci(values, n=4000)
    plain = np.quantile([rng.choice(values, 300).mean() for _ in range(4000)], [0.025, 0.975])
    np.testing.assert_allclose([low, high], plain, atol=0.012)
    wide = stats.bootstrap_ci(values, n=4000, level=0.99)
    assert wide[0] < low < values.mean() < high < wide[1]


def test_skipped_users_are_never_drawn_and_seeds_repeat():
    values = np.random.default_rng(1).random(200)
    holes = np.insert(values, [3, 50], np.nan)
    assert stats.bootstrap_ci(holes) == stats.bootstrap_ci(values) != stats.bootstrap_ci(values, seed=1)
    table = stats.bootstrap_cis({"a": holes, "b": 2 * holes, "c": np.append(values, [0.0, 0.0])})
    assert table["a"] == pytest.approx(
        stats.bootstrap_ci(values), rel=1e-12
    )  # a product of matrices may differ in the last bit
    assert table["b"] == pytest.approx([2 * v for v in table["a"]])
    assert table["c"] == stats.bootstrap_ci(np.append(values, [0.0, 0.0]))
    assert list(table) == ["a", "b", "c"]
    assert np.isnan(stats.bootstrap_ci(np.full(3, np.nan))).all()


def test_intervals_cover_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(2)
    inside = 0
    for trial in range(300):
        low, high = stats.bootstrap_ci(rng.random(60), n=400, seed=trial)
        inside += low <= 0.5 <= high
    assert 0.90 <= inside / 300 <= 0.99


def test_paired_t_and_wilcoxon_agree_with_scipy():
    rng = np.random.default_rng(3)
    for n in (5, 30, 51, 400):
        a, b = rng.normal(size=n), rng.normal(0.2, size=n)
        assert stats.paired_test(a, b, "t").p == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue, abs=1e-9)
        mode = "exact" if n <= 50 else "approx"
        expected = scipy.stats.wilcoxon(a, b, method=mode).pvalue
        assert stats.paired_test(a, b, "wilcoxon").p == pytest.approx(expected, abs=1e-9)
    tied = rng.integers(-3, 4, 80).astype(float)
    expected = scipy.stats.wilcoxon(tied[tied != 0], method="approx").pvalue
    assert stats.wilcoxon(tied) == pytest.approx(expected, abs=1e-9)


def test_the_interval_of_a_few_seeds_agrees_with_scipy():
    values = [0.31, 0.35, 0.28, 0.33, 0.36]
    mean, ends = stats.t_interval(values)
    expected = scipy.stats.t.interval(0.95, 4, np.mean(values), scipy.stats.sem(values))
    assert mean == pytest.approx(np.mean(values)) and ends == pytest.approx(expected)
    assert stats.t_interval([0.5])[0] == 0.5 and np.isnan(stats.t_interval([0.5])[1]).all()
    assert np.isnan(stats.t_interval([])[0])


def test_the_permutation_test_agrees_with_all_sign_flips():
    difference = np.array([0.5, -0.2, 0.9, 0.4, 0.0, 0.3, -0.1])
    result = scipy.stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert stats.permutation(difference, 100_000) == pytest.approx(result.pvalue, abs=0.005)


def test_equal_systems_differ_by_nothing_and_clear_winners_win():
    a = np.random.default_rng(4).random(50)
    for method in ("t", "wilcoxon", "sign", "permutation"):
        same, better = stats.paired_test(a, a, method), stats.paired_test(a + 1, a, method)
        assert (same.p, same.mean_difference, same.effect) == (1.0, 0.0, 0.0)
        assert better.p < 1e-3
        assert better.mean_difference == pytest.approx(1.0)
        assert better.cliffs_delta == 1.0


def test_pairs_with_a_skipped_side_are_left_out():
    a, b = np.array([1.0, np.nan, 2.0, 4.0]), np.array([0.5, 1.0, np.nan, 1.0])
    test = stats.paired_test(a, b)
    assert test.n == 2
    assert test.mean_difference == pytest.approx(1.75)
    with pytest.raises(DataError, match="cannot be paired"):
        stats.paired_test(a, b[:2])
    with pytest.raises(ConfigError, match="no paired test"):
        stats.paired_test(a, b, "z")  # type: ignore[arg-type]


def test_nothing_to_compare_is_nan():
    nothing = np.empty(0)
    for function in (stats.paired_t, stats.wilcoxon, stats.sign_test, stats.permutation, stats.cohen_dz):
        assert np.isnan(function(nothing))


def test_corrections_leave_missing_p_values_out():
    ps = np.array([0.01, np.nan, 0.04])
    np.testing.assert_allclose(stats.holm(ps), [0.02, np.nan, 0.04])
    np.testing.assert_allclose(stats.benjamini_hochberg(ps), [0.02, np.nan, 0.04])
    np.testing.assert_allclose(
        stats.benjamini_hochberg([0.01, 0.02, 0.2]), scipy.stats.false_discovery_control([0.01, 0.02, 0.2])
    )


def test_seeds_are_averaged_per_user_first():
    runs = [np.array([0.0, np.nan, 1.0]), np.array([0.5, np.nan, 0.0])]
    joined = stats.over_seeds(runs)
    np.testing.assert_allclose(joined.per_user, [0.25, np.nan, 0.5])
    np.testing.assert_allclose(joined.per_seed, [0.5, 0.25])
    assert (joined.mean, joined.std) == pytest.approx((0.375, 0.25 / 2**0.5))
    with pytest.raises(DataError, match="same users"):
        stats.over_seeds([np.zeros(2), np.zeros(3)])
    with pytest.raises(DataError, match="skip different users"):
        stats.over_seeds([runs[0], np.zeros(3)])
