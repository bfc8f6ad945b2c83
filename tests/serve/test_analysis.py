from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from honeyguide.serve.analysis import ALPHA, Reports, Users, _found, _mismatch, compared, interleaved
from honeyguide.serve.experiments import Experiment

AB = Experiment.model_validate({"name": "e", "effect": 0.2, "variant": [{"name": "a"}, {"name": "b"}]})
JOINED = Experiment.model_validate({"name": "e", "method": "team-draft", "variant": [{"name": "a"}, {"name": "b"}]})


def log_of(rng: np.random.Generator, users: dict[str, int], rate: dict[str, float], lists: int = 3) -> pl.DataFrame:
    """Users of every variant, each with some lists of one place, and a taste of their own."""
    frames = []
    for variant, n in users.items():
        own = rng.poisson(lists - 1, n) + 1
        user = np.repeat(np.arange(n), own)
        taste = rng.beta(4 * rate[variant], 4 * (1 - rate[variant]), n)
        reward = (rng.random(len(user)) < taste[user]).astype(np.float64)
        names = pl.Series([f"{variant}{u}" for u in user])
        ids = pl.Series([f"{variant}-{row}" for row in range(len(user))])
        frames.append(pl.DataFrame({"user_id": names, "recommendation_id": ids, "reward": reward}).with_columns(
            variant=pl.lit(variant)
        ))  # fmt: skip
    return pl.concat(frames)


def test_rates_by_hand() -> None:
    users = Users(np.array([1.0, 3.0]), np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    assert users.rate == 0.5
    np.testing.assert_allclose(users.linear, [0.5 + 0.5 / 2, 0.5 - 0.5 / 2])  # R + (x - R n) / n̄
    assert users.linear.mean() == users.rate


def test_a_real_difference_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    better = compared(log_of(rng, {"a": 3000, "b": 3000}, {"a": 0.2, "b": 0.26}), AB)
    assert better["winner"] == "b" and better["verdict"] == "b wins"
    low = better["variants"][1]["clicks_per_list_lift"]["low"]
    assert low is not None and low > 0.1 and better["variants"][1]["found"]
    worse = compared(log_of(rng, {"a": 3000, "b": 3000}, {"a": 0.26, "b": 0.2}), AB)
    assert worse["winner"] == "a"
    same = compared(log_of(rng, {"a": 3000, "b": 3000}, {"a": 0.2, "b": 0.2}), AB)
    assert same["winner"] is None and "within noise" in same["verdict"]
    early = compared(log_of(rng, {"a": 40, "b": 40}, {"a": 0.2, "b": 0.26}), AB)
    assert early["winner"] is None and "no winner yet" in early["verdict"]
    assert early["power"]["users_per_variant"] > 100
    nothing = compared(log_of(rng, {"a": 10, "b": 10}, {"a": 1e-9, "b": 1e-9}), AB)
    assert nothing["winner"] is None and "nothing has been clicked" in nothing["verdict"]
    none = compared(log_of(rng, {"a": 2}, {"a": 0.5}).head(0), AB)
    assert none["winner"] is None and none["variants"][0]["clicks_per_list"]["value"] is None


def test_intervals_cover_and_users_are_the_units() -> None:
    rng, covered, naive = np.random.default_rng(1), 0, 0
    for _ in range(100):
        log = log_of(rng, {"a": 150, "b": 150}, {"a": 0.3, "b": 0.3}, lists=20)
        found = compared(log, AB)["variants"][1]["clicks_per_list"]
        covered += found["low"] <= 0.3 <= found["high"]
        own = log.filter(pl.col("variant") == "b")["reward"].to_numpy()
        naive += abs(own.mean() - 0.3) <= 1.96 * own.std() / np.sqrt(len(own))
    assert covered >= 88 and naive < 80, "lists of one user are not independent"


def test_looking_every_day_finds_nothing_that_is_not_there() -> None:
    rng, planned, false = np.random.default_rng(2), 1000, 0
    for _ in range(400):
        difference = np.cumsum(rng.standard_normal(planned)) / np.sqrt(np.arange(1, planned + 1))  # z after n users
        false += any(_found(difference[n - 1], n, planned, 1) for n in range(10, planned + 1, 10))
    assert false / 400 <= ALPHA + 0.025
    assert not _found(9.0, 1, planned, 1) and _found(3.0, planned, planned, 1) and not _found(3.0, 100, planned, 1)


def test_shares_that_are_not_as_asked_for_forbid_a_winner() -> None:
    rng = np.random.default_rng(3)
    found = compared(log_of(rng, {"a": 3000, "b": 2000}, {"a": 0.2, "b": 0.3}), AB)
    assert found["sample_ratio"]["mismatch"] and found["winner"] is None and "not shared" in found["verdict"]
    assert _mismatch(np.array([50.0, 100.0]), np.array([1.0, 2.0])) == pytest.approx(1.0)
    assert _mismatch(np.array([600.0, 400.0]), np.array([1.0, 1.0])) < 1e-9


def test_users_who_saw_several_variants_are_left_out() -> None:
    log = log_of(np.random.default_rng(4), {"a": 50, "b": 50}, {"a": 0.5, "b": 0.5})
    moved = log.with_columns(user_id=pl.when(pl.col("user_id") == "a0").then(pl.lit("b0")).otherwise(pl.col("user_id")))
    found = compared(moved, AB)
    assert found["users_in_several_variants"] == 1 and [v["users"] for v in found["variants"]] == [49, 49]


def test_a_report_that_was_dear_is_kept_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, made = iter([100.0, 100.5, 105.0, 111.0, 111.1]), []
    monkeypatch.setattr("honeyguide.serve.analysis.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("honeyguide.serve.analysis.analyse", lambda *asked: made.append(asked) or {"n": len(made)})
    reports = Reports(None)  # type: ignore[arg-type]
    assert [reports.of(AB, 30.0)["n"] for _ in range(3)] == [1, 1, 2], "half a second is good for ten"


def test_credit_of_users_decides_an_interleaved_experiment() -> None:
    rng = np.random.default_rng(5)

    def log(users: int, share: float) -> pl.DataFrame:
        user = np.repeat(np.arange(users), 4)
        credit = (rng.random(len(user)) < share).astype(np.float64)
        ids = [f"l{n // 2}" for n in range(len(user))]
        return pl.DataFrame(
            {"user_id": [str(u) for u in user], "recommendation_id": ids, "credit": credit, "reward": 1.0}
        )

    better = interleaved(log(900, 0.6), JOINED)
    assert better["winner"] == "a" and better["p"] < 1e-4 and better["share_of_first"] > 0.55
    assert better["lists"] == 1800 and better["users"] == 900
    even = interleaved(log(900, 0.5), JOINED)
    assert even["winner"] is None and even["variants"][0]["users_won"] + even["variants"][1]["users_won"] < 900
    early = interleaved(log(20, 0.7), JOINED)
    assert early["winner"] is None and "no winner yet" in early["verdict"]
    none = interleaved(log(1, 0.5).head(0), JOINED)
    assert none["winner"] is None and none["p"] is None and none["share_of_first"] is None
