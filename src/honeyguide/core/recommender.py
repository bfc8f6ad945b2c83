"""The contract of every recommender."""

from __future__ import annotations

import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core import artifact
from honeyguide.core.dataset import PARTS, Dataset
from honeyguide.core.errors import ArtifactError, CapabilityError, ConfigError, NotFittedError
from honeyguide.core.fitting import STATISTICS, Change, FitOptions, FitReport, ModelConfig, configured
from honeyguide.core.ids import Ids, with_new_items
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.requests import Recommendations, Requests, Scale
from honeyguide.core.resources import Estimate, Stopwatch, check_memory, peak_rss_mb
from honeyguide.core.space import Space
from honeyguide.core.topk import NEVER, exclude_in_place, top_k

if TYPE_CHECKING:
    from honeyguide.core.plugged import Plugged
    from honeyguide.core.plugin import Hooks, Plugin

log = logging.getLogger(__name__)
SCORE_BLOCK = 1 << 22  # scores held at once while recommending: 16 MiB, which the allocator keeps and reuses
RANK_BLOCK = 1 << 12  # requests ranked at once where not every item is scored
LARGE_CATALOGUE = 1 << 16  # items from which it pays not to score every one

Lists = tuple[IntArray, FloatArray]  # items and scores, [n, k] each


