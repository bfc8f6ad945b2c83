"""The contract of a plug-in: something done *to* a model, at the places where models let themselves be changed.

A plug-in implements only the hooks it needs. ``SASRec(...).plug(VAT(...), AdaRetrieval(...))``, or the name
``"sasrec+vat+ada-retrieval"``, is again a recommender (:mod:`honeyguide.core.plugged`). Plug-ins are applied in
the order in which they are listed: the first is the innermost, and later ones see what it made. Weights multiply,
loss terms sum, candidates unite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from honeyguide.core.artifact import Arrays
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import FitInterrupted, HoneyguideError, PluginError
from honeyguide.core.fitting import FitOptions, configured
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Lists, Recommender
from honeyguide.core.requests import Requests
from honeyguide.core.resources import Estimate

if TYPE_CHECKING:
    from torch import Tensor, nn

    from honeyguide.graph import BipartiteGraph
    from honeyguide.nn.forward import Forward, LossContext, Weights

T = TypeVar("T")


class PluginConfig(BaseModel):
    """Base of all plug-in configurations: frozen, typed, no unknown options.

    Parameters
    ----------
    enabled
        A plug-in that is switched off changes nothing, bit for bit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True


@dataclass(frozen=True)
class Run:
    """What a plug-in that wraps a fit is given beside the data.

    Parameters
    ----------
    model
        What is plugged into; fitted once the inner fit was called.
    options
        For a stage of the plug-in's own; its checkpoint folder is the plug-in's alone.
    seed
        Of whatever it draws.
    """

    model: Recommender
    options: FitOptions
    seed: int


@dataclass(frozen=True)
class Receipt:
    """What was kept when ``n`` events were scored, to be read when their outcome is known.

    Parameters
    ----------
    hidden
        float32 ``[n, w]``, what the model saw in each, before its last layer.
    scores
        float32 ``[n]``, of the model without its plug-ins.
    """

    hidden: FloatArray
    scores: FloatArray


