"""What LightGNN's students learn: its options, what a teacher hands on, and the terms of the loss.

Shapes: n users, m items, d width, a anchors, k nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.plugin import PluginConfig
from honeyguide.nn.distillation import info_nce, pair_distillation, subspace_contrast, uniformity
from honeyguide.plugins.pruned_graph import PrunedGraph

SUBSPACE_RUNS = range(2, 14)


class LightGNNConfig(PluginConfig):
    """Options of :class:`LightGNN`. Those that the paper has have its values where a CPU can afford them.

    Parameters
    ----------
    runs
        Pruning runs; the student is trained once before the first and once after each.
    edge_rate, entry_rate
        Share of what is left that a run takes away.
    similarity, evidence
        Weights beta_1 and beta_2 of what the intermediate model says of an edge, beside the student's own weight.
    prune
        ``"score"``, or ``"random"``: what is taken away is drawn, to compare with.
    teacher_layers, intermediate_layers
        Steps of propagation of the two teachers; the student has those of the model.
    links
        Strongest links two steps away that every node keeps in the intermediate's graph.
    distillation, temperature, triples
        Weight of the distillation of preferences, its temperature, and the triples drawn a step.
    embedding, embedding_temperature
        Weight of the distillation of vectors, and its temperature.
    spread
        Weight of uniformity.
    subspace, slack
        Weight of the contrast of subspaces, in runs 2 to 13, and the share of the dimensions that two nodes need not
        share: one value, or one for each of these runs.
    nodes
        Users and items, so many each, that stand for all in a step; also the largest number of anchors.
    edge_regularization
        Weight of the squared weights of the edges.
    """

    runs: int = Field(5, ge=0)
    edge_rate: float = Field(0.15, ge=0, lt=1)
    entry_rate: float = Field(0.2, ge=0, lt=1)
    similarity: float = Field(0.05, ge=0)
    evidence: float = Field(1.0, ge=0)
    prune: Literal["score", "random"] = "score"
    teacher_layers: int = Field(8, ge=0)
    intermediate_layers: int = Field(2, ge=0)
    links: int = Field(10, ge=0)
    distillation: float = Field(1.0, ge=0)
    temperature: float = Field(0.03, gt=0)
    triples: int = Field(10_000, ge=1)
    embedding: float = Field(0.01, ge=0)
    embedding_temperature: float = Field(0.1, gt=0)
    spread: float = Field(1.0, ge=0)
    subspace: float = Field(1e-4, ge=0)
    slack: float | tuple[float, ...] = 0.25
    nodes: int = Field(1024, ge=1)
    edge_regularization: float = Field(1e-9, ge=0)

    def slack_of(self, run: int) -> float:
        """The share of the dimensions that need not be shared in a run."""
        if isinstance(self.slack, float):
            return self.slack
        return self.slack[min(run - SUBSPACE_RUNS.start, len(self.slack) - 1)]


class GraphNetwork(Protocol):
    """What models with the state ``graph`` leave in ``network`` after a fit."""

    graph: PrunedGraph
    users: nn.Parameter  # [n, d], layer 0
    items: nn.Parameter  # [m, d]

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Propagated, ``[n, d]`` and ``[m, d]``."""
        ...


@dataclass(frozen=True)
class Taught:
    """What a student learns from: vectors of a teacher of all users and items, without gradients.

    Parameters
    ----------
    users, items
        ``[n, d]`` and ``[m, d]``, the sums of all layers.
    high_users, high_items
        The sums of the layers from 2 on: what a shallow model cannot see by itself.
    """

    users: Tensor
    items: Tensor
    high_users: Tensor
    high_items: Tensor

    @classmethod
    def of(cls, network: GraphNetwork, layers: int) -> Taught:
        """The vectors of a trained teacher; one of fewer than two layers has its last for the high ones."""
        with torch.no_grad():
            users, items = network.graph.propagate(network.users, network.items, layers)
            low = network.graph.propagate(network.users, network.items, min(1, layers - 1)) if layers else (0.0, 0.0)
        return cls(users, items, users - low[0], items - low[1])


@dataclass(frozen=True)
class _Side:
    """Users or items of a step: anchors from the batch, and nodes that stand for all."""

    anchors: Tensor  # [a, d]
    nodes: Tensor  # [k, d]
    anchor_mask: Tensor  # [a, d], 1 for an entry that is left
    node_mask: Tensor  # [k, d]
    anchor_targets: Tensor  # [a, d], what the teacher's higher layers say
    node_targets: Tensor  # [k, d]


@dataclass(frozen=True)
class Terms:
    """What is added to the loss of a model that is taught.

    Parameters
    ----------
    config
        Options.
    teacher
        Who teaches.
    cosine
        Whether the model scores by cosines.
    run
        Pruning runs so far.
    """

    config: LightGNNConfig
    teacher: Taught
    cosine: bool
    run: int = 0

    def __call__(self, batch: tuple[Tensor, Tensor], graph: PrunedGraph) -> Tensor:
        """The terms, from users and items of a batch and the graph that has just propagated."""
        if graph.last is None:
            raise RuntimeError("the graph has not propagated yet")
        c, (users, items) = self.config, graph.last
        loss = c.edge_regularization * graph.weights.square().sum()
        if c.distillation:
            loss = loss + c.distillation * self._distillation(users, items)
        sides = [
            self._side(batch[0], users, graph.user_mask, self.teacher.high_users),
            self._side(batch[1], items, graph.item_mask, self.teacher.high_items),
        ]
        for one in sides:
            near = info_nce(one.anchors, one.anchor_targets, one.node_targets, c.embedding_temperature)
            loss = loss + c.embedding * near
            for other in sides:
                loss = loss + self._pairing(one, other)
        return loss

    def _distillation(self, users: Tensor, items: Tensor) -> Tensor:
        """Of preferences ``s_ui - s_uj`` in triples that are drawn."""
        most = (len(users), len(items), len(items))
        drawn = [torch.randint(n, (self.config.triples,), device=users.device) for n in most]
        student = self._preferences((users, items, items), drawn)
        taught = self._preferences((self.teacher.users, self.teacher.items, self.teacher.items), drawn)
        return pair_distillation(student, taught, self.config.temperature)

    def _preferences(self, tables: tuple[Tensor, Tensor, Tensor], drawn: list[Tensor]) -> Tensor:
        u, i, j = (self._scored(F.embedding(rows, table)) for rows, table in zip(drawn, tables, strict=True))
        return (u * (i - j)).sum(1)

    def _side(self, batch: Tensor, table: Tensor, mask: Tensor, high: Tensor) -> _Side:
        most = self.config.nodes
        own, others = batch[:most], torch.randperm(len(table), device=table.device)[:most]
        mask = mask.expand(len(table), table.shape[1])
        anchors, nodes = (self._scored(F.embedding(rows, table)) for rows in (own, others))
        return _Side(anchors, nodes, mask[own], mask[others], high[own], high[others])

    def _pairing(self, one: _Side, other: _Side) -> Tensor:
        """Uniformity of the anchors of one side among the nodes of the other, and the contrast of subspaces."""
        c, products = self.config, one.anchors @ other.nodes.T  # [a, k]
        term = c.spread * uniformity(products, 1.0)
        if c.subspace and self.run in SUBSPACE_RUNS:
            slack = round(c.slack_of(self.run) * float(one.anchor_mask.sum(1).mean()))
            term = term + c.subspace * subspace_contrast(products, one.anchor_mask, other.node_mask, slack)
        return term

    def _scored(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=1) if self.cosine else vectors
