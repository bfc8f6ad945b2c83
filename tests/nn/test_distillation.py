from __future__ import annotations

import math

import pytest
import torch

from honeyguide.nn.distillation import info_nce, pair_distillation, subspace_contrast, uniformity


def test_a_preference_handed_on_by_hand() -> None:
    student, teacher = torch.tensor([0.2, -0.1]), torch.tensor([0.1, 0.3])
    a, b = torch.sigmoid(teacher / 0.5), torch.sigmoid(student / 0.5)
    expected = -(a * b.log() + (1 - a) * (1 - b).log()).mean()
    torch.testing.assert_close(pair_distillation(student, teacher, 0.5), expected)


def test_the_student_who_agrees_has_the_least_loss() -> None:
    teacher, same = torch.randn(50), torch.zeros(50, requires_grad=True)
    with torch.no_grad():
        same.copy_(teacher)
    pair_distillation(same, teacher, 0.7).backward()
    torch.testing.assert_close(same.grad, torch.zeros(50))


def test_info_nce_by_hand() -> None:
    anchor, target, other = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 5.0]])
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 1))  # cosines 1 and 0
    assert info_nce(anchor, target, other, 0.5).item() == pytest.approx(expected)


def test_vectors_in_one_place_are_less_uniform() -> None:
    spread = torch.eye(4)
    heap = torch.tensor([[1.0, 0, 0, 0]]).expand(4, 4)
    assert uniformity(heap @ heap.T, 1.0).item() == pytest.approx(1.0)
    assert uniformity(spread @ spread.T, 1.0).item() == pytest.approx(math.log((math.e + 3) / 4))


def test_positives_are_those_that_share_both_their_subspaces() -> None:
    anchors = torch.tensor([[1.0, 1, 0, 0]])
    nodes = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 1, 1]])
    products = torch.tensor([[0.5, 0.1, 0.2, 0.3]], requires_grad=True)
    total = products.exp().sum()
    strict = -(products[0, 0].exp() / total).log()  # a superset shares all of one's dimensions, not of its own
    torch.testing.assert_close(subspace_contrast(products, anchors, nodes, 0), strict)
    loose = -((products[0, 0].exp() + products[0, 2].exp()) / total).log()  # one dimension may be missing
    torch.testing.assert_close(subspace_contrast(products, anchors, nodes, 1), loose)


def test_anchors_without_positives_say_nothing() -> None:
    products = torch.randn(2, 3, requires_grad=True)
    anchors, nodes = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[1.0, 0]] * 3)
    value = subspace_contrast(products, anchors, nodes, 0)
    value.backward()
    assert value.item() == pytest.approx(0.0)  # all are positives of the first
    assert torch.isfinite(products.grad).all() and not products.grad[1].any()
