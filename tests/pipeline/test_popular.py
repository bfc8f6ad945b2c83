from __future__ import annotations

import numpy as np
import pytest

from honeyguide.pipeline import popular as module
from honeyguide.pipeline.popular import Popular


def best(counts: np.ndarray, may: np.ndarray, n: int) -> list[int]:
    codes = np.flatnonzero(may)
    return codes[np.lexsort((codes, -counts[codes]))][:n].tolist()


def test_lists_follow_every_event_whatever_is_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOP", 20)
    rng = np.random.default_rng(0)
    items = Popular(rng.integers(0, 5, 300).astype(np.float32))
    for _ in range(60):
        items.count(rng.integers(-1, 300, rng.integers(1, 40)).astype(np.int32))
        may = rng.random(300) < rng.choice([0.02, 0.5, 1.0])
        assert items.best(may, 10).tolist() == best(items.counts, may, 10)


def test_events_are_added_and_unknown_items_skipped() -> None:
    items = Popular(np.zeros(3, np.float32))
    items.count(np.array([2, -1, 2, 0], np.int32))
    items.count(np.array([1], np.int32), np.array([5], np.float32))
    assert items.counts.tolist() == [1, 5, 2]
