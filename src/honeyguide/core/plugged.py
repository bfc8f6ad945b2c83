"""A model with plug-ins: again a recommender, with options, an artifact and a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import create_model

from honeyguide.core.artifact import Arrays
from honeyguide.core.dataset import PARTS, Dataset
from honeyguide.core.errors import CapabilityError, ConfigError
from honeyguide.core.fitting import FitOptions, ModelConfig
from honeyguide.core.plugin import Hooks, Plugin, Receipt, Run, called
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Lists, Recommender
from honeyguide.core.requests import Recommendations, Requests
from honeyguide.core.resources import Estimate

_NOT_KEPT = frozenset({"update", "exact_update", "add_items"})  # what was plugged in would not follow
_SCORES = ("adjust_scores", "adjust_events")
_LISTS = ("retrieve", "around_recommend")
_CANDIDATES = 10  # times k: how many each plug-in that retrieves is asked for


def option_name(plugin: type[Plugin]) -> str:
    """The option of the whole under which those of a plug-in stand."""
    return plugin.name.replace("-", "_")


@cache
def plugged(base: type[Recommender], plugins: tuple[type[Plugin], ...]) -> type[Plugged]:
    """The class of models ``base`` with ``plugins``; its options are those of both.

    Raises
    ------
    CapabilityError
        If a plug-in needs a state that ``base`` has not.
    ConfigError
        If a plug-in is named twice.
    """
    for plugin in plugins:
        missing = plugin.needs - base.states
        if missing:
            has = ", ".join(sorted(base.states)) or "none"
            raise CapabilityError(
                f"The plug-in {plugin.name!r} needs the state {', '.join(map(repr, sorted(missing)))} of a model, "
                f"and {base.name} does not give it (it gives: {has}).",
                "'honeyguide models' lists the states of every model; take one that has it.",
            )
    names = [option_name(plugin) for plugin in plugins]
    twice = [name for name in names if names.count(name) > 1 or name in base.Config.model_fields]
    if twice:
        raise ConfigError(f"The plug-in {twice[0]!r} cannot be plugged in twice.", "Name it once.")
    fields: dict[str, Any] = {option_name(p): (p.Config, p.Config()) for p in plugins}
    name = "+".join([base.name, *(p.name for p in plugins)])
    hooks = frozenset[str]().union(*(p.hooks() for p in plugins))
    dropped = _NOT_KEPT | ({"inner_product"} if hooks & {*_SCORES, *_LISTS} else frozenset())
    return type(
        "Plugged",
        (Plugged,),
        {
            "__doc__": Plugged.__doc__,
            "__module__": Plugged.__module__,
            "name": name,
            "base_class": base,
            "plugin_classes": plugins,
            "Config": create_model(f"{base.Config.__name__}+", __base__=base.Config, **fields),
            "space": base.space,
            "capabilities": base.capabilities - dropped,
            "states": base.states,
            "scale": base.scale,
            "ranks_by_score": base.ranks_by_score and not hooks & {*_LISTS},
        },
    )


class Plugged(Recommender):
    """A model with plug-ins, applied in the order in which they are listed: the first is the innermost.

    Made by :meth:`~honeyguide.core.recommender.Recommender.plug` or by name, ``"sasrec+vat"``. The options of a
    plug-in stand under its name (``vat.epsilon``); one that is switched off (``vat.enabled = false``) changes nothing.
    """

    base_class: ClassVar[type[Recommender]]
    plugin_classes: ClassVar[tuple[type[Plugin], ...]]

    def __init__(self, config: ModelConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        own = {name: getattr(self.config, name) for name in self.base_class.Config.model_fields}
        self.base = self.base_class(**own)
        self.plugins = [p(getattr(self.config, option_name(p))) for p in self.plugin_classes]
        self.active = [plugin for plugin in self.plugins if plugin.config.enabled]
        self.hooks = self.base.hooks = Hooks(self.active)
        for plugin in self.active:
            called(plugin, plugin.bind, self.base)

    @classmethod
    def of(cls, base: Recommender, plugins: Sequence[Plugin]) -> Plugged:
        """The unfitted model ``base`` with ``plugins``; its options are read, not the object itself kept."""
        if isinstance(base, Plugged):
            plugins = [*base.plugins, *plugins]
            base = base.base
        whole = plugged(type(base), tuple(type(plugin) for plugin in plugins))
        options: dict[str, Any] = {name: getattr(base.config, name) for name in type(base.config).model_fields}
        options |= {option_name(type(plugin)): plugin.config for plugin in plugins}
        return whole(**options)

    # -- fitting ------------------------------------------------------------------------------

    def estimate(self, data: Dataset) -> Estimate:
        """What the model needs, as each plug-in in turn changes it."""
        needed = self.base.estimate(data)
        for plugin in self.active:
            needed = called(plugin, plugin.estimate, needed, data)
        return needed

    def _fit(self, data: Dataset, options: FitOptions) -> None:

        def inner(part: Dataset) -> None:
            self.base.fit(part, self._staged(options, "model"))

        fit: Callable[[Dataset], None] = inner
        for plugin in self.hooks.having["around_fit"]:
            fit = partial(self._around_fit, plugin, fit, options)
        data = self.hooks.transform(data, lambda p, seen: called(p, p.before_fit, seen, self._run(p, options)))
        fit(data)
        for plugin in self.hooks.having["after_fit"]:
            called(plugin, plugin.after_fit, data, self._run(plugin, options))
        report = self.base.report
        self.report.curve, self.report.search, self.report.finished = report.curve, report.search, report.finished

    def _around_fit(self, plugin: Plugin, fit: Callable[[Dataset], None], options: FitOptions, data: Dataset) -> None:
        called(plugin, plugin.around_fit, fit, data, self._run(plugin, options))

    def _run(self, plugin: Plugin, options: FitOptions) -> Run:
        return Run(self.base, self._staged(options, plugin.name), self.config.seed)

    def _staged(self, options: FitOptions, part: str) -> FitOptions:
        """``options`` with the checkpoint folder of a part in the present stage."""
        folder = options.checkpoint
        return replace(options, checkpoint=folder / self.hooks.stage / part if folder is not None else None)

    # -- use ----------------------------------------------------------------------------------

    def user_vectors(self, histories: Ragged) -> FloatArray:
        """float32 ``[n, d]``: the users' states as they are scored (state ``state``)."""
        read = self.hooks.edit_histories(histories)
        vectors: FloatArray = self.base.user_vectors(read)  # type: ignore[attr-defined]
        return vectors

    def item_vectors(self) -> FloatArray:
        """float32 ``[n_items, d]`` (state ``state``)."""
        vectors: FloatArray = self.base.item_vectors()  # type: ignore[attr-defined]
        return vectors

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``, adjusted."""
        scores = self.base.score_histories(self.hooks.edit_histories(histories), users)
        if not self.hooks.have("adjust_scores"):
            return scores
        states = self.user_vectors(histories) if "state" in self.states else None
        return self.hooks.adjust_scores(Requests(histories, users), states, scores)

    def instructed(self, requests: Requests) -> FloatArray | None:
        """float32 ``[n, d]``: what the model inside makes of instructions, edited already."""
        return self.base.instructed(self._read(requests))

    def _read(self, requests: Requests) -> Requests:
        """The requests as the model reads them: with edited histories; what they exclude stays."""
        if not self.hooks.have("edit_histories"):
            return requests
        return replace(requests, histories=self.hooks.edit_histories(requests.histories), exclude=requests.excluded)

    def score_states(self, states: FloatArray, requests: Requests) -> FloatArray:
        """float32 ``[n, n_items]`` from states that are edited already, adjusted."""
        scores = self.base.score_states(states, requests)
        if not self.hooks.have("adjust_scores"):
            return scores
        return self.hooks.adjust_scores(requests, states, scores)

    def recommend(self, requests: Requests, k: int = 10) -> Recommendations:
        """The ``k`` best items for each request, from what plug-ins retrieve and as they rearrange it."""

        def ask(asked: Requests, n: int) -> Lists:
            found = super(Plugged, self).recommend(self._retrieved(asked, n), n)
            return found.items, found.scores

        around: Callable[[Requests, int], Lists] = ask
        for plugin in self.hooks.having["around_recommend"]:
            around = partial(_around_recommend, plugin, around)
        return Recommendations(*around(requests, k), self._fitted(), self.scale)

    def _retrieved(self, requests: Requests, k: int) -> Requests:
        """The requests with the candidates that plug-ins retrieve, those of all of them together."""
        if not self.hooks.have("retrieve"):
            return requests
        n = _CANDIDATES * k
        found = [called(p, p.retrieve, requests, n)[0] for p in self.hooks.having["retrieve"]]
        items = np.concatenate(found, axis=1)
        known = items >= 0
        candidates = Ragged.from_groups(np.nonzero(known)[0], items[known], len(requests))
        if requests.candidates is not None:
            m = len(self._fitted())
            both = requests.candidates.to_csr(m).multiply(candidates.to_csr(m)).tocoo()
            candidates = Ragged.from_groups(both.row, both.col.astype(np.int32), len(requests))
        return replace(requests, candidates=candidates)

    def _rank(self, requests: Requests, k: int) -> Lists:
        if self.hooks.have("adjust_scores"):
            return super()._rank(requests, k)
        return self.base._rank(self._read(requests), k)

    def score_events(self, data: Dataset, part: str = "test") -> FloatArray:
        """Score of every event of ``part``, adjusted (state ``events``)."""
        if self.hooks.have("adjust_events"):
            return self.adjusted(self.receipt(data, part))
        if self.hooks.have("adjust_scores"):
            return super().score_events(data, part)
        return self.base.score_events(self._known(data, part), part)

    def _known(self, data: Dataset, part: str) -> Dataset:
        """The data with edited histories before ``part``."""
        before = PARTS[: PARTS.index(part)]
        if not self.hooks.have("edit_histories"):
            return data
        return data.with_histories(self.hooks.edit_histories(data.histories(*before)), *before)

    def receipt(self, data: Dataset, part: str = "test") -> Receipt:
        """What the model saw in the events of ``part`` and what it scored them, without plug-ins (state ``events``)."""
        self._fitted()
        scores, hidden = self.base.hidden(self._known(data, part), part)  # type: ignore[attr-defined]
        return Receipt(hidden, scores)

    def adjusted(self, receipt: Receipt) -> FloatArray:
        """The scores of a receipt as plug-ins adjust them now: float32 ``[n]``."""
        scores = receipt.scores
        for plugin in self.hooks.having["adjust_events"]:
            scores = called(plugin, plugin.adjust_events, replace(receipt, scores=scores))
        return scores

    def observe(self, labels: FloatArray, receipt: Receipt) -> None:
        """Tell the plug-ins how the events of a receipt turned out: ``labels`` ``[n]``, 1 for liked."""
        for plugin in self.hooks.having["observe"]:
            called(plugin, plugin.observe, labels, receipt)

    def learn_events(self, data: Dataset, part: str = "test", **how: Any) -> None:
        """Fine-tune the model inside on the outcomes of ``part``, and tell the plug-ins (state ``events``)."""
        self._fitted()
        self.base.learn_events(data, part, **how)  # type: ignore[attr-defined]
        for plugin in self.hooks.having["renewed"]:
            called(plugin, plugin.renewed)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """What the model inside calls similar."""
        return self.base.similar(items, k)

    # -- storage ------------------------------------------------------------------------------

    @property
    def n_parameters(self) -> int:
        """Numbers that the model and its plug-ins learnt."""
        own = [array for plugin in self.active for array in plugin.state()[0].values()]
        return self.base.n_parameters + sum(int(a.size) for a in own if a.dtype.kind == "f")

    def _state(self) -> tuple[Arrays, dict[str, Any]]:
        arrays, meta = self.base._state()
        packed: Arrays = {f"model.{name}": array for name, array in arrays.items()}
        described: dict[str, Any] = {"model": meta, "plugins": {}}
        for plugin in self.active:
            arrays, meta = called(plugin, plugin.state)
            packed |= {f"{plugin.name}.{name}": array for name, array in arrays.items()}
            described["plugins"][plugin.name] = meta
        return packed, described

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.base.item_ids = self.item_ids
        self.base._restore(_within("model", arrays), meta["model"])
        for plugin in self.active:
            called(plugin, plugin.restore, _within(plugin.name, arrays), meta["plugins"][plugin.name])


def _within(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return {n.removeprefix(f"{name}."): a for n, a in arrays.items() if n.startswith(f"{name}.")}


def _around_recommend(plugin: Plugin, recommend: Callable[[Requests, int], Lists], requests: Requests, k: int) -> Lists:
    return called(plugin, plugin.around_recommend, recommend, requests, k)
