"""State-space duality (Mamba-2, Dao & Gu 2024): one recurrence, computed in three ways that agree.

For every head, with a decay a in (0, 1], an input u and vectors B and C of each event,

    S_t = a_t S_{t-1} + u_t B_t',   y_t = S_t C_t,   a_t = exp(-delta_t A),   u_t = delta_t x_t.

Written out, ``y_i = sum_j M_ij (C_i . B_j) u_j`` with ``M_ij = a_{j+1} ... a_i`` for i >= j and 0 otherwise: attention
whose mask is a product of decays. :func:`ssd_quadratic` makes the whole mask, :func:`ssd_chunked` only its diagonal
blocks and carries S from block to block, and :func:`ssd_step` takes one event.

Shapes: b rows, t positions, h heads, p width of a head, n size of the state.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 32


def ssd_quadratic(u: Tensor, log_a: Tensor, b: Tensor, c: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """All positions from the whole mask, at a cost of t squared.

    For a few hundred positions: running sums of log a lose digits as they grow.

    Parameters
    ----------
    u
        ``[b, t, h, p]``, delta x.
    log_a
        ``[b, t, h]``, -delta A, at most 0.
    b, c
        ``[b, t, n]``, shared by the heads.
    state
        ``[b, h, p, n]`` before the first position; zero where ``None``.

    Returns
    -------
    tuple
        y ``[b, t, h, p]`` and the state after the last position.
    """
    total = log_a.transpose(1, 2).cumsum(-1)  # [b, h, t]: log of a_1 ... a_i
    u = u.transpose(1, 2)  # [b, h, t, p]
    weights = _mask(total) * (c @ b.mT)[:, None]  # [b, h, t, t]
    y = weights @ u
    last = total[..., -1:]
    after = (u * (last - total).exp()[..., None]).mT @ b[:, None]  # [b, h, p, n]
    if state is not None:
        y = y + total.exp()[..., None] * (c[:, None] @ state.mT)
        after = after + last.exp()[..., None] * state
    return y.transpose(1, 2), after


def ssd_chunked(
    u: Tensor, log_a: Tensor, b: Tensor, c: Tensor, state: Tensor | None = None, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """The same as :func:`ssd_quadratic` from blocks of ``chunk`` positions, at a cost linear in t."""
    rows, length, heads, p = u.shape
    extra = -length % chunk
    if extra:  # a decay of 1 and no input leave the state as it is
        u, log_a = F.pad(u, (0, 0, 0, 0, 0, extra)), F.pad(log_a, (0, 0, 0, extra))
        b, c = F.pad(b, (0, 0, 0, extra)), F.pad(c, (0, 0, 0, extra))
    u = u.reshape(rows, -1, chunk, heads, p).transpose(2, 3)  # [b, k, h, q, p]: k blocks of q positions
    b, c = (m.reshape(rows, -1, chunk, m.shape[-1]) for m in (b, c))  # [b, k, q, n]
    total = log_a.reshape(rows, -1, chunk, heads).transpose(2, 3).cumsum(-1)  # [b, k, h, q], within the block
    inside = (_mask(total) * (c @ b.mT)[:, :, None]) @ u  # [b, k, h, q, p]
    last = total[..., -1:]
    added = (u * (last - total).exp()[..., None]).mT @ b[:, :, None]  # [b, k, h, p, n]: what a block adds to the state
    kept = last.exp()[..., None]  # [b, k, h, 1, 1]: what it leaves of it
    now = torch.zeros_like(added[:, 0]) if state is None else state
    before = []
    for k in range(added.shape[1]):
        before.append(now)
        now = kept[:, k] * now + added[:, k]
    carried = c[:, :, None] @ torch.stack(before, 1).mT  # [b, k, h, q, p]
    y = inside + total.exp()[..., None] * carried
    return y.transpose(2, 3).flatten(1, 2)[:, :length], now


def ssd_step(u: Tensor, log_a: Tensor, b: Tensor, c: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """One event: y ``[b, h, p]`` and the new state, from u ``[b, h, p]``, log a ``[b, h]``, B and C ``[b, n]``."""
    state = log_a.exp()[..., None, None] * state + u[..., None] * b[:, None, None]  # [b, h, p, n]
    return (state @ c[:, None, :, None])[..., 0], state


def ssd(u: Tensor, log_a: Tensor, b: Tensor, c: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Whichever of the three is cheapest for the length; they agree up to rounding."""
    length = u.shape[1]
    if length == 1 and state is not None:
        y, state = ssd_step(u[:, 0], log_a[:, 0], b[:, 0], c[:, 0], state)
        return y[:, None], state
    if length <= 3 * CHUNK:
        return ssd_quadratic(u, log_a, b, c, state)
    return ssd_chunked(u, log_a, b, c, state)


def _mask(total: Tensor) -> Tensor:
    """M ``[..., t, t]`` from the running sums of log a ``[..., t]``."""
    length = total.shape[-1]
    later = torch.ones(length, length, dtype=torch.bool, device=total.device).triu(1)
    # masked before exp: above the diagonal the differences are positive, and exp would overflow
    return (total[..., :, None] - total[..., None, :]).masked_fill(later, -torch.inf).exp()
