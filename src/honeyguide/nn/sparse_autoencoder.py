"""A sparse autoencoder that keeps the k strongest latents of a vector (RecSAE, arXiv 2411.06112).

Shapes: b vectors, d width, m latents, k of them kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.ragged import FloatArray

AUX = 1 / 32  # weight of the loss of dead latents
_ENCODED = 1 << 12  # vectors encoded at once


class SparseAutoencoder(nn.Module):
    """``z = top-k(ReLU(W_e (x - b_d) + b_e))`` and ``x^ = z W_d + b_d``.

    Vectors are divided by one number, their root mean square around the mean, before they are encoded, and
    multiplied by it after: what is learnt does not depend on the scale of a model's vectors.

    Parameters
    ----------
    dim, latents, k
        d, m and k.
    unit
        The number that vectors are divided by.
    """

    fired: Tensor
    dead: Tensor
    unit: Tensor

    def __init__(self, dim: int, latents: int, k: int, unit: float = 1.0) -> None:
        super().__init__()
        self.k = min(k, latents)
        self.encoder = nn.Parameter(torch.empty(latents, dim))  # W_e
        nn.init.kaiming_uniform_(self.encoder, a=5**0.5)
        self.encoder_bias = nn.Parameter(torch.zeros(latents))  # b_e
        self.decoder = nn.Parameter(self.encoder.detach().clone())  # W_d: tied at the start, then free
        self.decoder_bias = nn.Parameter(torch.zeros(dim))  # b_d
        self.register_buffer("fired", torch.zeros(latents, dtype=torch.bool))  # in this epoch so far
        self.register_buffer("dead", torch.zeros(latents, dtype=torch.bool))  # did not fire in the last
        self.register_buffer("unit", torch.tensor(unit))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values and latents ``[b, k]`` that are kept, and all before that, ``[b, m]``."""
        pre = F.relu((x / self.unit - self.decoder_bias) @ self.encoder.T + self.encoder_bias)
        values, latents = pre.topk(self.k, sorted=False)
        return values, latents, pre

    def combine(self, values: Tensor, latents: Tensor) -> Tensor:
        """``[b, d]``: ``z W_d`` for z given by its values and their latents; nothing is multiplied by zero."""
        return F.embedding_bag(latents, self.decoder, per_sample_weights=values, mode="sum") * self.unit

    def decode(self, values: Tensor, latents: Tensor) -> Tensor:
        """``[b, d]``: ``x^``."""
        return self.combine(values, latents) + self.decoder_bias * self.unit

    @torch.no_grad()
    def begin_epoch(self, first: bool) -> None:
        """Rows of W_d at length one; latents that did not fire in the last epoch, if there was one, are dead."""
        self.decoder.div_(self.decoder.norm(dim=1, keepdim=True).clamp_min(1e-8))
        self.dead.copy_(torch.zeros_like(self.fired) if first else ~self.fired)
        self.fired.zero_()


@dataclass(frozen=True)
class VectorBatch:
    """Some of the vectors.

    Parameters
    ----------
    vectors
        float32 ``[b, d]``.
    epoch
        The number of the epoch if this is its first batch, else ``None``.
    """

    vectors: Tensor
    epoch: int | None

    def to(self, device: torch.device) -> VectorBatch:
        """The same batch on ``device``."""
        return VectorBatch(self.vectors.to(device), self.epoch)

    @property
    def n_targets(self) -> int:
        """Number of vectors."""
        return len(self.vectors)

    def part(self, rank: int, size: int) -> VectorBatch:
        """The rows of process ``rank`` of ``size``."""
        return VectorBatch(self.vectors[rank::size], self.epoch)


