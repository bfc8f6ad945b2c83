"""BIGRec: a language model writes the title of the next item, and what it wrote is brought to the catalogue.

Bao et al., arXiv 2308.08434. Shapes: n users, m items, d width of the space in which titles are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ArtifactError, DataError
from honeyguide.core.fitting import STATISTICS, FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Estimate
from honeyguide.lm.batched import complete
from honeyguide.lm.local import Local, LocalConfig
from honeyguide.lm.port import Prompt, one_line
from honeyguide.lm.tuning import TuneConfig, put_arrays, sft, trained_arrays
from honeyguide.metrics.holdout import drawn_users, holdout_ndcg, of_scores
from honeyguide.models.language.grounding import (
    MODEL_GAMMAS,
    POPULARITY_GAMMAS,
    cleaned,
    distances,
    min_max,
    titles_of,
    vectors_of,
    weighed,
)
from honeyguide.models.parts import pack_parts, unpack_parts
from honeyguide.nn.trainer import choose_device

_SYSTEM = "Given what a person chose of late, recommend one new title. Answer with the title in quotes."
_LONGEST = 80  # characters of a title
_SMOLLM2 = 1.35e8  # parameters
_FLOPS = 1e11  # a second, of one core: three times a pass to train, one to read
_TOKENS = 45  # of a prompt beside its titles, and of the answer


class BIGRecConfig(ModelConfig):
    """Options of :class:`BIGRec`.

    Parameters
    ----------
    lm
        As for :class:`~honeyguide.lm.local.LocalConfig`: ``smollm2``, a folder, a GGUF file, a name of the hub.
    samples
        Training windows that it is tuned on, drawn.
    history
        Titles in a prompt, the latest.
    epochs, batch, lr, rank, alpha
        Of the tuning (LoRA on queries and values).
    answer_tokens, beams
        Of the writing.
    space
        Where titles are compared: ``lm``, the last token of the language model as it was before (the paper's);
        ``lm-mean``; or a text encoder.
    column
        Of the titles.
    backbone
        A model whose scores weigh the distances, in the place of popularity; fitted on all events.
    backbone_options
        Its options.
    valid_users
        On how many gamma is chosen; without valid it is 0, or 1 with a backbone.
    """

    lm: str = "smollm2"
    samples: int = Field(1024, ge=1)
    history: int = Field(10, ge=1)
    epochs: int = Field(1, ge=1)
    batch: int = Field(8, ge=1)
    lr: float = Field(1e-3, gt=0)
    rank: int = Field(8, ge=1)
    alpha: int = Field(16, ge=1)
    answer_tokens: int = Field(24, ge=1)
    beams: int = Field(1, ge=1)
    space: str = "minilm"
    column: str | None = None
    backbone: str | None = None
    backbone_options: dict[str, Any] = Field(default_factory=dict)
    valid_users: int = Field(200, ge=1)


class BIGRec(Recommender):
    """Score of item i = ``-D'_i``, the weighed distance of its title to the one that the model wrote for the user.

    ``D'_i = D~_i (1 + w_i)^(-gamma)``: ``D~`` is the distance from 0 to 1, w the share of the most popular item's
    training events or the scores of a backbone from 0 to 1, gamma chosen on valid by NDCG@10. A user without a
    history is given the popular items, and nothing is written.
    """

    name = "bigrec"
    Config = BIGRecConfig
    config: BIGRecConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in"})

    titles: list[str]
    vectors: FloatArray  # [m, d]
    weight: FloatArray  # [m], from 0 to 1
    gamma: float
    version: str  # of the language model before it was tuned
    arrays: dict[str, npt.NDArray[np.float32]]  # what was tuned
    parts: list[Recommender]
    _model: Local | None = None

    def estimate(self, data: Dataset) -> Estimate:
        """Tokens are a quarter of the characters; an arithmetic operation per weight and token."""
        c = self.config
        titles = titles_of(data.items, c.column)[1]
        per_title = 2 + float(np.mean([min(len(title), _LONGEST) for title in titles])) / 4 if titles else 2.0
        tokens, weights = _TOKENS + per_title * c.history, _weights(c.lm)
        told = min(c.valid_users, data.n_users)
        passes = 3 * c.samples * c.epochs * tokens + told * (tokens + 4 * c.answer_tokens)
        parts = [part.estimate(data) for part in self._backbone()]
        return Estimate(
            4 * weights + 1.5e9 + sum(part.memory_bytes for part in parts),
            2 * weights * passes / _FLOPS + 8.0 + sum(part.cpu_seconds for part in parts),
        )

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        c = self.config
        _, self.titles = titles_of(data.items, c.column)
        counts = data.popularity("train")
        self.weight = counts / max(1.0, float(counts.max(initial=0.0)))
        windows, targets = windows_of(data.histories("train"), c.samples, c.history, c.seed)
        if not len(targets):
            raise DataError("no user has two events in train.", "A language model learns from one to the next.")
        self._model = Local(LocalConfig(c.lm, device=str(choose_device(options.device))))
        self.version = self._model.name
        folder = None if options.checkpoint is None else options.checkpoint / "tuning"
        tuning = self._tuning(folder)
        done = sft(self._model, examples_of(windows, targets, self.titles), tuning)
        self.arrays = trained_arrays(self._model, tuning)
        self.report.curve = [{"step": i, "loss": loss} for i, loss in enumerate(done.losses)]
        self.vectors = vectors_of(self.titles, c.space, self._model)
        self.parts = [part.fit(data, FitOptions(device=options.device)) for part in self._backbone()]
        self.gamma = 1.0 if self.parts else 0.0
        self._choose(data)

    def _tuning(self, folder: Path | None = None) -> TuneConfig:
        c = self.config
        return TuneConfig(
            rank=c.rank,
            alpha=c.alpha,
            epochs=c.epochs,
            batch=c.batch,
            learning_rate=c.lr,
            max_tokens=_TOKENS + 32 * c.history + 64,
            seed=c.seed,
            checkpoint=folder,
        )

    def _backbone(self) -> list[Recommender]:
        from honeyguide.models.registry import model_class  # which lists this model too

        c = self.config
        return [] if c.backbone is None else [model_class(c.backbone)(**c.backbone_options)]

    def _choose(self, data: Dataset) -> None:
        """Gamma by NDCG@10 on valid, the smallest of the best."""
        valid = data.histories("valid")
        users = drawn_users(valid, self.config.valid_users, self.config.seed)
        histories, truth = data.histories("train").take(users), valid.take(users)
        if not len(truth.values):
            return
        distance, weight = self._distances(histories), self._weights_of(histories)
        for gamma in MODEL_GAMMAS if self.parts else POPULARITY_GAMMAS:
            scores = -weighed(distance, weight, gamma)
            value = float(holdout_ndcg(of_scores(scores), histories, truth).mean())
            self.report.search.append({"gamma": gamma, "ndcg@10": value})
        self.gamma = max(self.report.search, key=lambda p: (p["ndcg@10"], -p["gamma"]))["gamma"]

    def write(self, histories: Ragged) -> list[str]:
        """The title that the model writes for each history; empty for an empty one."""
        asked = np.flatnonzero(histories.lengths).tolist()
        prompts = [prompt_of([self.titles[i] for i in histories[row][-self.config.history :]]) for row in asked]
        said = complete(self.language_model(), prompts, max_tokens=self.config.answer_tokens, beams=self.config.beams)
        found = [""] * len(histories)
        for row, text in zip(asked, said, strict=True):
            found[row] = cleaned(text)
        return found

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, m]``."""
        known = histories.known()
        return -weighed(self._distances(known), self._weights_of(known), self.gamma)

    def _distances(self, histories: Ragged) -> FloatArray:
        """``[n, m]``; of a user for whom nothing was written every item is as far as it is unpopular."""
        written = self.write(histories)
        texts = sorted(set(written) - {""})
        found = np.tile(1.0 - self.weight, (len(histories), 1)).astype(np.float32)
        rows = [row for row, text in enumerate(written) if text]
        if rows:
            space = self.config.space
            vectors = vectors_of(texts, space, self.language_model() if space.startswith("lm") else None)
            near = distances(vectors, self.vectors)  # [texts, m]
            found[rows] = near[[texts.index(written[row]) for row in rows]]
        return found

    def _weights_of(self, histories: Ragged) -> FloatArray:
        """``[m]`` by popularity, ``[n, m]`` by a backbone."""
        return min_max(self.parts[0].score_histories(histories)) if self.parts else self.weight

    def language_model(self) -> Local:
        """The tuned model, loaded when it is first needed.

        Raises
        ------
        ArtifactError
            If the language model that is here is not the one that was tuned.
        """
        if self._model is None:
            model = Local(LocalConfig(self.config.lm))
            if model.name != self.version:
                raise ArtifactError(
                    f"The language model here is {model.name}; this one was tuned from {self.version}.",
                    "Get the weights it was tuned from, or fit the model again.",
                )
            put_arrays(model, self._tuning(), self.arrays)
            self._model = model
        return self._model

    @property
    def made_of(self) -> tuple[Recommender, ...]:
        """The models whose scores weigh the titles."""
        return tuple(self.parts)

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        parts, described = pack_parts(self.parts)
        arrays = {f"lora.{name}": array for name, array in self.arrays.items()}
        own = {f"{STATISTICS}vectors": self.vectors, f"{STATISTICS}weight": self.weight}
        meta = {"titles": self.titles, "gamma": self.gamma, "version": self.version, "tuned": list(self.arrays)}
        meta["parts"] = described
        return {**arrays, **own, **parts}, meta

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.vectors, self.weight = arrays[f"{STATISTICS}vectors"], arrays[f"{STATISTICS}weight"]
        self.arrays = {name: arrays[f"lora.{name}"] for name in meta["tuned"]}
        self.titles, self.gamma, self.version = meta["titles"], meta["gamma"], meta["version"]
        self.parts = unpack_parts(arrays, meta["parts"], self.item_ids)
        self._model = None


def windows_of(histories: Ragged, samples: int, longest: int, seed: int) -> tuple[Ragged, IntArray]:
    """Windows and what came next: every event that has another before it, or ``samples`` of these, drawn.

    A smaller draw of the same seed is the beginning of a larger one.
    """
    places = np.flatnonzero(-histories.ages() + histories.lengths[histories.rows] - 1 > 0)
    drawn = np.random.default_rng(seed).permutation(places)[:samples]
    starts = np.maximum(histories.offsets[:-1][histories.rows[drawn]], drawn - longest)
    windows = Ragged.from_lists([histories.values[start:place] for start, place in zip(starts, drawn, strict=True)])
    return windows, histories.values[drawn]


def prompt_of(titles: Sequence[str]) -> Prompt:
    """The question, with titles oldest first."""
    told = ", ".join(f'"{one_line(title, _LONGEST)}"' for title in titles)
    return Prompt.of(told, system=_SYSTEM)


def examples_of(windows: Ragged, targets: IntArray, titles: Sequence[str]) -> list[tuple[Prompt, str]]:
    """Prompts with the titles that are wanted, in quotes."""
    return [
        (prompt_of([titles[i] for i in window]), f'"{one_line(titles[target], _LONGEST)}"')
        for window, target in zip(windows, targets, strict=True)
    ]


def _weights(lm: str) -> float:
    """Parameters of a language model, without loading it."""
    files = sorted(Path(lm).glob("*.safetensors")) if Path(lm).is_dir() else []
    return sum(file.stat().st_size for file in files) / 4 if files else _SMOLLM2
