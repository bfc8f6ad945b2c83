"""RecSAE: a sparse autoencoder on a model's states, to see what they hold and to change it (arXiv 2411.06112)."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from honeyguide.core.artifact import Arrays
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError, NotFittedError
from honeyguide.core.plugin import Hooks, Plugin, PluginConfig, Run
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Estimate
from honeyguide.metrics.holdout import drawn_users, holdout_ndcg
from honeyguide.nn.sparse_autoencoder import (
    Codes,
    SparseAutoencoder,
    VectorBatch,
    VectorBatches,
    autoencoder_loss,
    combine_codes,
    decode_codes,
    encode_vectors,
    unexplained,
)
from honeyguide.nn.trainer import Trainer, TrainerSettings, choose_device, seeded

Edits = Mapping[int, float]  # latent -> what its value is multiplied by; 0 switches it off

# What requests in this context ask of a plug-in, by its id: edits, or None for the reconstruction alone.
_ASKED: ContextVar[Mapping[int, Edits | None]] = ContextVar("recsae", default={})  # noqa: B039 - never written into


class RecSAEConfig(PluginConfig):
    """Options of :class:`RecSAE`.

    Parameters
    ----------
    k
        Latents that are kept of a vector, the strongest.
    expansion
        Latents for each number of a vector.
    lr, epochs, patience
        See :class:`~honeyguide.nn.trainer.TrainerSettings`.
    batch
        Vectors in a batch.
    vectors
        Largest number of vectors to learn from; users are drawn up to it.
    valid_users
        Largest number of users on whom an epoch is judged, by NDCG@10 of the reconstruction.
    ablate
        Latents that are switched off from the start.
    scale
        Latents whose values are multiplied from the start, and by what.
    """

    k: int = Field(32, ge=1)
    expansion: int = Field(32, ge=1)
    lr: float = Field(1e-3, gt=0)
    epochs: int = Field(12, ge=1)
    patience: int = Field(4, ge=1)
    batch: int = Field(1024, ge=2)
    vectors: int = Field(1_000_000, ge=2)
    valid_users: int = Field(2_000, ge=1)
    ablate: tuple[int, ...] = ()
    scale: dict[int, float] = Field(default_factory=dict)


class RecSAE(Plugin):
    """States are written as few of many latents; users are served from the states, with edits of latents added.

    The model is fitted first and stays as it is. An edit z' of the latents z changes the state x to
    ``x' = x + (z' - z) W_d``: what the autoencoder does not explain is kept, and without an edit nothing changes.
    """

    name = "recsae"
    Config = RecSAEConfig
    config: RecSAEConfig
    needs: ClassVar[frozenset[str]] = frozenset({"state"})

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self.edits: Edits = self._own_edits()
        self.report: dict[str, Any] = {}
        self.model: Recommender | None = None
        self.sae: SparseAutoencoder | None = None

    def _own_edits(self) -> Edits:
        return {**self.config.scale, **dict.fromkeys(self.config.ablate, 0.0)}

    def bind(self, model: Recommender) -> None:
        """Remember whose states these are; edits of latents that there cannot be are refused before a fit."""
        self.model = model
        width = _option(model, 0, "dim", "factors")
        if width:
            self._check(self.edits, width * self.config.expansion)

    # -- fitting ------------------------------------------------------------------------------

    def around_fit(self, fit: Callable[[Dataset], None], data: Dataset, run: Run) -> None:
        """Fit the model without the latents of an earlier fit, which were others."""
        self.sae, self.edits = None, self._own_edits()
        fit(data)

    def after_fit(self, data: Dataset, run: Run) -> None:
        """The autoencoder, on the model's states over the training part; valid chooses the epoch."""
        c, train, valid = self.config, data.histories("train"), data.histories("valid")
        vectors = self._training_vectors(train, run.seed)
        if len(vectors) < 2:
            raise DataError("recsae learns from the states of users, and there are not two.", "Give more histories.")
        centred = vectors - vectors.mean(0)
        unit = max(float(np.sqrt(np.square(centred, dtype=np.float64).mean())), 1e-12)
        device = choose_device(run.options.device)
        with seeded(run.seed, device):
            width = vectors.shape[1]
            sae = SparseAutoencoder(width, width * c.expansion, c.k, unit).to(device)
        self._check(self.edits, len(sae.dead))
        seen: Callable[[VectorBatch], torch.Tensor] = lambda batch: autoencoder_loss(sae, batch)  # noqa: E731
        trainer = Trainer(
            sae,
            seen,
            VectorBatches(vectors, c.batch, run.seed),
            TrainerSettings(epochs=c.epochs, lr=c.lr, patience=c.patience, seed=run.seed),
            # an unfinished model goes on when it is resumed, and its states will be others
            run.options if run.model.report.finished else replace(run.options, checkpoint=None),
            self._validation(sae, train, valid, run.seed),
            identity=f"{c.model_dump_json()} {hashlib.sha256(vectors.tobytes()).hexdigest()[:16]} "
            f"torch {torch.__version__}",
        )
        curve = trainer.run()
        self.sae = sae.to("cpu").requires_grad_(False)
        self.report = {"curve": curve, "vectors": len(vectors), **self.quality(vectors)}

    def _training_vectors(self, train: Ragged, seed: int) -> FloatArray:
        """All states of a sequence model, those of users of any other; at most ``vectors``, of users drawn."""
        users = np.random.default_rng(seed).permutation(np.flatnonzero(train.lengths))
        each = train.lengths[users] if "positions" in self.plain().states else np.ones(len(users), np.int64)
        kept = users[np.cumsum(each) <= max(self.config.vectors, each[:1].sum())]
        return self.inputs(train.take(np.sort(kept)))[0]

    def _validation(
        self, sae: SparseAutoencoder, train: Ragged, valid: Ragged, seed: int
    ) -> Callable[[], float] | None:
        """NDCG@10 of the reconstruction on valid, of users with a history."""
        users = drawn_users(valid, self.config.valid_users, seed)
        users = users[train.lengths[users] > 0]
        if not len(users):
            return None
        histories, truth = train.take(users), valid.take(users)
        plain = self.plain()
        states, items = plain.user_vectors(histories), plain.item_vectors()  # type: ignore[attr-defined]

        def judge() -> float:
            reconstructed = decode_codes(sae, encode_vectors(sae, states))
            return float(holdout_ndcg(lambda _, rows: reconstructed[rows] @ items.T, histories, truth).mean())

        return judge

    def quality(self, vectors: FloatArray) -> dict[str, float]:
        """Of ``vectors`` ``[n, d]``: ``fvu``, the share of latents that are never active, and how many are on average.

        A latent that is active in none of few vectors need not be dead; take as many as it was trained on.
        """
        codes = self.codes(vectors)
        active = codes.values > 0
        alive = np.unique(codes.latents[active])
        return {
            "fvu": unexplained(vectors, decode_codes(self._fitted(), codes)),
            "dead": 1 - len(alive) / self.n_latents,
            "active": float(active.sum(1).mean()),
        }

    # -- what the states hold -------------------------------------------------------------------

    @property
    def n_latents(self) -> int:
        """Number m of latents."""
        return len(self._fitted().dead)

    def plain(self) -> Recommender:
        """The model inside, with the plug-ins listed before this one alone."""
        if self.model is None:
            raise NotFittedError("recsae is plugged into no model.", "Use model.plug(RecSAE()).")
        plain = copy.copy(self.model)
        mine = next((i for i, plugin in enumerate(plain.hooks.plugins) if plugin is self), 0)
        plain.hooks = Hooks(plain.hooks.plugins[:mine])
        return plain

    def inputs(self, histories: Ragged) -> tuple[FloatArray, Ragged, npt.NDArray[np.int64]]:
        """The states that histories pass through: one for every event that a sequence model reads, else one each.

        Returns
        -------
        ndarray, Ragged, ndarray
            float32 ``[n, d]``; the history that each state is of, as far as it was read, its end being the last
            event; and the row of ``histories`` that it belongs to, int64 ``[n]``. Empty histories have no state.
        """
        plain: Any = self.plain()
        if "positions" not in plain.states:
            rows = np.flatnonzero(histories.known().lengths)
            some = histories.take(rows)
            return plain.user_vectors(some), some, rows
        states, read = plain.position_states(histories)
        return states, read, read.rows

    def codes(self, states: FloatArray) -> Codes:
        """The latents of ``states`` ``[n, d]`` and their values."""
        return encode_vectors(self._fitted(), states)

    def reconstruct(self, states: FloatArray) -> FloatArray:
        """float32 ``[n, d]``: ``x^``."""
        return decode_codes(self._fitted(), self.codes(states))

    # -- changing it ------------------------------------------------------------------------------

    def edit(self, edits: Edits) -> None:
        """From now on multiply the values of latents; saved with the model, and undone by ``edit({})``.

        Parameters
        ----------
        edits
            Latent -> factor; 0 switches it off.

        Raises
        ------
        ConfigError
            If there is no such latent.
        """
        self._check(edits, self.n_latents)
        self.edits = dict(edits)

    @contextmanager
    def editing(self, edits: Edits) -> Iterator[None]:
        """As :meth:`edit`, for what this thread or task asks for inside; standing edits do not count there."""
        self._check(edits, self.n_latents)
        with self._asking(edits):
            yield

    @contextmanager
    def reconstructing(self) -> Iterator[None]:
        """Inside, users are served from ``x^`` in place of x: what the autoencoder does not explain is lost."""
        self._fitted()
        with self._asking(None):
            yield

    @contextmanager
    def _asking(self, edits: Edits | None) -> Iterator[None]:
        token = _ASKED.set({**_ASKED.get(), id(self): edits})
        try:
            yield
        finally:
            _ASKED.reset(token)

    def edit_state(self, states: FloatArray, histories: Ragged) -> FloatArray:
        """``x + (z' - z) W_d``; rows in which nothing is edited, and those without a history, keep every bit."""
        edits = _ASKED.get().get(id(self), self.edits)
        if self.sae is None or (edits is not None and not edits):
            return states
        rows = np.flatnonzero(states.any(axis=1))
        some = states[rows]
        if edits is None:
            changed = self.reconstruct(some)
        else:
            codes, factors = self.codes(some), np.ones(self.n_latents, np.float32)
            factors[list(edits)] = list(edits.values())
            values = codes.values * (factors[codes.latents] - 1)  # z' - z
            touched = np.flatnonzero(values.any(axis=1))
            rows, some, codes = rows[touched], some[touched], Codes(values[touched], codes.latents[touched])
            changed = some + combine_codes(self.sae, codes)
        edited = states.copy()
        edited[rows] = changed
        return edited

    def _check(self, edits: Edits, n_latents: int) -> None:
        wrong = [latent for latent in edits if not 0 <= latent < n_latents]
        if wrong:
            raise ConfigError(
                f"recsae has no latent {wrong[0]}.", f"There are {n_latents:,}: 0 to {n_latents - 1}; see its concepts."
            )
        infinite = [latent for latent, factor in edits.items() if not np.isfinite(factor)]
        if infinite:
            raise ConfigError(f"the factor of latent {infinite[0]} is not a number.", "Give 0, .5, 2, ...")

    # -- cost and storage ---------------------------------------------------------------------

    def estimate(self, inner: Estimate, data: Dataset) -> Estimate:
        """The states, a batch of all latents, and an epoch's products; early stopping ends it after two thirds."""
        c, d = self.config, _option(self.model, 64, "dim", "factors")
        lengths = data.histories("train").lengths
        if self.model is not None and "positions" in self.model.states:
            n = float(np.minimum(lengths, _option(self.model, 200, "max_len")).sum())
        else:
            n = float((lengths > 0).sum())
        n = min(n, c.vectors)
        m = d * c.expansion
        memory = 4 * (3 * n * d + 5 * c.batch * m + 12 * m * d + n * 2 * c.k)
        per_vector = m * (1.5e-10 * d + 8e-9) + 1e-9 * c.k * d
        return Estimate(max(inner.memory_bytes, memory + 4e8), inner.cpu_seconds + c.epochs * 2 / 3 * n * per_vector)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Weights, standing edits and what the fit found."""
        sae = self._fitted()
        names = ("encoder", "encoder_bias", "decoder", "decoder_bias", "unit")
        arrays = {name: getattr(sae, name).detach().numpy() for name in names}
        edits = {str(latent): factor for latent, factor in self.edits.items()}
        return arrays, {"edits": edits, "report": self.report}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        """Undo :meth:`state`."""
        latents, width = arrays["encoder"].shape
        self.sae = SparseAutoencoder(width, latents, self.config.k).requires_grad_(False)
        weights = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self.sae.load_state_dict(self.sae.state_dict() | weights)
        self.edits = {int(latent): factor for latent, factor in meta["edits"].items()}
        self.report = meta["report"]

    def _fitted(self) -> SparseAutoencoder:
        if self.sae is None:
            raise NotFittedError("recsae is not fitted.", "Fit the model that it is plugged into.")
        return self.sae


def _option(model: Recommender | None, otherwise: int, *names: str) -> int:
    """The first of these options that a model, fitted or not, has set to a number."""
    values = [getattr(getattr(model, "config", None), name, None) for name in names]
    return next((value for value in values if isinstance(value, int)), otherwise)
