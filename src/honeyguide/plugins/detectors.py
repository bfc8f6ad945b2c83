"""Detectors of items that do not belong, without a language model: by cosine, and by a small encoder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from honeyguide.core.artifact import Arrays
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.fitting import STATISTICS
from honeyguide.core.plugin import Run
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.data.corruptions import Corrupted, corrupt_one
from honeyguide.encode.items import ItemText
from honeyguide.encode.text import text_encoder
from honeyguide.metrics.predictive import auc
from honeyguide.nn.evidence import Evidence
from honeyguide.nn.odd_item import (
    OddBatches,
    OddItemNetwork,
    cosines,
    odd_item_loss,
    odd_probabilities,
    others_mean,
    padded,
    suggested,
)
from honeyguide.nn.trainer import Trainer, TrainerSettings, choose_device, seeded
from honeyguide.plugins.denoising import Places

_HELD = 0.1  # of the windows, on whose corruptions an epoch is judged
_MOST_HELD = 2000


@dataclass
class CosineDetector:
    """``p_t = (1 - mean cosine of item t with the others) / 2``; the item nearest to their mean would belong.

    Parameters
    ----------
    encoder, columns
        Of the items' text.
    """

    encoder: str = "auto"
    columns: tuple[str, ...] | None = None
    vectors: FloatArray = field(default_factory=lambda: np.empty((0, 0), np.float32), init=False)  # [m, D]

    def fit(self, windows: Ragged, data: Dataset, run: Run) -> None:
        """Read the texts."""
        self.vectors = ItemText.of(data.items, text_encoder(self.encoder), self.columns).vectors(data.items)

    def probabilities(self, windows: Ragged) -> FloatArray:
        """See :class:`~honeyguide.plugins.denoising.Detector`."""
        vectors, seen = self._read(windows)
        mean = cosines(vectors, seen)[..., 0]
        found: FloatArray = ((1 - mean[seen]) / 2).clamp(0, 1).numpy()
        return found

    def replacements(self, windows: Ragged, places: Places, k: int = 1) -> IntArray:
        """See :class:`~honeyguide.plugins.denoising.Detector`."""
        rows = windows.rows[places]
        asked = windows.take(rows)
        vectors, seen = self._read(asked)
        within = torch.from_numpy(places - windows.offsets[rows])
        queries = others_mean(vectors, seen)[torch.arange(len(rows)), within]  # [c, D]
        scores = queries @ torch.from_numpy(self.vectors).T
        for row, held in enumerate(asked):
            scores[row, torch.from_numpy(held.astype(np.int64))] = -torch.inf
        found: IntArray = scores.topk(k, dim=1).indices.numpy().astype(np.int32)
        return found

    def _read(self, windows: Ragged) -> tuple[torch.Tensor, torch.Tensor]:
        items, seen, _ = padded(windows, Evidence.nothing(len(self.vectors)))
        return torch.from_numpy(self.vectors)[items] * seen[..., None], seen

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """See :class:`~honeyguide.plugins.denoising.Detector`."""
        return {f"{STATISTICS}vectors": self.vectors}, {}

    def restore(self, arrays: Arrays, meta: dict[str, Any]) -> None:
        """See :class:`~honeyguide.plugins.denoising.Detector`."""
        self.vectors = np.array(arrays[f"{STATISTICS}vectors"])


@dataclass
class EncoderDetector:
    """A small two-sided transformer over the vectors of the items' texts, trained on corruptions of its own making.

    Parameters
    ----------
    window
        Longest window.
    collaborative
        Whether it also sees how many people took an item, and took it with the others.
    dim, blocks, heads, dropout
        Of the network.
    settings
        Of the training.
    batch, negatives
        Windows at a time, and items that the true one is held against.
    samples
        Largest number of windows to learn from; they are drawn.
    encoder, columns
        Of the items' text.
    """

    window: int
    collaborative: bool
    dim: int
    blocks: int
    heads: int
    dropout: float
    settings: TrainerSettings
    batch: int
    negatives: int
    samples: int
    encoder: str = "auto"
    columns: tuple[str, ...] | None = None
    report: dict[str, Any] = field(default_factory=dict, init=False)
    network: OddItemNetwork = field(init=False)
    evidence: Evidence = field(init=False)

    def fit(self, windows: Ragged, data: Dataset, run: Run) -> None:
        """Train on ``windows``, and keep the epoch that is best on corruptions of windows held back."""
        if not len(windows):
            raise DataError("no history has three events, from which one could be told to be odd.", "Give longer ones.")
        vectors = ItemText.of(data.items, text_encoder(self.encoder), self.columns).vectors(data.items)
        m = data.n_items
        self.evidence = Evidence.of(data.matrix("train")) if self.collaborative else Evidence.nothing(m)
        rng = np.random.default_rng(run.seed)
        order = rng.permutation(len(windows))[: self.samples]
        held = min(_MOST_HELD, int(_HELD * len(order)))
        judged, learnt = windows.take(order[:held]), windows.take(order[held:])
        device = choose_device(run.options.device)
        with seeded(run.seed, device):
            self.network = self._build(torch.from_numpy(vectors)).to(device)
        steps = self.settings.epochs * -(-len(learnt) // self.batch)
        digest = hashlib.sha256(windows.offsets.tobytes() + windows.values.tobytes() + vectors.tobytes()).hexdigest()
        trainer = Trainer(
            self.network,
            lambda batch: odd_item_loss(self.network, batch),
            OddBatches(learnt, m, self.evidence, self.batch, self.negatives, run.seed),
            replace(self.settings, seed=run.seed, warmup=min(50, steps // 10)),
            replace(run.options, on_epoch=None, cpu_limit=None),
            self._validation(corrupt_one(judged, m, rng)) if held else None,
            identity=f"{digest[:16]} {self.dim} {self.blocks} {self.batch} torch {torch.__version__}",
            metric="auc",
        )
        self.report = {"curve": trainer.run(), "windows": len(learnt)}
        self.network = self.network.to("cpu").requires_grad_(False)

    def _build(self, vectors: torch.Tensor) -> OddItemNetwork:
        how = (self.window, self.evidence.n_features, self.dim, self.blocks, self.heads, self.dropout)
        return OddItemNetwork(vectors, *how)

    def _validation(self, judged: Corrupted) -> Any:
        return lambda: auc(judged.mask, odd_probabilities(self.network, judged.histories, self.evidence))

    def probabilities(self, windows: Ragged) -> FloatArray:
        """See :class:`~honeyguide.plugins.denoising.Detector`."""
        return odd_probabilities(self.network, windows, self.evidence)

    def replacements(self, windows: Ragged, places: Places, k: int = 1) -> IntArray:
        """See :class:`~honeyguide.plugins.denoising.Detector`."""
        return suggested(self.network, windows, self.evidence, places, k)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """See :class:`~honeyguide.plugins.denoising.Detector`."""
        arrays = {f"network.{name}": tensor.numpy() for name, tensor in self.network.state_dict().items()}
        arrays[f"{STATISTICS}vectors"] = self.network.vectors.numpy()
        if self.evidence.n_features:
            together = self.evidence.together
            arrays[f"{STATISTICS}counts"] = self.evidence.counts
            arrays[f"{STATISTICS}together.data"] = together.data
            arrays[f"{STATISTICS}together.indices"] = together.indices
            arrays[f"{STATISTICS}together.indptr"] = together.indptr
        return arrays, {}

    def restore(self, arrays: Arrays, meta: dict[str, Any]) -> None:
        """See :class:`~honeyguide.plugins.denoising.Detector`."""
        import scipy.sparse as sp

        vectors = torch.from_numpy(np.array(arrays[f"{STATISTICS}vectors"]))
        self.evidence = Evidence.nothing(len(vectors))
        if self.collaborative:
            parts = tuple(np.array(arrays[f"{STATISTICS}together.{name}"]) for name in ("data", "indices", "indptr"))
            together = sp.csr_matrix(parts, shape=(len(vectors), len(vectors)))
            self.evidence = Evidence(np.array(arrays[f"{STATISTICS}counts"]), together)
        weights = {
            n.removeprefix("network."): torch.from_numpy(np.array(a))
            for n, a in arrays.items()
            if n.startswith("network.")
        }
        self.network = self._build(vectors).requires_grad_(False)
        self.network.load_state_dict(weights)
        self.network.eval()
