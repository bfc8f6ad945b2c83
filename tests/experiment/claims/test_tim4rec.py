from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from honeyguide.data.build import build
from honeyguide.experiment.claims.tim4rec import PAPER, with_shuffled_gaps
from honeyguide.experiment.claims.tim4rec_cost import slope, tisasrec_bytes

CLAIMS = {claim.id: claim for claim in PAPER.claims}
SECOND = 1_000_000


def cells(**means: float) -> dict[str, Any]:
    """Results of five seeds a system, around the given means."""
    extra = {"parameters": 1, "cpu_seconds": 1.0}
    found: dict[str, Any] = {
        f"{system}-s{seed}": {"ndcg@10": mean + 0.0001 * (seed % 3), **extra}
        for system, mean in means.items()
        for seed in range(5)
    }
    return found | {"floors": {"popularity": 0.1, "floor": 0.2}, "released-s0": {"ndcg@10": 0.1, **extra}}


def test_shuffled_gaps_are_the_same_gaps_of_the_same_user_in_another_order() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"user_id": np.repeat([1, 2, 3], 20), "item_id": rng.integers(0, 9, 60)})
    times = (1_000_000 + rng.integers(1, 10_000, (3, 20)).cumsum(1)).ravel()
    data = build("timed", frame.with_columns(pl.from_epoch(pl.Series("timestamp", times), "s")))
    other = with_shuffled_gaps(data, 1)
    assert other.interactions.drop("timestamp").equals(data.interactions.drop("timestamp"))
    before, after = data.histories(), other.histories()
    assert before.times is not None and after.times is not None
    for a, b in zip(before.offsets[:-1], before.offsets[1:], strict=True):
        old, new = np.diff(before.times[a:b]), np.diff(after.times[a:b])
        assert np.array_equal(np.sort(old), np.sort(new))
        assert not np.array_equal(old, new)
        assert before.times[a] == after.times[a]


def test_time_has_to_help_beyond_the_seeds_and_shuffled_gaps_must_not() -> None:
    claim = CLAIMS["time"]
    assert {"gaps-s4", "none-s4", "shuffled-s4", "floors"} <= {cell.id for cell in claim.cells}
    assert claim.judge(cells(gaps=0.30, none=0.29, shuffled=0.29)).verdict == "holds"
    assert claim.judge(cells(gaps=0.29, none=0.30, shuffled=0.29)).verdict == "does not hold"
    assert claim.judge(cells(gaps=0.30, none=0.29, shuffled=0.31)).verdict == "does not hold"
    noisy = cells(gaps=0.30, none=0.29, shuffled=0.29)
    for seed in range(5):
        noisy[f"gaps-s{seed}"]["ndcg@10"] += 0.05 * (-1) ** seed
    found = claim.judge(noisy)
    assert found.verdict == "does not hold"
    assert found.ci is not None and found.ci[0] < 0 < found.ci[1]


def test_a_worse_network_than_sasrec_is_said_to_be() -> None:
    assert CLAIMS["sasrec"].judge(cells(gaps=0.30, sasrec=0.31)).verdict == "does not hold"
    assert CLAIMS["sasrec"].judge(cells(gaps=0.31, sasrec=0.30)).verdict == "holds"


def test_exponents_and_the_memory_of_all_pairs() -> None:
    assert slope([50.0, 100.0, 200.0, 400.0, 800.0]) == 1.0
    assert slope([1.0, 4.0, 16.0, 64.0, 256.0]) == 2.0
    assert tisasrec_bytes(200) == 2 * 200 * 200 * 64 * 4
    linear, square = [1.0, 2.0, 4.0, 8.0, 16.0], [1.0, 4.0, 16.0, 64.0, 256.0]
    found = {name: {"seconds": square, "bytes": square} for name in ("tim4rec", "sasrec", "tisasrec")}
    assert CLAIMS["cost"].judge({"cost": found}).verdict == "does not hold"
    found["tim4rec"] = {"seconds": linear, "bytes": linear}
    assert CLAIMS["cost"].judge({"cost": found}).verdict == "holds"


def test_a_date_that_counts_or_a_released_form_that_ignores_padding_is_not_hidden() -> None:
    good = {"date": 0.0, "gaps": 1.0, "spread": 1.0, "padding": 0.0, "padding_released": 0.5, "stream_released": 2.0}
    judge = CLAIMS["sensitivity"].judge
    assert judge({"sensitivity": good}).verdict == "holds"
    for change in ({"date": 0.1}, {"gaps": 0.0}, {"padding": 0.1}, {"stream_released": 0.0}):
        assert judge({"sensitivity": {**good, **change}}).verdict == "does not hold"
