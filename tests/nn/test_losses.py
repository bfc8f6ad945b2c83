"""Each loss against its formula in plain torch, values and gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from honeyguide.nn import losses


def problem(n: int = 150, m: int = 40, d: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, d, generator=generator).requires_grad_()
    table = torch.randn(m, d, generator=generator).requires_grad_()
    return hidden, table, torch.randint(m, (n,), generator=generator)


def gradients(loss: torch.Tensor, *leaves: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, leaves))


@pytest.mark.parametrize(("n", "m"), [(1, 3), (150, 40), (300, 2500)])
def test_full_softmax_equals_cross_entropy(n: int, m: int) -> None:
    hidden, table, targets = problem(n, m)
    ours, _ = losses.full_softmax(hidden, table, targets)
    reference = F.cross_entropy(hidden @ table.T, targets)
    assert ours.item() == pytest.approx(reference.item(), rel=1e-5)
    for a, b in zip(gradients(3 * ours, hidden, table), gradients(3 * reference, hidden, table), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_full_softmax_over_several_chunks_and_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "_BLOCK", 1)  # chunks of the smallest size, 64
    monkeypatch.setattr(losses, "_COLUMNS", 7)
    hidden, table, targets = problem()
    ours, reference = losses.full_softmax(hidden, table, targets)[0], F.cross_entropy(hidden @ table.T, targets)
    for a, b in zip(gradients(ours, hidden, table), gradients(reference, hidden, table), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_full_softmax_survives_certain_mistakes_and_reports_nan() -> None:
    table = torch.tensor([[1000.0], [-1000.0]], requires_grad=True)
    hidden = torch.ones(1, 1, requires_grad=True)
    loss, _ = losses.full_softmax(hidden, table, torch.tensor([1]))
    assert math.isfinite(loss.item()) and loss.item() > 80
    torch.testing.assert_close(gradients(loss, hidden)[0], torch.tensor([[2000.0]]))
    assert math.isnan(losses.full_softmax(hidden * math.nan, table, torch.tensor([1]))[0].item())


def test_full_softmax_in_bfloat16_is_close() -> None:
    hidden, table, targets = problem()
    with torch.autocast("cpu", torch.bfloat16):
        ours, _ = losses.full_softmax(hidden, table, targets)
    reference = F.cross_entropy(hidden @ table.T, targets)
    assert ours.dtype == torch.float32
    assert ours.item() == pytest.approx(reference.item(), rel=2e-2)
    for a, b in zip(gradients(ours, hidden, table), gradients(reference, hidden, table), strict=True):
        assert F.cosine_similarity(a.ravel(), b.ravel(), dim=0) > 0.999


@pytest.mark.parametrize("per_position", [False, True])
def test_sampled_softmax_equals_its_formula(per_position: bool) -> None:
    hidden, table, targets = problem()
    negatives = torch.randint(40, (150, 9) if per_position else (9,), generator=torch.Generator().manual_seed(1))
    log_q = torch.log_softmax(torch.linspace(0, 3, 40), 0)
    ours = losses.sampled_softmax(hidden, table, targets, negatives, log_q).mean()
    expected = hidden.new_zeros(())
    for i in range(150):
        row = negatives[i] if per_position else negatives
        kept = row[row != targets[i]]
        s_positive = hidden[i] @ table[targets[i]] - log_q[targets[i]]
        s_negative = table[kept] @ hidden[i] - log_q[kept]
        expected = expected - torch.log(s_positive.exp() / (s_positive.exp() + s_negative.exp().sum()))
    assert ours.item() == pytest.approx(expected.item() / 150, rel=1e-5)
    for a, b in zip(gradients(ours, hidden, table), gradients(expected / 150, hidden, table), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_sampled_softmax_with_every_item_once_is_the_full_softmax() -> None:
    hidden, table, targets = problem()
    ours = losses.sampled_softmax(hidden, table, targets, torch.arange(40)).mean()
    assert ours.item() == pytest.approx(F.cross_entropy(hidden @ table.T, targets).item(), rel=1e-5)


def test_importance_softmax_estimates_the_sum_of_the_full_softmax() -> None:
    hidden, table, targets = problem()
    hidden, table = hidden.detach(), table.detach()
    draws = torch.Generator().manual_seed(0)
    own = (hidden * table[targets]).sum(1)
    sums = torch.zeros(150)
    for _ in range(4000):
        negatives = torch.randint(40, (9,), generator=draws)
        sums += (losses.importance_softmax(hidden, table, targets, negatives) + own).exp() / 4000
    torch.testing.assert_close(sums, (hidden @ table.T).exp().sum(1), rtol=0.06, atol=0)


def test_importance_softmax_with_every_item_once_is_the_full_softmax() -> None:
    hidden, table, targets = problem()
    ours = losses.importance_softmax(hidden, table, targets, torch.arange(40)).mean()
    full = F.cross_entropy(hidden @ table.T, targets)
    assert ours.item() == pytest.approx(full.item(), rel=1e-5)
    for a, b in zip(gradients(ours, hidden, table), gradients(full, hidden, table), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_equals_its_formula(calibration: float) -> None:
    hidden, table, targets = problem()
    hidden, table = (x.detach().double().requires_grad_() for x in (hidden, table))
    negatives = torch.tensor([0, 5, 9])
    alpha = 3 / 39
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    expected = hidden.new_zeros(())
    for i in range(150):
        kept = negatives[negatives != targets[i]]
        expected = expected - beta * torch.log(torch.sigmoid(hidden[i] @ table[targets[i]]))
        expected = expected - torch.log(1 - torch.sigmoid(table[kept] @ hidden[i])).sum()
    ours = losses.gbce(hidden, table, targets, negatives, calibration).mean()
    assert ours.item() == pytest.approx(expected.item() / 150, rel=1e-4)
    for a, b in zip(gradients(ours, hidden, table), gradients(expected / 150, hidden, table), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_gbce_without_calibration_is_binary_cross_entropy() -> None:
    hidden, table, targets = problem()
    negatives = (targets[:, None] + 1) % 40  # one per position, never the target
    positive, negative = (hidden * table[targets]).sum(1), (hidden * table[negatives[:, 0]]).sum(1)
    expected = F.binary_cross_entropy_with_logits(positive, torch.ones(150)) + F.binary_cross_entropy_with_logits(
        negative, torch.zeros(150)
    )
    assert losses.gbce(hidden, table, targets, negatives, 0.0).mean().item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_negative_that_is_the_target_has_no_gradient_of_its_own() -> None:
    hidden, table, targets = problem(1)
    gradient = gradients(losses.gbce(hidden, table, targets, targets, 0.0).mean(), table)[0]
    assert torch.isfinite(gradient).all()
    assert gradient[targets[0]] @ hidden[0].detach() < 0  # pulled towards, not pushed away
