from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from honeyguide.nn.blocks import (
    Dropout,
    EventDropout,
    HSTUBlock,
    LiGRBlock,
    RMSNorm,
    Rotary,
    SASRecBlock,
    causal_attention,
    two_sided_attention,
)


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


def test_two_sided_attention_equals_its_formula_and_reads_only_what_is_seen() -> None:
    q, k, v = torch.randn(3, 2, 5, 2, 4)  # [b, t, h, d / h] each
    seen = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    weights = torch.einsum("bihd,bjhd->bhij", q, k) / 4**0.5
    weights = weights.masked_fill(~seen[:, None, None], -torch.inf).softmax(-1)
    torch.testing.assert_close(two_sided_attention(q, k, v, seen), torch.einsum("bhij,bjhd->bihd", weights, v))


def test_hstu_equals_its_formula() -> None:
    torch.manual_seed(0)
    block = HSTUBlock(8, 2, 0.0, 6)
    x = torch.randn(1, 5, 8)
    u, v, q, k = functional.silu(block.project(block.norm_in(x[0]))).chunk(4, -1)  # [t, d] each
    rows = []
    for i in range(5):
        mixed = torch.zeros(2, 4)
        for j in range(i + 1):
            for head in range(2):
                part = slice(4 * head, 4 * head + 4)
                weight = functional.silu(q[i, part] @ k[j, part] + block.bias[head, i - j]) / (i + 1)
                mixed[head] += weight * v[j, part]
        rows.append(x[0, i] + block.out(u[i] * block.norm_mixed(mixed.flatten())))
    torch.testing.assert_close(block(x)[0], torch.stack(rows))


def test_hstu_knows_positions_by_their_distance_alone() -> None:
    torch.manual_seed(0)
    block = HSTUBlock(8, 1, 0.0, 20).eval()
    x = torch.randn(1, 6, 8)
    torch.testing.assert_close(block(x)[:, 3], block(x[:, :4])[:, -1])
    swapped = x[:, [1, 0, 2, 3, 4, 5]]
    assert not torch.allclose(block(swapped)[:, -1], block(x)[:, -1], atol=1e-6)  # order matters, through the bias
    with torch.no_grad():
        block.bias.zero_()
    torch.testing.assert_close(block(swapped)[:, -1], block(x)[:, -1])


def hstu(dim: int, heads: int, dropout: float, rotary: Rotary | None) -> HSTUBlock:
    return HSTUBlock(dim, heads, dropout, 10)


@pytest.mark.parametrize("positions", [None, "rope"])
@pytest.mark.parametrize("kind", [LiGRBlock, SASRecBlock, hstu])
def test_blocks_do_not_see_the_future(kind: Callable[..., nn.Module], positions: str | None) -> None:
    torch.manual_seed(0)
    block = kind(16, 2, 0.2, Rotary(8, 10) if positions else None).eval()
    x = torch.randn(2, 7, 16)
    changed = x.clone()
    changed[:, 4:] = 0
    before, after = block(x), block(changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])
