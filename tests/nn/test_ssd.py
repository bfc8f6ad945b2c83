"""Three ways to compute one recurrence, against each other and against a plain loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from honeyguide.nn.ssd import CHUNK, ssd, ssd_chunked, ssd_quadratic, ssd_step


def inputs(length: int, rows: int = 2, dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], Tensor]:
    """u, log a, B, C of three heads of width 4 with a state of 5, and a state to start from."""
    torch.manual_seed(length)
    u, b, c = (torch.randn(rows, length, *shape, dtype=dtype) for shape in ((3, 4), (5,), (5,)))
    log_a = -2 * torch.rand(rows, length, 3, dtype=dtype)
    return [u, log_a, b, c], torch.randn(rows, 3, 4, 5, dtype=dtype)


def by_steps(parts: list[Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
    found = []
    for t in range(parts[0].shape[1]):
        y, state = ssd_step(*(part[:, t] for part in parts), state)
        found.append(y)
    return torch.stack(found, 1), state


def test_a_case_by_hand() -> None:
    one = torch.ones(1, 2, 1, 1)
    log_a = torch.tensor([0.25, 0.5]).log().reshape(1, 2, 1)
    b, c = torch.tensor([[[1.0, 0.0], [2.0, 1.0]]]), torch.tensor([[[1.0, 1.0], [1.0, 3.0]]])
    y, state = ssd_quadratic(one, log_a, b, c)
    # S_1 = (1, 0), y_1 = 1; S_2 = .5 (1, 0) + (2, 1) = (2.5, 1), y_2 = 2.5 + 3
    assert y.flatten().tolist() == [1.0, 5.5]
    assert state.flatten().tolist() == [2.5, 1.0]


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 100, 200, 800])
def test_all_forms_agree(length: int) -> None:
    parts, state = inputs(length)
    for start in (None, state):
        first = torch.zeros_like(state) if start is None else start
        expected, after = by_steps(parts, first)
        forms = (ssd_quadratic, ssd_chunked, ssd) if length <= 200 else (ssd_chunked, ssd)
        for form in forms:
            y, last = form(*parts, start)
            torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(last, after, atol=1e-4, rtol=1e-4)


def test_a_sequence_read_in_two_pieces() -> None:
    parts, _ = inputs(150)
    whole, last = ssd_chunked(*parts)
    first, state = ssd(*(part[:, :70] for part in parts))
    second, after = ssd(*(part[:, 70:] for part in parts), state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after, last, atol=1e-4, rtol=1e-4)


def test_gradients() -> None:
    parts, state = inputs(7, rows=1, dtype=torch.float64)
    arguments = tuple(part.requires_grad_() for part in (*parts, state))
    assert torch.autograd.gradcheck(ssd_quadratic, arguments)
    assert torch.autograd.gradcheck(lambda *a: ssd_chunked(*a, chunk=3), arguments)
    steps = tuple(a[:, 0].detach().requires_grad_() for a in arguments[:4])
    assert torch.autograd.gradcheck(ssd_step, (*steps, arguments[4]))


def test_gradients_of_the_forms_agree() -> None:
    found = []
    for form in (ssd_quadratic, ssd_chunked):
        parts, _ = inputs(2 * CHUNK + 5, dtype=torch.float64)
        arguments = [part.requires_grad_() for part in parts]
        form(*arguments)[0].square().sum().backward()
        found.append([a.grad for a in arguments])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_strong_decay_makes_no_infinities() -> None:
    parts, _ = inputs(200)
    parts[1] = parts[1] * 1e3  # above the diagonal of the mask, exp would overflow
    arguments = [part.requires_grad_() for part in parts]
    y, _ = ssd_quadratic(*arguments)
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert all(a.grad is not None and torch.isfinite(a.grad).all() for a in arguments)