class Recommender(ABC):
    """A model that scores items for a user from the user's history.

    Subclasses declare ``name``, ``Config``, ``space`` and ``capabilities`` and implement :meth:`_fit`,
    :meth:`score_histories`, :meth:`_state` and :meth:`_restore`. No state of a model belongs to
    one user: users, known or new, are served from the history that comes with the request.

    Capabilities: ``fold_in`` (serves from histories), ``similar``, ``inner_product`` (a score is the
    dot product of :meth:`user_vectors` and :meth:`item_vectors`), ``cold_items`` (an item without
    events is scored from what is known of it), ``add_items``, ``instruction``, ``query``.

    Parameters
    ----------
    config
        A configuration; ``None`` for the defaults.
    **overrides
        Single options, for example ``SASRec(dim=64)``.

    Raises
    ------
    ConfigError
        If an option is unknown or its value is not allowed.
    """

    name: ClassVar[str]
    Config: ClassVar[type[ModelConfig]] = ModelConfig
    space: ClassVar[Space] = {}  # options worth a search; none: 'honeyguide tune' runs the defaults
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in"})
    scale: ClassVar[Scale] = "rank"
    states: ClassVar[frozenset[str]] = frozenset()  # what plug-ins find in it; see docs/plugins.md
    ranks_by_score: ClassVar[bool] = True  # whether a list is the order of its scores
    learns_valid_itself: ClassVar[bool] = False  # whether that is a step of its fit, where it is asked for
    hooks: Hooks  # the plug-ins of a model that has states; none by default

    def __init__(self, config: ModelConfig | None = None, **overrides: Any) -> None:
        self.config = configured(self.name, self.Config, config, overrides)
        self.item_ids: Ids | None = None
        self.report = FitReport()

    # -- life cycle ---------------------------------------------------------------------------

    def plug(self, *plugins: Plugin) -> Plugged:
        """An unfitted model with the options of this one and ``plugins``, applied in order.

        Raises
        ------
        ConfigError
            If one of them is no plug-in.
        CapabilityError
            If a plug-in needs a state that the model has not.
        """
        from honeyguide.core.plugged import Plugged

        for plugin in plugins:
            if not hasattr(plugin, "hooks") or not isinstance(getattr(plugin, "name", None), str):
                raise ConfigError(
                    f"{plugin!r} is no plug-in.", "Give an instance, such as VAT(); or name it: model('sasrec+vat')."
                )
        return Plugged.of(self, plugins)

    def fit(self, data: Dataset, options: FitOptions | None = None) -> Self:
        """Learn from the part ``train`` of ``data``; ``valid`` is used only to choose, ``test`` never.

        With ``options.learn_valid``, :meth:`learn_valid` is the last step.

        Raises
        ------
        MemoryLimitError
            If the estimate does not fit in memory.
        CapabilityError
            If valid is to be learnt too and the model cannot be updated.
        """
        options = options or FitOptions()
        if options.learn_valid:
            Recommender.require(self, "update")  # not what it will be made of, which no one knows yet
        data = data.select("train", "valid")
        check_memory(self.name, self.estimate(data), options.memory_limit)
        self.item_ids, self.report = None, FitReport()
        with Stopwatch() as watch:
            last = options.learn_valid and not self.learns_valid_itself
            self._fit(data, replace(options, learn_valid=False) if last else options)  # its parts are judged by valid
            self.item_ids = data.item_ids
            if last:
                self._learn_last(data, options)
        self.report.cpu_seconds, self.report.wall_seconds = watch.cpu, watch.wall
        self.report.peak_rss_mb = peak_rss_mb()
        self.report.n_parameters = self.n_parameters
        return self

    def learn_valid(self, data: Dataset, options: FitOptions | None = None) -> Self:
        """Learn the part valid of ``data`` too, which the fit only chose by: :meth:`update` with its events.

        What serves should know the latest there is. Nothing can be measured on valid afterwards: figures on it are
        those of the model before. A second call changes nothing.

        Parameters
        ----------
        data
            What the model was fitted on.
        options
            As for :meth:`fit`.

        Raises
        ------
        CapabilityError
            If the model cannot be updated.
        """
        if "valid" not in self.report.learnt and len(data.histories("valid").values):
            train, both = data.histories("train"), data.histories("train", "valid")
            options = replace(options or FitOptions(), learn_valid=True)
            self.update(train, both, data.item_ids, table=data.items, options=options)
            self.report.learnt = [*self.report.learnt, "valid"]
        return self

    def estimate(self, data: Dataset) -> Estimate:
        """Memory and CPU time that :meth:`fit` is expected to need on ``data``."""
        return Estimate(64.0 * data.interactions.height + 1e6, 1e-6 * data.interactions.height)

    def save(self, directory: str | Path) -> Path:
        """Write the model as an artifact (see :mod:`honeyguide.core.artifact`) and return its folder."""
        ids = self._fitted()
        arrays, meta = self._state()
        content = {
            "model": self.name,
            "config": self.config.model_dump(mode="json"),
            "state": meta,
            "report": asdict(self.report),
        }
        tables = {"items": pl.DataFrame({"item_id": ids.values})}
        return artifact.publish(directory, artifact.Artifact("model", content, arrays, tables))

    @classmethod
    def load(cls, directory: str | Path, version: str | None = None) -> Self:
        """Read a model of this class; use :func:`honeyguide.load` when the class is not known.

        Raises
        ------
        ArtifactError
            If the artifact is damaged, or holds another model.
        """
        return cls.from_artifact(artifact.read(directory, "model", version))

    @classmethod
    def from_artifact(cls, content: artifact.Artifact) -> Self:
        """Build the model from an artifact that was read already."""
        if content.meta.get("model") != cls.name:
            raise ArtifactError(
                f"The artifact holds {content.meta.get('model')!r}, not {cls.name!r}.",
                "Load it with honeyguide.load(directory).",
            )
        try:
            model = cls(**content.meta["config"])
            model.item_ids = Ids(content.tables["items"]["item_id"])
            model.report = FitReport(**content.meta["report"])
            model._restore(content.arrays, content.meta["state"])
        except Exception as error:
            raise ArtifactError(
                f"The artifact is not one that this {cls.name!r} can read: {error}",
                "Use the honeyguide version that wrote it, or fit the model again.",
            ) from error
        return model

    def update(
        self,
        before: Ragged,
        after: Ragged,
        items: Ids | None = None,
        *,
        replay: Ragged | None = None,
        table: pl.DataFrame | None = None,
        options: FitOptions | None = None,
    ) -> Self:
        """Learn from new events without fitting anew (capability ``update``).

        The model holds no histories, so the caller gives those of the users whose histories
        changed. With capability ``exact_update`` the result is that of a fit on the whole log with
        the options of the first fit, up to rounding; other models say on their page what differs.

        Parameters
        ----------
        before, after
            One list for each such user: what was given to the fit or to the last update, and what it is now.
        items
            The catalogue if it has grown: ``model.item_ids.append(...)``; new items have the last codes.
        replay
            Histories of other users; only models that would forget without them read it.
        table
            What is known of the new items, as :meth:`add_items` takes it; it may have rows of other items too. For
            models that read it: an item without a row has no text.
        options
            As for :meth:`fit`.

        Raises
        ------
        CapabilityError
            If the model cannot be updated.
        DataError
            If the catalogue is not a continuation of the old one, the lists do not fit it, or a column of the table
            that the model reads is missing.
        """
        known = self._fitted()
        self.require("update")
        change = Change.checked(known, before, after, known if items is None else items, replay, table)
        if not len(change.after) and change.n_items == len(known):
            return self
        with Stopwatch() as watch:
            self._update(change, options or FitOptions())
        self.item_ids = change.items
        entry = {"users": len(change.after), "new_items": change.n_items - len(known), "cpu_seconds": watch.cpu}
        self.report.updates.append({**entry, "stayed": list(self.left_behind)})
        return self

    @property
    def updates_exactly(self) -> bool:
        """Whether this fitted model is, after an update, that of a fit on the whole log."""
        return "exact_update" in self.capabilities

    @property
    def stands_for(self) -> str:
        """What answers, in words: with the options that are not the defaults; of a model made of models, these."""
        options = self.config.model_dump(exclude_defaults=True, exclude={"seed"}, mode="json")
        told = [f"{name} {v:g}" if isinstance(v, float) else f"{name} {v}" for name, v in options.items()]
        return f"{self.name} ({', '.join(told)})" if told else self.name

    @property
    def made_of(self) -> tuple[Recommender, ...]:
        """The fitted models that a model of models asks; others have none."""
        return ()

    @property
    def left_behind(self) -> tuple[str, ...]:
        """Names of the models it is made of, and of those below them, that updates passed by: they have none."""
        return tuple(
            name for part in self.made_of for name in ((part.name,) if part.report.behind else part.left_behind)
        )

    @property
    def reads_columns(self) -> tuple[str, ...]:
        """Columns of the item table from which an update takes the words of new items."""
        return tuple(dict.fromkeys(column for part in self.made_of for column in part.reads_columns))

    def _learn_last(self, data: Dataset, options: FitOptions) -> None:
        """The end of a fit that shall learn valid too; what is made of models that cannot stays as it is."""
        try:
            self.learn_valid(data, options)
        except CapabilityError as error:
            log.warning("The events of valid are not learnt: %s", error.message)

    # -- what subclasses implement ------------------------------------------------------------

    @abstractmethod
    def _fit(self, data: Dataset, options: FitOptions) -> None:
        """Learn; ``data`` holds the parts train and, where there is one, valid."""

    @abstractmethod
    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]`` scores for users known by their histories alone.

        The result is the caller's to change.
        """

    @abstractmethod
    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        """Arrays and JSON-able metadata from which :meth:`_restore` rebuilds the fitted model."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        """Undo :meth:`_state`."""

    def _update(self, change: Change, options: FitOptions) -> None:
        """Take ``change`` in; with capability ``update``. There is something in it when this is called."""
        raise NotImplementedError(f"{self.name} declares 'update' and does not implement it")

    @property
    def n_parameters(self) -> int:
        """Numbers the model learnt."""
        arrays = self._state()[0]
        return sum(int(a.size) for n, a in arrays.items() if a.dtype.kind == "f" and not n.startswith(STATISTICS))

    # -- use ----------------------------------------------------------------------------------

    def score(self, requests: Requests) -> FloatArray:
        """Scores of all items for each request, before exclusion.

        Returns
        -------
        ndarray
            float32 ``[n, n_items]``; higher is better. Items outside ``requests.candidates``,
            where given, are minus infinity.

        Raises
        ------
        CapabilityError
            If a request carries an instruction, a query or a state and the model reads none.
        """
        self._fitted()
        for asked in ("instruction", "query"):
            if getattr(requests, asked) is not None:
                self.require(asked)
        states = requests.states
        if states is None and requests.instruction is not None:
            states = self.instructed(requests)
        if states is None:
            scores = self.score_histories(requests.histories, requests.users)
        else:
            scores = self.score_states(states, requests)
        if requests.candidates is not None:
            allowed = requests.candidates.to_csr(scores.shape[1])
            inside = np.zeros(scores.shape, bool)
            inside[allowed.nonzero()] = True
            scores[~inside] = NEVER
        return scores

    def instructed(self, requests: Requests) -> FloatArray | None:
        """float32 ``[n, d]``: user vectors under the instructions of ``requests`` (capability ``instruction``).

        ``None`` where the model reads an instruction in another way than by the vector of the user.
        """
        return None

    def score_states(self, states: FloatArray, requests: Requests) -> FloatArray:
        """float32 ``[n, n_items]``: scores from user vectors ``[n, d]`` that were made elsewhere (state ``state``).

        Raises
        ------
        CapabilityError
            If a score of this model is no product of a user's vector with an item's.
        """
        if "state" not in self.states:
            raise CapabilityError(
                f"{self.name} does not score from vectors of users.", "Leave 'states' out of the requests."
            )
        scores: FloatArray = states @ self.item_vectors().T  # type: ignore[attr-defined]
        return scores

    def recommend(self, requests: Requests, k: int = 10) -> Recommendations:
        """The ``k`` best items for each request, without the excluded ones."""
        ids = self._fitted()
        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}.", "Ask for one item or more.")
        dense = self._dense(requests)
        items, values = self._by_blocks(self._rank_dense if dense else self._rank, requests, k, dense)
        return Recommendations(items, values, ids, self.scale)

    def _dense(self, requests: Requests) -> bool:
        """Whether every item is scored: what is asked, or a small catalogue, leaves nothing to save."""
        asked = (requests.candidates, requests.instruction, requests.query, requests.states)
        return any(a is not None for a in asked) or len(self._fitted()) < LARGE_CATALOGUE

    def _rank(self, requests: Requests, k: int) -> Lists:
        """Top-k of at most ``RANK_BLOCK`` plain requests over a large catalogue.

        A model that can tell the best items without the scores of all of them does so here; the lists
        are those of :meth:`_rank_dense`.
        """
        return self._by_blocks(self._rank_dense, requests, k, dense=True)

    def _rank_dense(self, requests: Requests, k: int) -> Lists:
        """Top-k from the scores of all items."""
        scores = self.score(requests)
        exclude_in_place(scores, requests.excluded)
        return top_k(scores, k)

    def _by_blocks(self, rank: Callable[[Requests, int], Lists], requests: Requests, k: int, dense: bool) -> Lists:
        step = max(1, SCORE_BLOCK // max(1, len(self._fitted()))) if dense else RANK_BLOCK
        items = np.full((len(requests), k), -1, np.int32)
        values = np.full((len(requests), k), NEVER, np.float32)
        for start in range(0, len(requests), step):
            rows = slice(start, start + step)
            items[rows], values[rows] = rank(requests.take(rows), k)
        return items, values

    def score_events(self, data: Dataset, part: str = "test") -> FloatArray:
        """Score of every event of ``part`` in its order, liked or not: float32 ``[n_events]``.

        The history is what was liked in the parts before; the outcomes of ``part`` are not read. Models
        that read features of users or of the context take them from ``data``.
        """
        self._fitted()
        events = data.select(part).interactions
        users, items = events["user"].to_numpy(), events["item"].to_numpy()
        histories = data.histories(*PARTS[: PARTS.index(part)])
        scores = np.empty(len(users), np.float32)
        step = max(1, SCORE_BLOCK // max(1, data.n_items))
        asked = np.unique(users)
        for start in range(0, len(asked), step):
            block = asked[start : start + step]
            rows = np.flatnonzero((users >= block[0]) & (users <= block[-1]))
            found = self.score_histories(histories.take(block), block)
            scores[rows] = found[np.searchsorted(block, users[rows]), items[rows]]
        return scores

    def contributions(self, history: IntArray, item: int) -> FloatArray:
        """How much each event of ``history`` adds to the score of ``item``: float32 ``[len(history)]``.

        By default by leaving each event out in turn; models whose score is a sum over the
        history give its exact terms.
        """
        without = [np.delete(history, i) for i in range(len(history))]
        scores = self.score_histories(Ragged.from_lists([history, *without]))[:, item]
        terms: FloatArray = scores[0] - scores[1:]
        return terms

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """The ``k`` items most similar to each of ``items``, without itself (capability ``similar``)."""
        self.require("similar")
        raise NotImplementedError(f"{self.name} declares 'similar' and does not implement it")

    def add_items(self, items: pl.DataFrame) -> Self:
        """The same model with more items, scored from what ``items`` says of them (capability ``add_items``).

        Parameters
        ----------
        items
            Column ``item_id`` and the columns that the model reads, such as a title; one row per new item.

        Returns
        -------
        Recommender
            A model that knows the new items too. Codes and scores of the others stay; new codes follow in
            the order of the ids. This model is not changed.

        Raises
        ------
        CapabilityError
            If the model cannot score an item without events.
        DataError
            If an id repeats or is known already, or a column that the model reads is missing.
        """
        self.require("add_items")
        ids, items = with_new_items(self._fitted(), items)
        grown = copy.copy(self)
        grown.item_ids = ids
        grown._add_items(items)
        return grown

    def _add_items(self, items: pl.DataFrame) -> None:
        """Take in new items, one row each in the order of their codes; arrays are replaced, not written into."""
        raise NotImplementedError(f"{self.name} declares 'add_items' and does not implement it")

    def require(self, capability: str) -> None:
        """Raise a :class:`CapabilityError` that names a model which has ``capability``."""
        if capability not in self.capabilities:
            raise CapabilityError(
                f"{self.name} has no capability {capability!r}.",
                f"It has: {', '.join(sorted(self.capabilities))}. "
                "'honeyguide models' lists the capabilities of every model.",
            )

    def _fitted(self) -> Ids:
        if self.item_ids is None:
            raise NotFittedError(f"{self.name} is not fitted.", "Call fit(data) or load(directory) first.")
        return self.item_ids
