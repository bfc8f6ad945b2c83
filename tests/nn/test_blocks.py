from __future__ import annotations

import pytest
import torch
from torch import nn

from honeyguide.nn.blocks import Dropout, EventDropout, LiGRBlock, RMSNorm, Rotary, SASRecBlock, causal_attention


def test_dropout_keeps_the_mean_and_the_share() -> None:
    torch.manual_seed(0)
    layer = Dropout(0.3)
    x = torch.ones(100, 1000)
    y = layer(x)
    assert (y == 0).float().mean().item() == pytest.approx(layer.threshold / 256, abs=0.005)
    assert y.mean().item() == pytest.approx(1.0, abs=0.01)
    assert len(y.unique()) == 2


def test_dropout_is_the_identity_when_not_training_or_off() -> None:
    x = torch.randn(3, 5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_passes_gradients_only_where_it_kept() -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_event_dropout_hides_whole_positions_and_keeps_the_rest() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 40, 3)
    y = EventDropout(0.2)(x)
    hidden = (y == 0).all(-1)
    assert hidden.float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert torch.equal(y[~hidden], x[~hidden])
    assert EventDropout(0.2).eval()(x) is x


def test_rms_norm() -> None:
    x = torch.tensor([[3.0, 4.0]])
    torch.testing.assert_close(RMSNorm(2)(x), x / 12.5**0.5)


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    rotary = Rotary(8, 50)
    q, k = torch.randn(8), torch.randn(8)
    turned_q, turned_k = (rotary(x.expand(1, 50, 1, 8))[0, :, 0] for x in (q, k))  # [50, 8]
    scores = turned_q @ turned_k.T
    for distance in (0, 1, 7):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(scores.diagonal()[0], q @ k)


def test_attention_equals_its_formula() -> None:
    q, k, v = torch.randn(3, 2, 5, 2, 4)  # [b, t, h, d / h] each
    weights = torch.einsum("bihd,bjhd->bhij", q, k) / 4**0.5
    weights = weights.masked_fill(torch.ones(5, 5, dtype=torch.bool).triu(1), -torch.inf).softmax(-1)
    torch.testing.assert_close(causal_attention(q, k, v), torch.einsum("bhij,bjhd->bihd", weights, v))


@pytest.mark.parametrize("positions", [None, "rope"])
@pytest.mark.parametrize("kind", [LiGRBlock, SASRecBlock])
def test_blocks_do_not_see_the_future(kind: type[nn.Module], positions: str | None) -> None:
    torch.manual_seed(0)
    block = kind(16, 2, 0.2, Rotary(8, 10) if positions else None).eval()
    x = torch.randn(2, 7, 16)
    changed = x.clone()
    changed[:, 4:] = 0
    before, after = block(x), block(changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])