@dataclass(frozen=True)
class VectorBatches:
    """Every vector once an epoch, in an order that depends on seed and epoch alone.

    Parameters
    ----------
    vectors
        float32 ``[n, d]``.
    size
        Vectors in a batch.
    seed
        Of the order.
    """

    vectors: FloatArray
    size: int
    seed: int

    def epoch(self, number: int) -> VectorEpoch:
        """The batches of one epoch."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.vectors))
        return VectorEpoch(self.vectors, np.array_split(order, max(1, round(len(order) / self.size))), number)


@dataclass(frozen=True)
class VectorEpoch:
    """The batches of one epoch.

    Parameters
    ----------
    vectors
        All of them.
    rows
        Those of each batch.
    number
        Of the epoch.
    """

    vectors: FloatArray
    rows: list[npt.NDArray[np.int64]]
    number: int

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> VectorBatch:
        return VectorBatch(torch.from_numpy(self.vectors[self.rows[index]]), self.number if index == 0 else None)


def autoencoder_loss(sae: SparseAutoencoder, batch: VectorBatch) -> Tensor:
    """``FVU + aux / 32`` of a batch; the first batch of an epoch begins it for the autoencoder.

    ``FVU = |x^ - x|^2 / |x - mean x|^2``, sums over the batch. The ``d / 2`` strongest dead latents explain what is
    left, ``r = x - x^``: ``aux = min(n_dead / (d / 2), 1) |r^ - r|^2 / |x - mean x|^2``, with ``r^`` without a bias.
    """
    if batch.epoch is not None:
        sae.begin_epoch(first=batch.epoch == 0)
    x = batch.vectors
    values, latents, pre = sae.encode(x)
    sae.fired[latents[values > 0]] = True
    reconstructed = sae.decode(values, latents)
    variance = (x - x.mean(0)).square().sum().clamp_min(1e-12)
    fvu = (reconstructed - x).square().sum() / variance
    most, dead = x.shape[1] // 2, sae.dead.nonzero()[:, 0]
    if not len(dead) or not most:
        return fvu
    strongest, places = pre[:, dead].topk(min(most, len(dead)), sorted=False)
    residual = (x - reconstructed).detach()  # r: what living latents leave is not theirs to make easier
    error = (sae.combine(strongest, dead[places]) - residual).square().sum()
    return fvu + AUX * min(len(dead) / most, 1.0) * error / variance


@dataclass(frozen=True)
class Codes:
    """What an autoencoder keeps of n vectors.

    Parameters
    ----------
    values
        float32 ``[n, k]``, not negative.
    latents
        int64 ``[n, k]``; where a value is 0 the latent is not active.
    """

    values: FloatArray
    latents: npt.NDArray[np.int64]


@torch.inference_mode()
def encode_vectors(sae: SparseAutoencoder, vectors: FloatArray) -> Codes:
    """The codes of ``vectors`` ``[n, d]``, block by block."""
    found = Codes(np.empty((len(vectors), sae.k), np.float32), np.empty((len(vectors), sae.k), np.int64))
    for rows in _blocks(len(vectors)):
        values, latents, _ = sae.encode(torch.from_numpy(vectors[rows]).to(sae.unit.device))
        found.values[rows], found.latents[rows] = values.cpu().numpy(), latents.cpu().numpy()
    return found


@torch.inference_mode()
def decode_codes(sae: SparseAutoencoder, codes: Codes) -> FloatArray:
    """float32 ``[n, d]``: ``x^`` of codes."""
    return _from_codes(sae, codes, sae.decode)


@torch.inference_mode()
def combine_codes(sae: SparseAutoencoder, codes: Codes) -> FloatArray:
    """float32 ``[n, d]``: ``z W_d`` of codes, without the bias."""
    return _from_codes(sae, codes, sae.combine)


def _from_codes(sae: SparseAutoencoder, codes: Codes, make: Callable[[Tensor, Tensor], Tensor]) -> FloatArray:
    found = np.empty((len(codes.values), len(sae.decoder_bias)), np.float32)
    for rows in _blocks(len(found)):
        parts = (torch.from_numpy(array[rows]).to(sae.unit.device) for array in (codes.values, codes.latents))
        found[rows] = make(*parts).cpu().numpy()
    return found


def unexplained(vectors: FloatArray, reconstructed: FloatArray) -> float:
    """FVU: the share of the variance of ``vectors`` ``[n, d]`` that is lost."""
    total = float(np.square(vectors - vectors.mean(0), dtype=np.float64).sum())
    return float(np.square(reconstructed - vectors, dtype=np.float64).sum()) / max(total, 1e-12)


def _blocks(n: int) -> list[slice]:
    return [slice(start, start + _ENCODED) for start in range(0, n, _ENCODED)]
