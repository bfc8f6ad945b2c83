from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from honeyguide.nn import pair_losses
from honeyguide.nn.pair_losses import squared_norms

NONE = torch.empty((2, 0), dtype=torch.int64)


def bpr(*arguments: torch.Tensor) -> torch.Tensor:
    return pair_losses.bpr(*arguments).mean()


def cosine_softmax(*arguments: Any, **named: Any) -> torch.Tensor:
    return pair_losses.cosine_softmax(*arguments, **named).mean()


def cosine_contrastive(*arguments: Any, **named: Any) -> torch.Tensor:
    return pair_losses.cosine_contrastive(*arguments, **named).mean()


def some(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32))


def test_the_gradient_of_bpr_is_that_of_the_paper() -> None:
    u, i, j = (some(1, 4, seed=s).requires_grad_() for s in range(3))
    bpr(u, i, j).backward()
    weight = torch.sigmoid(-(u * (i - j)).sum()).item()  # e^-x / (1 + e^-x)
    torch.testing.assert_close(u.grad, -weight * (i - j).detach())
    torch.testing.assert_close(i.grad, -weight * u.detach())
    torch.testing.assert_close(j.grad, weight * u.detach())


def test_bpr_by_hand() -> None:
    one = torch.tensor([[1.0], [1.0]])
    value = bpr(one, torch.tensor([[2.0], [0.0]]), torch.tensor([[0.0], [0.0]]))
    assert value.item() == pytest.approx((np.log(1 + np.exp(-2)) + np.log(2)) / 2)


def test_softmax_is_cross_entropy_of_cosines() -> None:
    u, i, j = some(5, 4), some(5, 4, seed=1), some(7, 4, seed=2)
    scores = torch.cat([F.cosine_similarity(u, i)[:, None], F.cosine_similarity(u[:, None], j[None], dim=2)], 1)
    expected = F.cross_entropy(scores / 0.2, torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(cosine_softmax(u, i, j, NONE, 0.2), expected)


def test_what_a_user_took_does_not_count_against_it() -> None:
    u, i, j = some(2, 4), some(2, 4, seed=1), some(3, 4, seed=2)
    out = torch.tensor([[0, 0], [1, 2]])
    first = cosine_softmax(u[:1], i[:1], j[:1], NONE, 0.2)
    second = cosine_softmax(u[1:], i[1:], j, NONE, 0.2)
    torch.testing.assert_close(cosine_softmax(u, i, j, out, 0.2), (first + second) / 2)
    everything = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]])
    u.requires_grad_()
    loss = cosine_softmax(u, i, j, everything, 0.2)
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(u.grad).all()


def test_several_pairs_of_one_user_are_the_mean_of_single_ones() -> None:
    u, i, j = some(2, 4), some(3, 4, seed=1), some(5, 4, seed=2)
    rows = torch.tensor([0, 1, 1])
    for loss in (
        lambda *a, **k: cosine_softmax(*a, 0.3, **k),
        lambda *a, **k: cosine_contrastive(*a, 0.1, 2.0, **k),
    ):
        torch.testing.assert_close(loss(u, i, j, NONE, rows=rows), loss(u[rows], i, j, NONE))


def test_contrastive_by_hand() -> None:
    u, i = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 4.0]])  # cosine .6
    j = torch.tensor([[1.0, 0.0], [0.0, 1.0], [4.0, 3.0]])  # cosines 1, 0 and .8
    value = cosine_contrastive(u, i, j, NONE, margin=0.5, weight=3.0)
    assert value.item() == pytest.approx(0.4 + 3 * (0.5 + 0 + 0.3) / 3)
    value = cosine_contrastive(u, i, j, torch.tensor([[0], [0]]), margin=0.5, weight=3.0)
    assert value.item() == pytest.approx(0.4 + 3 * 0.3 / 3)


def test_squared_norms() -> None:
    assert squared_norms(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[2.0]])).item() == pytest.approx(
        0.5 * 12.5 + 0.5 * 4
    )
