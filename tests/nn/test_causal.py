from __future__ import annotations

import numpy as np
import torch
from torch import nn

from honeyguide.nn.causal import CausalConv, RunningNorm


def test_a_convolution_equals_the_grouped_one() -> None:
    torch.manual_seed(0)
    conv, theirs = CausalConv(3, 4), nn.Conv1d(3, 3, 4, groups=3, padding=3)
    with torch.no_grad():
        theirs.weight.copy_(conv.weight.T[:, None])
        theirs.bias.copy_(conv.bias)  # type: ignore[union-attr]
    x = torch.randn(2, 9, 3)
    expected = theirs(x.mT)[..., :9].mT
    torch.testing.assert_close(conv(x)[0], expected)


def test_a_norm_over_the_past_equals_its_formula() -> None:
    norm = RunningNorm(1, prior=2.0)
    x = np.array([1.0, 3.0, -2.0, 0.5])
    found = norm(torch.tensor(x, dtype=torch.float32)[None, :, None])[0].detach().flatten()
    for t in range(4):
        n = 2.0 + t + 1
        mean, square = x[: t + 1].sum() / n, (2.0 + (x[: t + 1] ** 2).sum()) / n
        np.testing.assert_allclose(found[t], (x[t] - mean) / np.sqrt(square - mean**2), rtol=1e-5)


def test_read_in_pieces() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 50, 3)
    for part in (CausalConv(3, 4), RunningNorm(3, 4.0)):
        whole, _ = part(x)
        pieces, past = [], None
        for start, stop in ((0, 1), (1, 2), (2, 30), (30, 50)):
            y, past = part(x[:, start:stop], past)
            pieces.append(y)
        torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-5, rtol=1e-5)
