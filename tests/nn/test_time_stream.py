"""Gaps in two forms: ours reads no later gap and no padding; the released one reads both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from honeyguide.nn.time_stream import CausalGaps, CausalTime, ReleasedGaps, ReleasedTime, log_gaps

DAY = 86_400_000_000


@pytest.fixture
def times() -> Tensor:
    gaps = torch.tensor([[0, 60, 5, 86_400, 3, 900], [0, 1, 1, 1, 700_000, 2]])
    return 1_000_000 * (1_500_000_000 + gaps.cumsum(1))


def test_gaps_are_logarithms_of_seconds(times: Tensor) -> None:
    expected = np.log1p([[0, 60, 5, 86_400, 3, 900], [0, 1, 1, 1, 700_000, 2]])
    np.testing.assert_allclose(log_gaps(times), expected, rtol=1e-6)
    np.testing.assert_allclose(log_gaps(times[:, 1:], times[:, :1]), expected[:, 1:], rtol=1e-6)


def causal(times: Tensor) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    gaps, layer = CausalGaps(2, 2.0, 3.0, 4.0, 0.0), CausalTime(2, 4, 4.0)
    return layer(gaps(times)[0])[:2]


def test_no_position_reads_a_later_gap_or_the_padding(times: Tensor) -> None:
    whole, cut = causal(times), causal(times[:, :4])
    padded = causal(torch.cat([times, torch.zeros(2, 3, dtype=torch.int64)], 1))
    for a, b, c in zip(whole, cut, padded, strict=True):
        torch.testing.assert_close(a[:, :4], b)
        torch.testing.assert_close(a, c[:, :6])


def test_only_gaps_count_not_the_date(times: Tensor) -> None:
    for a, b in zip(causal(times), causal(times + 9_000 * DAY), strict=True):
        assert torch.equal(a, b)
    later = times.clone()
    later[:, 3:] += 30 * DAY
    assert (causal(times)[0][:, 3:] - causal(later)[0][:, 3:]).abs().max() > 1e-3


def test_at_the_start_an_even_pace_is_next_to_no_time_at_all() -> None:
    torch.manual_seed(0)
    factor = CausalTime(4, 4, 4.0)(torch.zeros(1, 5, 4))[0]
    torch.testing.assert_close(factor, torch.ones_like(factor), atol=0.3, rtol=0)


def test_released_gaps_are_drowned_by_the_padding(times: Tensor) -> None:
    gaps = ReleasedGaps(1, 20, 0.0)
    padded = torch.cat([times, torch.zeros(2, 14, dtype=torch.int64)], 1)
    found = gaps(padded)[..., 0].detach()
    assert (found[:, 6] < -4).all()  # the slot with the gap 0 - (time of the last event)
    assert found[:, :6].std(1).max() < 1e-2  # a day and a second are the same
    assert gaps(times)[..., 0].std(1).min() > 0.5  # without padding they are not
    assert not torch.equal(gaps(padded), gaps(torch.where(padded > 0, padded + 9_000 * DAY, 0)))


def test_the_released_layer_looks_ahead(times: Tensor) -> None:
    torch.manual_seed(0)
    gaps, layer = ReleasedGaps(2, 6, 0.0), ReleasedTime(2, 4, 6)
    later = times.clone()
    later[:, 5:] += 30 * DAY
    assert not torch.allclose(layer(gaps(times))[0][:, :5], layer(gaps(later))[0][:, :5])


def test_the_released_layer_equals_its_formula(times: Tensor) -> None:
    torch.manual_seed(0)
    layer, stream = ReleasedTime(1, 4, 6), torch.randn(1, 6, 1)
    w = {name: value.double().numpy() for name, value in layer.state_dict().items()}
    t = stream.double().numpy()[0, :, 0]

    def hardswish(x: np.ndarray) -> np.ndarray:
        return x * np.clip(x + 3, 0, 6) / 6

    def conv(x: np.ndarray, name: str) -> np.ndarray:
        padded = np.concatenate([np.zeros(3), x])
        return np.array([padded[i : i + 4] @ w[f"{name}.weight"][:, 0] for i in range(6)]) + w[f"{name}.bias"]

    inner = w["mix.0.weight"] @ t + w["mix.0.bias"]
    mixed = w["mix.1.weight"] @ (inner / (1 + np.exp(-inner))) + w["mix.1.bias"]
    factor = hardswish(conv(hardswish(conv(t * mixed, "conv.0")), "conv.1"))
    gate = 1 / (1 + np.exp(-(w["gate.weight"][0] @ t + w["gate.bias"])))
    after = gate * t + (1 - gate) * factor
    found = [x.detach().numpy()[0, :, 0] for x in layer(stream)]
    np.testing.assert_allclose(found[0], factor, atol=1e-5)
    np.testing.assert_allclose(found[1], (after - after.mean()) / np.sqrt(after.var() + 1e-5), atol=1e-4)