class Plugin:
    """Base of all plug-ins. Subclasses declare ``name``, ``Config`` and ``needs``, and override hooks.

    Parameters
    ----------
    config
        A configuration; ``None`` for the defaults.
    **overrides
        Single options, for example ``VAT(epsilon=0.3)``.

    Raises
    ------
    ConfigError
        If an option is unknown or its value is not allowed.
    """

    name: ClassVar[str]
    Config: ClassVar[type[PluginConfig]] = PluginConfig
    config: PluginConfig
    needs: ClassVar[frozenset[str]] = frozenset()  # of Recommender.states

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        self.config = configured(self.name, self.Config, config, overrides)

    # -- before and while training ------------------------------------------------------------

    def before_fit(self, data: Dataset, run: Run) -> None:
        """Learn from the data as the plug-ins before this one changed them, before its own ``transform``."""

    def transform(self, data: Dataset) -> Dataset:
        """The data to learn from; users and items keep their codes."""
        return data

    def graph(self, graph: BipartiteGraph) -> BipartiteGraph:
        """The graph to propagate over (state ``graph``)."""
        return graph

    def weights(self, forward: Forward) -> Weights | None:
        """Weights of the examples of a batch (state ``weights``)."""
        return None

    def truth_weights(self, users: IntArray, items: IntArray) -> FloatArray | None:
        """What held-out pairs ``[n]`` weigh where an epoch is judged by them (state ``weights``)."""
        return None

    def loss_terms(self, context: LossContext) -> Tensor | None:
        """What is added to the loss of a batch (state ``vectors``)."""
        return None

    def on_start(self, network: nn.Module) -> None:
        """Called with the network as it was drawn, before a training begins or resumes."""

    def on_step(self, network: nn.Module, epoch: int, step: int) -> None:
        """Called after every step of the optimiser; both count from 0."""

    def on_epoch(self, network: nn.Module, epoch: int) -> None:
        """Called after every epoch, before it is judged."""

    def keeps_from(self) -> int:
        """The first epoch, from 0, whose weights may be kept: before it the plug-in has not done its work."""
        return 0

    def training_state(self) -> dict[str, Tensor]:
        """What it has learnt so far beside the network, for the checkpoint of a training that goes on."""
        return {}

    def resume(self, tensors: Mapping[str, Tensor]) -> None:
        """Undo :meth:`training_state`; called after ``on_start``."""

    def around_fit(self, fit: Callable[[Dataset], None], data: Dataset, run: Run) -> None:
        """Stages: call ``fit(data)`` for what is inside, and do what comes before and after.

        One that calls it several times names each in ``run.model.hooks.stage``, so that each has a checkpoint.
        """
        fit(data)

    def after_fit(self, data: Dataset, run: Run) -> None:
        """Learn from the model as it will serve, without changing it: called when all stages are over."""

    # -- when recommending --------------------------------------------------------------------

    def edit_histories(self, histories: Ragged) -> Ragged:
        """What the model is to read in the place of histories ``[n]``: other items, as many, at the same times.

        What is excluded from a list stays what the request says. The argument is not to be changed.
        """
        return histories

    def edit_state(self, states: FloatArray, histories: Ragged) -> FloatArray:
        """The users' states ``[n, d]`` to score with (state ``state``); the argument is not to be changed."""
        return states

    def adjust_scores(self, requests: Requests, states: FloatArray | None, scores: FloatArray) -> FloatArray:
        """The scores ``[n, n_items]``; the argument may be changed. States are there with state ``state``."""
        return scores

    def adjust_events(self, receipt: Receipt) -> FloatArray:
        """The scores ``[n]`` of single events (state ``events``)."""
        return receipt.scores

    def retrieve(self, requests: Requests, n: int) -> Lists:
        """``n`` candidates for each request, best first: items ``[r, n]``, padded with -1, and scores."""
        raise NotImplementedError(f"{self.name} retrieves nothing")

    def around_recommend(self, recommend: Callable[[Requests, int], Lists], requests: Requests, k: int) -> Lists:
        """Rounds or repair: ask ``recommend(requests, k)`` as often as it takes, and return items and scores."""
        return recommend(requests, k)

    def observe(self, labels: FloatArray, receipt: Receipt) -> None:
        """Learn from the outcomes ``[n]`` of events that were scored before (state ``events``)."""

    def renewed(self) -> None:
        """Called after the model inside learnt from new events (state ``events``): what was kept of it is old."""

    # -- cost and storage ---------------------------------------------------------------------

    def bind(self, model: Recommender) -> None:
        """Called once with the model that is plugged into, fitted or not."""

    def estimate(self, inner: Estimate, data: Dataset) -> Estimate:
        """What a fit needs, given what it needs without the plug-in."""
        return inner

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and JSON-able metadata from which :meth:`restore` rebuilds what was learnt."""
        return {}, {}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        """Undo :meth:`state`; the model inside is restored already."""

    @classmethod
    def hooks(cls) -> frozenset[str]:
        """Names of the hooks that it implements."""
        return frozenset(name for name in HOOKS if getattr(cls, name) is not getattr(Plugin, name))


HOOKS = (
    "before_fit",
    "transform",
    "graph",
    "weights",
    "truth_weights",
    "loss_terms",
    "on_start",
    "on_step",
    "on_epoch",
    "training_state",
    "around_fit",
    "after_fit",
    "edit_histories",
    "edit_state",
    "adjust_scores",
    "adjust_events",
    "retrieve",
    "around_recommend",
    "observe",
    "renewed",
)
_TRAINING = {"weights", "loss_terms", "graph", "on_start", "on_step", "on_epoch"}


@dataclass
class Hooks:
    """The plug-ins of a model, in order; one that is switched off is not among them.

    Parameters
    ----------
    plugins
        In the order in which they are applied.
    epoch
        The trainer says here where it stands.
    stage
        A plug-in that calls its inner fit several times says here which it is; each has a checkpoint of its own.
    """

    plugins: Sequence[Plugin] = ()
    epoch: int = 0
    stage: str = ""
    having: dict[str, list[Plugin]] = field(init=False)

    def __post_init__(self) -> None:
        self.having = {hook: [p for p in self.plugins if hook in p.hooks()] for hook in HOOKS}

    def have(self, *hooks: str) -> bool:
        """Whether a plug-in implements one of ``hooks``."""
        return any(self.having[hook] for hook in hooks)

    @property
    def identity(self) -> str:
        """What the plug-ins that change training are, for checkpoints; empty without one."""
        training = [p for p in self.plugins if p.hooks() & _TRAINING]
        return " ".join(f"{p.name} {p.config.model_dump_json()}" for p in training)

    @property
    def keeps_from(self) -> int:
        """See :meth:`Plugin.keeps_from`."""
        return max((called(plugin, plugin.keeps_from) for plugin in self.plugins), default=0)

    def graph(self, graph: BipartiteGraph) -> BipartiteGraph:
        """See :meth:`Plugin.graph`."""
        for plugin in self.having["graph"]:
            graph = called(plugin, plugin.graph, graph)
        return graph

    def transform(self, data: Dataset, prepare: Callable[[Plugin, Dataset], None] | None = None) -> Dataset:
        """See :meth:`Plugin.transform`; ``prepare`` is called for every plug-in before its own.

        Raises
        ------
        PluginError
            If a plug-in gives users or items other codes.
        """
        for plugin in self.plugins:
            if prepare is not None:
                prepare(plugin, data)
            changed = called(plugin, plugin.transform, data)
            if not changed.item_ids.values.equals(data.item_ids.values):
                raise PluginError(plugin.name, "transform", "it changed the catalogue; items keep their codes")
            data = changed
        return data

    def truth_weights(self, users: npt.NDArray[np.integer], truth: Ragged) -> FloatArray | None:
        """The weights of the held-out items of ``users``, all of them multiplied: as long as ``truth.values``."""
        product: FloatArray | None = None
        rows = np.asarray(users, np.int32)[truth.rows]
        for plugin in self.having["truth_weights"]:
            own = called(plugin, plugin.truth_weights, rows, truth.values)
            if own is not None:
                product = own if product is None else product * own
        return product

    def on_start(self, network: nn.Module) -> None:
        """See :meth:`Plugin.on_start`."""
        for plugin in self.having["on_start"]:
            called(plugin, plugin.on_start, network)

    def on_step(self, network: nn.Module, step: int) -> None:
        """See :meth:`Plugin.on_step`."""
        for plugin in self.having["on_step"]:
            called(plugin, plugin.on_step, network, self.epoch, step)

    def on_epoch(self, network: nn.Module) -> None:
        """See :meth:`Plugin.on_epoch`."""
        for plugin in self.having["on_epoch"]:
            called(plugin, plugin.on_epoch, network, self.epoch)

    def edit_histories(self, histories: Ragged) -> Ragged:
        """See :meth:`Plugin.edit_histories`.

        Raises
        ------
        PluginError
            If a plug-in gives another number of events.
        """
        for plugin in self.having["edit_histories"]:
            edited = called(plugin, plugin.edit_histories, histories)
            if not np.array_equal(edited.offsets, histories.offsets):
                raise PluginError(plugin.name, "edit_histories", "it changed how many events a history has")
            histories = edited
        return histories

    def training_state(self) -> dict[str, dict[str, Tensor]]:
        """See :meth:`Plugin.training_state`: a group of tensors for each that has any."""
        return {f"plugin:{p.name}": called(p, p.training_state) for p in self.having["training_state"]}

    def resume(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        """See :meth:`Plugin.resume`."""
        for plugin in self.having["training_state"]:
            called(plugin, plugin.resume, groups.get(f"plugin:{plugin.name}", {}))

    def edit_state(self, states: FloatArray, histories: Ragged) -> FloatArray:
        """See :meth:`Plugin.edit_state`."""
        for plugin in self.having["edit_state"]:
            states = called(plugin, plugin.edit_state, states, histories)
        return states

    def adjust_scores(self, requests: Requests, states: FloatArray | None, scores: FloatArray) -> FloatArray:
        """See :meth:`Plugin.adjust_scores`."""
        for plugin in self.having["adjust_scores"]:
            scores = called(plugin, plugin.adjust_scores, requests, states, scores)
        return scores


def called(plugin: Plugin, hook: Callable[..., T], *arguments: Any) -> T:
    """What a hook returns.

    Raises
    ------
    PluginError
        If it raised an error that is not one of honeyguide's; it names the plug-in and the hook.
    """
    try:
        return hook(*arguments)
    except (HoneyguideError, FitInterrupted):
        raise
    except Exception as error:
        raise PluginError(plugin.name, hook.__name__, f"{type(error).__name__}: {error}") from error
