"""LLM4DSR: histories whose odd items are found and replaced before a model learns from them, or reads them.

Wang et al., arXiv 2408.08208 (ACM TOIS 2025). A detector that was taught by corruptions of its own making gives every
event the probability that it does not belong; only confident corrections are applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from honeyguide.core.artifact import Arrays
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import NotFittedError
from honeyguide.core.plugin import Plugin, PluginConfig, Run
from honeyguide.core.ragged import Ragged
from honeyguide.core.resources import Estimate
from honeyguide.encode.items import encoding_seconds
from honeyguide.encode.text import text_encoder
from honeyguide.nn.trainer import TrainerSettings
from honeyguide.plugins.denoising import Corrections, Detector, Pieces, Setting, corrections, pooled
from honeyguide.plugins.detectors import CosineDetector, EncoderDetector

_TOP = 3  # proposals for a piece of a history in the log
_LM_SECONDS = 0.9  # CPU-seconds to tune SmolLM2 on a window of six titles, measured
_LM_READ = 0.4  # and to read one


class LLM4DSRConfig(PluginConfig):
    """Options of :class:`LLM4DSR`.

    Parameters
    ----------
    detector
        ``"encoder"``: a small transformer over the vectors of titles; ``"cosine"``; ``"lm"``: a language model.
    window
        Events that a detector reads at once.
    q_train, m_train
        Which percentile of the probabilities, from 0 to 1, one must exceed to be corrected before training, and how
        many corrections a window may have.
    q_test, m_test
        The same when recommending.
    text, columns
        Encoder and columns of the items' text; see :class:`~honeyguide.models.content.text_profile.TextProfileConfig`.
    collaborative
        Whether the encoder also sees how many people took an item, and took it with the others.
    dim, blocks, heads, dropout, epochs, lr, batch, negatives, samples
        Of the encoder.
    lm
        Which language model: as for :class:`~honeyguide.lm.local.LocalConfig`.
    lm_reading
        ``"first"``: the first token of a title is read, in one pass; ``"title"``: the mean over its tokens.
    lm_samples, lm_epochs, lm_batch, lm_lr, lm_rank, lm_alpha
        Of its tuning; without samples it is asked as it is.
    """

    detector: Literal["encoder", "cosine", "lm"] = "encoder"
    window: int = Field(10, ge=3)
    q_train: float = Field(0.98, ge=0, le=1)
    m_train: int = Field(1, ge=0)
    q_test: float = Field(0.98, ge=0, le=1)
    m_test: int = Field(1, ge=0)
    text: str = "auto"
    columns: tuple[str, ...] | None = None
    collaborative: bool = True
    dim: int = Field(64, ge=4, multiple_of=2)
    blocks: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    epochs: int = Field(4, ge=1)
    lr: float = Field(2e-3, gt=0)
    batch: int = Field(64, ge=2)
    negatives: int = Field(256, ge=1)
    samples: int = Field(50_000, ge=1)
    lm: str = "smollm2"
    lm_reading: Literal["first", "title"] = "title"
    lm_samples: int = Field(5000, ge=0)
    lm_epochs: int = Field(2, ge=1)
    lm_batch: int = Field(8, ge=1)
    lm_lr: float = Field(1e-3, gt=0)
    lm_rank: int = Field(8, ge=1)
    lm_alpha: int = Field(16, ge=1)


class LLM4DSR(Plugin):
    """Events that a detector is sure do not belong are replaced: in the training part, and in histories of requests.

    What is held out is never changed, nor what a request excludes, nor times. The thresholds are percentiles of the
    probabilities of the training part, so that what a request gets does not depend on others.
    """

    name = "llm4dsr"
    Config = LLM4DSRConfig
    config: LLM4DSRConfig
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self.detector: Detector | None = None
        self.train = self.serve = Setting(np.inf, 0)
        self.report: dict[str, Any] = {}

    # -- before training ------------------------------------------------------------------------

    def before_fit(self, data: Dataset, run: Run) -> None:
        """Teach the detector on the training part, and find the thresholds."""
        c, histories = self.config, data.histories("train")
        detector = made(c)
        detector.fit(Pieces.of(histories, c.window).windows, data, run)
        found = pooled(detector, histories, c.window)
        self.train = Setting(_percentile(found, c.q_train), c.m_train)
        self.serve = Setting(_percentile(found, c.q_test), c.m_test)
        self.detector = detector

    def transform(self, data: Dataset) -> Dataset:
        """The training part as it is corrected; the other parts stay."""
        found = self.corrections(data.histories("train"), self.train)
        self.report = {
            "events": len(found.histories.values),
            "corrected": int(found.applied.sum()),
            "threshold_train": self.train.threshold,
            "threshold_test": self.serve.threshold,
            **getattr(self._fitted(), "report", {}),
        }
        return data.with_histories(found.corrected, "train")

    # -- when recommending ----------------------------------------------------------------------

    def edit_histories(self, histories: Ragged) -> Ragged:
        """The histories as they are corrected."""
        if self.serve.most == 0:
            return histories
        return self.corrections(histories).corrected

    def corrections(self, histories: Ragged, setting: Setting | None = None, top: int = 0) -> Corrections:
        """What the detector says of histories.

        Parameters
        ----------
        histories
            Item codes.
        setting
            By default that of requests.
        top
            Proposals for every window, applied or not; 0 for those alone that are applied. ``3`` makes a log.
        """
        return corrections(self._fitted(), histories, self.config.window, setting or self.serve, top)

    def audit(self, histories: Ragged) -> Corrections:
        """What a request with these histories has changed, and the other likeliest events with what was proposed."""
        return self.corrections(histories, top=_TOP)

    def _fitted(self) -> Detector:
        if self.detector is None:
            raise NotFittedError("llm4dsr has no detector yet.", "Fit the model that it is plugged into.")
        return self.detector

    # -- cost and storage -----------------------------------------------------------------------

    def estimate(self, inner: Estimate, data: Dataset) -> Estimate:
        """Texts that are not in the cache; windows that are learnt from and read."""
        c, encoder = self.config, text_encoder(self.config.text)
        windows = float(np.ceil(data.histories("train").lengths / c.window).sum())
        seconds = encoding_seconds(data.items, encoder, c.columns) + 2e-4 * windows
        memory = 4.0 * encoder.dim * data.n_items + 8e8
        if c.detector == "encoder":
            seconds += min(windows, c.samples) * c.epochs * (1.5e-4 + 5e-9 * c.dim * (c.batch + c.negatives))
        if c.detector == "lm":
            seconds += _LM_SECONDS * c.lm_samples * c.lm_epochs + _LM_READ * 2 * windows
            memory += 4e9
        return Estimate(inner.memory_bytes + memory, inner.cpu_seconds + seconds)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The detector and the thresholds; no history, and no log of what was corrected in one."""
        arrays, meta = self._fitted().state()
        own = {name: [s.threshold, s.most] for name, s in (("train", self.train), ("serve", self.serve))}
        return arrays, {"detector": meta, "settings": own, "report": self.report}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        """Undo :meth:`state`."""
        self.detector = made(self.config)
        self.detector.restore(dict(arrays), meta["detector"])
        self.train, self.serve = (Setting(*meta["settings"][name]) for name in ("train", "serve"))
        self.report = meta["report"]


def made(c: LLM4DSRConfig) -> Detector:
    """The detector that options ask for, not fitted."""
    if c.detector == "cosine":
        return CosineDetector(c.text, c.columns)
    if c.detector == "lm":
        from honeyguide.lm.tuning import TuneConfig
        from honeyguide.plugins.lm_detector import LMDetector

        tuning = TuneConfig(
            rank=c.lm_rank,
            alpha=c.lm_alpha,
            epochs=c.lm_epochs,
            batch=c.lm_batch,
            learning_rate=c.lm_lr,
            max_tokens=512,
        )
        column = None if c.columns is None else c.columns[0]
        return LMDetector(c.lm, c.lm_samples, c.lm_reading, tuning, c.text, column)
    how = (c.window, c.collaborative, c.dim, c.blocks, c.heads, c.dropout)
    settings = TrainerSettings(epochs=c.epochs, lr=c.lr, schedule="cosine", patience=c.epochs)
    return EncoderDetector(*how, settings, c.batch, c.negatives, c.samples, c.text, c.columns)


def _percentile(values: npt.NDArray[np.float32], q: float) -> float:
    return float(np.quantile(values, q)) if len(values) else float("inf")
