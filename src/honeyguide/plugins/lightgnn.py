"""LightGNN: edges and entries of a graph model pruned, with two teachers that keep it accurate (Chen et al. 2025)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.artifact import Arrays
from honeyguide.core.dataset import Dataset
from honeyguide.core.plugin import Hooks, Plugin, PluginConfig, Run
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Estimate
from honeyguide.graph import BipartiteGraph
from honeyguide.nn.forward import LossContext
from honeyguide.plugins.lightgnn_parts import GraphNetwork, LightGNNConfig, Taught, Terms
from honeyguide.plugins.pruned_graph import Bools, Kept, PrunedGraph

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Teachers:
    """Both, trained.

    Parameters
    ----------
    intermediate
        What students learn from.
    similarity, evidence
        float32 ``[number of edges]``: sigmoid of the score of an edge's ends, and the weight of the edge.
    """

    intermediate: Taught
    similarity: Floats
    evidence: Floats


@dataclass(frozen=True)
class _Stage:
    """One training: on which graph, from which start, taught by whom."""

    links: int = 0
    learnt: bool = False
    kept: Kept | None = None
    start: tuple[Tensor, Tensor] | None = None
    teacher: Taught | None = None
    run: int = 0


class LightGNN(Plugin):
    """A teacher, an intermediate model on a closed graph, and a student that is pruned run after run.

    After a fit, ``report.search`` of the model has one entry a run: what was left, and what it reached on valid.

    Attributes
    ----------
    teachers
        Of the last fit; they are not saved.
    given
        Teachers that a fit takes instead of training its own: those of another plug-in fitted on the same data.
    kept
        Shares of edges and entries that are left.
    """

    name = "lightgnn"
    Config = LightGNNConfig
    config: LightGNNConfig
    needs: ClassVar[frozenset[str]] = frozenset({"graph", "vectors"})

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self.teachers: Teachers | None = None
        self.given: Teachers | None = None
        self.kept: dict[str, float] = {}
        self._stage = _Stage()
        self._graph: PrunedGraph | None = None
        self._cosine = False

    # -- stages -------------------------------------------------------------------------------

    def around_fit(self, fit: Callable[[Dataset], None], data: Dataset, run: Run) -> None:
        """The teachers, then a student for every run, each from where the last one ended; the last one is kept."""
        model, c = run.model, self.config
        self._cosine = getattr(model.config, "loss", "bpr") != "bpr"
        self.teachers = teachers = self.given or self._teach(data, run)
        stage, log = _Stage(learnt=True, teacher=teachers.intermediate), []
        try:
            for number in range(c.runs + 1):
                self._stage, model.hooks.stage = stage, f"run-{number}"
                fit(data)
                network: GraphNetwork = model.network  # type: ignore[attr-defined]
                kept = stage.kept or everything(network.graph, network.users.shape[1])
                log.append(_entry(number, kept, model))
                if run.options.on_trial is not None:
                    run.options.on_trial(log[-1])
                if number < c.runs:
                    start = network.users.detach().clone(), network.items.detach().clone()
                    kept = self._prune(network, kept, teachers, [run.seed, number])
                    stage = replace(stage, kept=kept, start=start, run=number + 1)
        finally:
            self._stage, model.hooks.stage = _Stage(), ""
        model.report.search = log
        self.kept = {"edges": kept.share_of_edges, "entries": kept.share_of_entries}

    def _teach(self, data: Dataset, run: Run) -> Teachers:
        """Train the teacher, and by it the intermediate model."""
        c = self.config
        teacher = self._trained("teacher", c.teacher_layers, _Stage(), data, run)
        taught = Taught.of(teacher, c.teacher_layers)
        stage = _Stage(links=c.links, learnt=True, teacher=taught)
        middle = self._trained("intermediate", c.intermediate_layers, stage, data, run)
        own = Taught.of(middle, c.intermediate_layers)
        edges = middle.graph.edges.tocoo()
        users, items = (F.normalize(x, dim=1) if self._cosine else x for x in (own.users, own.items))
        ends = (torch.from_numpy(e.astype(np.int64)).to(users.device) for e in (edges.row, edges.col))
        at_users, at_items = next(ends), next(ends)
        similarity = torch.sigmoid((users[at_users] * items[at_items]).sum(1))  # sigma(<x_u, x_i>)
        return Teachers(own, similarity.cpu().numpy(), middle.graph.edge_weights())

    def _trained(self, name: str, layers: int, stage: _Stage, data: Dataset, run: Run) -> GraphNetwork:
        """The network of a model of the same kind, with ``layers`` and without other plug-ins."""
        options = run.model.config.model_dump() | {"layers": layers}
        model = type(run.model)(**options)
        model.hooks, self._stage = Hooks([self]), stage
        folder = run.options.checkpoint
        checkpoint = folder / name if folder is not None else None
        model.fit(data, replace(run.options, checkpoint=checkpoint, on_epoch=None, on_trial=None))
        network: GraphNetwork = model.network  # type: ignore[attr-defined]
        return network

    def _prune(self, network: GraphNetwork, kept: Kept, teachers: Teachers, seed: list[int]) -> Kept:
        """What is left after one more run: the lowest scores of what was left are gone."""
        c, rng = self.config, np.random.default_rng(seed)
        entries = np.concatenate([t.cpu().numpy() for t in self._sizes(network)])  # [N, d]
        weights = network.graph.edge_weights()
        edges = np.abs(weights + c.similarity * teachers.similarity + c.evidence * teachers.evidence)
        if c.prune == "random":
            edges, entries = rng.random(edges.shape), rng.random(entries.shape)
        left = lowest_gone(entries, np.concatenate([kept.users, kept.items]), c.entry_rate)
        n = len(kept.users)
        return Kept(lowest_gone(edges, kept.edges, c.edge_rate), left[:n], left[n:])

    def _sizes(self, network: GraphNetwork) -> tuple[Tensor, Tensor]:
        """By how much entries count, ``[n, d]`` and ``[m, d]``: the absolute values at layer 0, as the paper has it.

        Where scores are cosines the length of a vector means nothing: absolute values are shares of it, and those of
        items as they come out of the propagation, which is what is served.
        """
        with torch.no_grad():
            if not self._cosine:
                return network.users.abs(), network.items.abs()
            users, items = network.users * network.graph.user_mask, network.vectors()[1]
            return F.normalize(users, dim=1).abs(), F.normalize(items, dim=1).abs()

    # -- hooks of a training ------------------------------------------------------------------

    def graph(self, graph: BipartiteGraph) -> BipartiteGraph:
        """The graph of the present stage."""
        s = self._stage
        self._graph = PrunedGraph(graph, links=s.links, learnt=s.learnt, kept=s.kept)
        return self._graph

    def on_start(self, network: nn.Module) -> None:
        """Vectors go on from the best of the run before; the weights of edges and the optimiser are new."""
        if self._stage.start is not None:
            with torch.no_grad():
                for parameter, start in zip((network.users, network.items), self._stage.start, strict=True):
                    parameter.copy_(start)  # type: ignore[operator]

    def loss_terms(self, context: LossContext) -> Tensor | None:
        """What the present teacher says, and what spreads vectors out."""
        if self._stage.teacher is None or self._graph is None:
            return None
        terms = Terms(self.config, self._stage.teacher, self._cosine, self._stage.run)
        return terms((context.pass_.users, context.pass_.items), self._graph)

    # -- cost and storage ---------------------------------------------------------------------

    def estimate(self, inner: Estimate, data: Dataset) -> Estimate:
        """A model for every run and two teachers, each with more to multiply than one without the plug-in."""
        c = self.config
        trainings = 3.5 * (c.runs + 2) + c.teacher_layers / 2
        links = 12.0 * c.links * (data.n_users + data.n_items)
        nodes = 4.0 * 8 * min(c.nodes, max(data.n_users, data.n_items)) ** 2
        return Estimate(2 * inner.memory_bytes + links + nodes, trainings * inner.cpu_seconds)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """What was left of edges and entries; the sparse vectors themselves are the model's."""
        return {}, dict(self.kept)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        """Undo :meth:`state`."""
        self.kept = dict(meta)


def everything(graph: PrunedGraph, dim: int) -> Kept:
    """Nothing pruned yet."""
    shapes = (graph.edges.nnz,), (graph.n_users, dim), (graph.n_items, dim)
    return Kept(*(np.ones(shape, bool) for shape in shapes))


def lowest_gone(scores: Floats, kept: Bools, rate: float) -> Bools:
    """Bool of the same shape: ``kept`` without its lowest share ``rate``; of equal scores the first go."""
    left = np.flatnonzero(kept)
    order = np.argsort(scores.ravel()[left], kind="stable")
    found = np.zeros(kept.size, bool)
    found[left[order[round(rate * len(left)) :]]] = True
    return found.reshape(kept.shape)


def _entry(run: int, kept: Kept, model: Recommender) -> dict[str, Any]:
    """What the report says of a run."""
    best = max((epoch.get("valid_ndcg@10", float("nan")) for epoch in model.report.curve), default=float("nan"))
    shares = {"edges": kept.share_of_edges, "entries": kept.share_of_entries}
    return {
        "run": run,
        **shares,
        "valid_ndcg@10": best,
        "epochs": len(model.report.curve),
        "cpu_seconds": model.report.cpu_seconds,
    }
