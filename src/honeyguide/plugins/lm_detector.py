"""A detector of items that do not belong by a language model, tuned on corruptions (arXiv 2408.08208)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.artifact import Arrays
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ArtifactError, DataError
from honeyguide.core.fitting import STATISTICS
from honeyguide.core.plugin import Run
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.data.corruptions import corrupt_one
from honeyguide.lm.local import Local, LocalConfig
from honeyguide.lm.odd_item import Reading, fitting_titles, odd_scores, shares, tune
from honeyguide.lm.tuning import TuneConfig, put_arrays, trained_arrays
from honeyguide.models.language.grounding import distances, titles_of, vectors_of
from honeyguide.nn.trainer import choose_device
from honeyguide.plugins.denoising import Places


@dataclass
class LMDetector:
    """``p_t`` is the share of title t in the model's probabilities of naming each title as the one that does not fit.

    What it writes as the replacement is brought to the catalogue: the title itself, or the nearest by vectors.

    Parameters
    ----------
    lm
        As for :class:`~honeyguide.lm.local.LocalConfig`.
    samples
        Windows that it is tuned on, drawn; 0 leaves it as it is.
    reading
        See :func:`~honeyguide.lm.odd_item.odd_scores`.
    tuning
        How it is tuned.
    space
        Text encoder by which a title that is not in the catalogue is brought to it.
    column
        Of the titles.
    """

    lm: str
    samples: int
    reading: Reading
    tuning: TuneConfig
    space: str = "auto"
    column: str | None = None
    report: dict[str, Any] = field(default_factory=dict, init=False)
    titles: list[str] = field(default_factory=list, init=False)
    vectors: FloatArray = field(init=False)  # [m, D] of the titles
    arrays: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict, init=False)
    version: str = field(default="", init=False)  # of the model before it was tuned
    _model: Local | None = field(default=None, init=False)

    def fit(self, windows: Ragged, data: Dataset, run: Run) -> None:
        """Tune the model on corruptions of ``windows``, where that is asked for."""
        if not len(windows):
            raise DataError("no history has three events, from which one could be told to be odd.", "Give longer ones.")
        self.titles = titles_of(data.items, self.column)[1]
        self.vectors = vectors_of(self.titles, self.space)
        self._model = Local(LocalConfig(self.lm, device=str(choose_device(run.options.device))))
        self.version, self.arrays = self._model.name, {}
        if self.samples:
            rng = np.random.default_rng(run.seed)
            some = windows.take(rng.permutation(len(windows))[: self.samples])
            folder = run.options.checkpoint
            tuning = replace(self.tuning, seed=run.seed, checkpoint=None if folder is None else folder / "tuning")
            done = tune(self._model, self.examples(some, data.n_items, rng), tuning)
            self.arrays = trained_arrays(self._model, tuning)
            self.report = {"losses": done.losses, "windows": len(some)}

    def examples(self, windows: Ragged, n_items: int, rng: np.random.Generator) -> list[tuple[list[str], str, str]]:
        """Titles of each window with one put in the place of another: the list, the odd one, the true one."""
        corrupted = corrupt_one(windows, n_items, rng)
        odd = corrupted.histories.values[corrupted.places]
        told = zip(corrupted.histories, odd, corrupted.originals, strict=True)
        return [([self.titles[i] for i in row], self.titles[o], self.titles[t]) for row, o, t in told]

    def probabilities(self, windows: Ragged) -> FloatArray:
        """See :class:`~honeyguide.plugins.denoising.Detector`."""
        scores = odd_scores(self.model(), self._lists(windows), self.reading)
        return shares(scores, windows.lengths.tolist())

    def replacements(self, windows: Ragged, places: Places, k: int = 1) -> IntArray:
        """See :class:`~honeyguide.plugins.denoising.Detector`; the first is the title itself where there is one."""
        rows = windows.rows[places]
        asked = windows.take(rows)
        within = (places - windows.offsets[rows]).tolist()
        said = fitting_titles(self.model(), self._lists(asked), within, max_tokens=32)
        return self.grounded(said, asked, k)

    def grounded(self, texts: Sequence[str], windows: Ragged, k: int) -> IntArray:
        """int32 ``[c, k]``: the items nearest to texts, without those of the window; an equal title is nearest."""
        far = distances(vectors_of(texts, self.space), self.vectors)  # [c, m]
        known = {title: code for code, title in enumerate(self.titles) if title}
        for row, (text, held) in enumerate(zip(texts, windows, strict=True)):
            if text in known:
                far[row, known[text]] = -1.0
            far[row, held] = np.inf
        found: IntArray = np.argsort(far, axis=1, kind="stable")[:, :k].astype(np.int32)
        return found

    def model(self) -> Local:
        """The language model, loaded when it is first needed.

        Raises
        ------
        ArtifactError
            If the one that is here is not the one that was tuned.
        """
        if self._model is None:
            model = Local(LocalConfig(self.lm))
            if model.name != self.version:
                raise ArtifactError(
                    f"The language model here is {model.name}; the detector has learnt with {self.version}.",
                    "Get the weights it was tuned from, or fit the model again.",
                )
            if self.arrays:
                put_arrays(model, self.tuning, self.arrays)
            self._model = model
        return self._model

    def _lists(self, windows: Ragged) -> list[list[str]]:
        return [[self.titles[i] for i in row] for row in windows]

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """See :class:`~honeyguide.plugins.denoising.Detector`."""
        arrays: Arrays = {f"lora.{name}": array for name, array in self.arrays.items()}
        arrays[f"{STATISTICS}vectors"] = self.vectors
        return arrays, {"titles": self.titles, "version": self.version, "tuned": list(self.arrays)}

    def restore(self, arrays: Arrays, meta: dict[str, Any]) -> None:
        """See :class:`~honeyguide.plugins.denoising.Detector`."""
        self.arrays = {name: np.array(arrays[f"lora.{name}"]) for name in meta["tuned"]}
        self.vectors, self.titles = np.array(arrays[f"{STATISTICS}vectors"]), meta["titles"]
        self.version, self._model = meta["version"], None
