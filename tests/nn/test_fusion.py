"""The forms of fusion: each is its formula, each starts as the sum, and what an item lacks takes no share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from honeyguide.nn.fusion import Attention, FusionName, Gate, fusion

N, M, D = 6, 3, 4


@pytest.fixture
def parts() -> tuple[list[Tensor], list[Tensor]]:
    """Three parts of six items; the last part of the first two is missing, and the fifth item has none."""
    torch.manual_seed(0)
    there = torch.ones(N, M, dtype=torch.bool)
    there[:2, 2] = False
    there[4] = False
    z = torch.randn(N, M, D) * there[:, :, None]
    return list(z.unbind(1)), list(there.unbind(1))


@pytest.mark.parametrize("name", ["sum", "gate", "attention"])
def test_it_starts_as_the_sum(name: FusionName, parts: tuple[list[Tensor], list[Tensor]]) -> None:
    assert_close(fusion(name, M, D)(*parts), sum(parts[0]))


@pytest.mark.parametrize("name", ["gate", "attention"])
def test_it_learns_which_part_says_most(name: FusionName, parts: tuple[list[Tensor], list[Tensor]]) -> None:
    torch.manual_seed(1)
    z = [torch.randn(200, D) for _ in range(M)]
    there = [torch.ones(200, dtype=torch.bool)] * M
    net = fusion(name, M, D)
    optimiser = torch.optim.Adam(net.parameters(), 0.03)
    before = ((net(z, there) - z[1]) ** 2).mean().item()
    for _ in range(150):
        optimiser.zero_grad()
        loss = ((net(z, there) - (3 if name == "attention" else 1) * z[1]) ** 2).mean()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.3 * before


def test_a_gate_is_its_formula(parts: tuple[list[Tensor], list[Tensor]]) -> None:
    net = Gate(M, D)
    torch.nn.init.normal_(net.gates.weight)
    torch.nn.init.normal_(net.gates.bias)
    z, there = parts
    for item in range(N):
        x = torch.cat([*(part[item] for part in z), torch.tensor([float(t[item]) for t in there])])
        expected = torch.zeros(D)
        for m in range(M):
            rows = slice(m * D, (m + 1) * D)
            expected += 2 * torch.sigmoid(net.gates.weight[rows] @ x + net.gates.bias[rows]) * z[m][item]
        assert_close(net(z, there)[item], expected)


def test_attention_is_its_formula(parts: tuple[list[Tensor], list[Tensor]]) -> None:
    net = Attention(M, D)
    torch.nn.init.normal_(net.query)
    z, there = parts
    for item in range(N):
        held = [m for m in range(M) if there[m][item]]
        if not held:
            assert_close(net(z, there)[item], torch.zeros(D))
            continue
        logits = torch.stack([net.query @ torch.tanh(net.project.weight @ z[m][item] + net.kinds[m]) for m in held])
        shares = logits.softmax(0)
        expected = len(held) * sum(share * z[m][item] for share, m in zip(shares, held, strict=True))
        assert_close(net(z, there)[item], expected)
    assert_close(net.shares(torch.stack(z, 1), torch.stack(there, 1)).sum(1), torch.tensor([1.0, 1, 1, 1, 0, 1]))


def test_gradients_are_finite_where_nothing_is_there(parts: tuple[list[Tensor], list[Tensor]]) -> None:
    net = Attention(M, D)
    z = [part.clone().requires_grad_() for part in parts[0]]
    net(z, parts[1]).square().sum().backward()
    assert all(torch.isfinite(part.grad).all() for part in z if part.grad is not None)
    assert torch.isfinite(net.query.grad).all()
