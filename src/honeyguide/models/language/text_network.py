"""The towers that HLLM and Lite-LLM4Rec share, their options, and the pass over a batch.

Shapes: b rows, t positions, n distinct items, m items, D width of the texts' vectors, d that of items and states.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.errors import CapabilityError
from honeyguide.lm.layers import Layers, SequenceLayers
from honeyguide.models.language.item_tower import Served, Whiten, runs
from honeyguide.models.sequence.next_item_config import Auto, Cost
from honeyguide.models.sequence.sasrec import SASRecConfig, SASRecNetwork
from honeyguide.nn import losses
from honeyguide.nn.batches import IGNORED, Batch
from honeyguide.nn.forward import Forward, Weights, mean_loss, rows_of

ENCODED = 1024  # items that go through the tower at once, where all do
_SHARPEST = 100.0  # of the scale of cosines


class TextSequenceConfig(SASRecConfig):
    """Options of both models, beside those of :class:`~honeyguide.models.sequence.sasrec.SASRecConfig`.

    Parameters
    ----------
    text, columns
        Item tower: encoder of text (see :func:`~honeyguide.encode.text.text_encoder`), and the columns it reads.
    tuned, rank, tokens
        How many of its last layers are trained; 0: it is frozen and its vectors come from the cache. Where trained,
        by LoRA matrices of ``rank`` (0: all weights), on texts of at most ``tokens``.
    pace
        Learning rate of the language models' weights, as a share of ``lr``.
    whiten
        Power of the singular values of the texts' principal components: 0 evens them out, which lets items be told
        apart; 1 leaves them, which lets what is learnt of one pass to others like it.
    hidden
        Width of the layer between the text's vector and the item's; 0 for a linear map.
    user, user_layers
        User tower: the first layers of this language model (``minilm``, or a folder of transformers); by default
        ``blocks`` of its own, from random weights.
    source
        What an item is known by: ``"text"``, an ``"ids"`` vector of its own, or ``"both"``, added.
    head
        What states are multiplied with: the item's own vector (``"tied"``), or a row that is learnt for it
        (``"untied"``), which items without events lack.
    cosine
        Whether states and items are brought to length one, and cosines multiplied by a learnt scale.
    alike
        A negative whose cosine with the target is above this is none.
    """

    dim: int | Auto = 128
    columns: tuple[str, ...] | None = None
    tuned: int = Field(0, ge=0)
    rank: int = Field(8, ge=0)
    tokens: int = Field(48, ge=4)
    pace: float = Field(0.1, gt=0)
    whiten: float = Field(0.5, ge=0, le=1)
    hidden: int = Field(1024, ge=0)
    user: str | None = None
    user_layers: int = Field(2, ge=1)
    source: Literal["text", "ids", "both"] = "text"
    head: Literal["tied", "untied"] = "tied"
    cosine: bool = True
    alike: float = Field(0.99, gt=0, le=1)
    loss: Literal["softmax", "sampled"] = "sampled"
    negatives: int = Field(1024, ge=1)
    init: Literal["cooccurrence", "normal"] = "normal"

    def cost(self) -> Cost:
        """Of the user tower, and of the item tower's map for what a batch reads and scores."""
        c: Any = self
        own = super().cost()
        width = c.hidden or c.dim
        mapped = 2 + (c.negatives / c.batch_tokens if c.loss == "sampled" else 0)  # items mapped per position
        layer = 6 * c.tokens * 12 * 384**2 * c.tuned
        user = 12 * 384**2 * c.user_layers if c.user else 0
        return Cost(
            weights=own.weights + (384 + c.dim) * width + user,
            activations=own.activations + mapped * (3 * width + 40 * 384 * c.tokens * c.tuned),
            flops=own.flops + mapped * (6 * width * (384 + c.dim) + layer) + 6 * user,
        )


class TextSequenceNetwork(SASRecNetwork):
    """Both towers; a :class:`~honeyguide.nn.backbone.Backbone`.

    Parameters
    ----------
    n_items
        Size m of the catalogue.
    config
        A resolved configuration.
    texts
        The part of the item tower that gives the vectors of texts ``[n, D]``; ``None`` where a fitted model serves
        from the vectors it has.
    width
        D.
    user
        Configuration of the language model whose layers are the user tower, if any.
    """

    items: Served  # type: ignore[assignment]

    def __init__(
        self,
        n_items: int,
        config: TextSequenceConfig,
        texts: nn.Module | None,
        width: int,
        user: Mapping[str, Any] | None,
    ) -> None:
        c: Any = config
        super().__init__(1, config)
        self.items = Served(n_items, c.dim)
        self.fresh = False
        self.texts, self.whiten = texts, Whiten(width, c.whiten)
        self.project = _projection(width, c.hidden, c.dim, c.init_std)
        self.ids = nn.Embedding(n_items, c.dim) if c.source != "text" else None
        self.head = nn.Embedding(n_items, c.dim) if c.head == "untied" else None
        for table in (self.ids, self.head):
            if table is not None:
                nn.init.normal_(table.weight, std=2 * c.init_std)
        self.theta = nn.Parameter(torch.tensor(math.log(1 / 0.07))) if c.cosine else None
        self.reads_text = c.source != "ids"
        if user is not None:
            self.blocks, self.positions = nn.ModuleList([SequenceLayers(c.dim, user, c.user_layers)]), None
        self._set_pace(c.pace)

    def _set_pace(self, pace: float) -> None:
        """Weights that come from a language model are moved less than those that begin at random."""
        learnt: list[nn.Module] = [m for m in self.modules() if isinstance(m, Layers)]
        for parameter in (p for module in learnt for p in module.parameters()):
            parameter.pace = pace  # type: ignore[attr-defined]

    def described(self, text: Tensor) -> Tensor:
        """Vectors of texts ``[n, D]`` to ``[n, d]``."""
        found: Tensor = self.project(self.whiten(text))
        return found

    def vectors(self, items: Tensor) -> Tensor:
        """The item tower: distinct codes ``[n]`` to ``[n, d]``."""
        parts = []
        if self.reads_text:
            if self.texts is None:
                raise CapabilityError("A saved model keeps no texts of its items.", "Fit again to train on.")
            parts.append(self.described(self.texts(items)))
        if self.ids is not None:
            parts.append(self.ids(items))
        return self.finished(sum(parts[1:], parts[0]))

    def finished(self, vectors: Tensor) -> Tensor:
        """At length one, where scores are cosines."""
        return vectors if self.theta is None else F.normalize(vectors, dim=-1)

    def read(self, vectors: Tensor) -> Tensor:
        """The user tower: ``[b, t, d]`` to ``[b, t, d]``, s h / |h| where scores are cosines."""
        states = super().read(vectors)
        if self.theta is None:
            return states
        scale = self.theta.exp().clamp(1.0, _SHARPEST)  # s
        return scale * F.normalize(states, dim=-1)

    def train(self, mode: bool = True) -> TextSequenceNetwork:
        """Training makes the table of vectors stale."""
        if mode or self.training:
            self.fresh = False
        super().train(mode)
        return self

    def hidden(self, items: Tensor, times: Tensor | None = None) -> Tensor:
        """``[b, t]`` to ``[b, t, d]``: from the table, or through the item tower while training."""
        if not self.training:
            self.refresh()
            return self.read(self.items(items))
        codes, place = torch.unique(items, return_inverse=True)
        return self.read(F.embedding(place, self.vectors(codes)))

    def item_vectors(self) -> Tensor:
        """``[m, d]``: what a state is multiplied with."""
        self.refresh()
        return self.items.weight if self.head is None else self.finished(self.head.weight)

    def refresh(self) -> None:
        """Every item through its tower, once, if weights changed since."""
        if self.fresh:
            return
        with torch.no_grad():
            for codes in runs(len(self.items.weight), ENCODED):
                self.items.weight[codes] = self.vectors(codes.to(self.items.weight.device))
        self.fresh = not self.training


def _projection(width: int, hidden: int, dim: int, std: float) -> nn.Sequential:
    """Whitened text to an item vector: W2 silu(W1 x), or W x; the result has a standard deviation near 2 ``std``."""
    widths = [width, hidden, dim] if hidden else [width, dim]
    maps = [nn.Linear(a, b, bias=False) for a, b in pairwise(widths)]
    for linear in maps:
        nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
    with torch.no_grad():
        maps[-1].weight *= 2 * std / (0.6 if hidden else 1.0)  # silu of a normal number has a root mean square of .6
    return nn.Sequential(maps[0], nn.SiLU(), maps[1]) if hidden else nn.Sequential(*maps)


def text_forward(network: TextSequenceNetwork, config: TextSequenceConfig, known: Tensor) -> Callable[[Batch], Forward]:
    """The pass over a batch of windows: each distinct item goes through its tower once, whether read or scored.

    Parameters
    ----------
    network
        The towers.
    config
        Its options.
    known
        int64: codes of the items with events. Others are no negatives: a tower would learn that what their texts say
        is never wanted.
    """

    def forward(batch: Batch) -> Forward:
        real = batch.targets != IGNORED
        targets, drawn = batch.targets[real], None
        if config.loss == "sampled":
            drawn = known[torch.randint(len(known), (config.negatives,), device=known.device)]
        needed = [batch.items.flatten()]
        if network.head is None:
            needed += [known] if drawn is None else [targets, drawn]
        codes = torch.unique(torch.cat(needed))  # rising: a code is found by bisection
        vectors = network.vectors(codes)  # [n, d]
        events = F.embedding(torch.searchsorted(codes, batch.items), vectors)
        states = network.read(events)[real]  # [n_targets, d]
        if network.head is None:
            table, wanted = vectors, torch.searchsorted(codes, targets)
            drawn = None if drawn is None else torch.searchsorted(codes, drawn)
        else:
            table, wanted = network.finished(network.head.weight), targets

        def value(scored: Sequence[Tensor], weights: Weights | None) -> tuple[Tensor, Tensor]:
            h, rows = scored
            if drawn is None:
                return losses.full_softmax(h, rows, wanted, weights.factor if weights is not None else None)
            return mean_loss(losses.info_nce(h, rows, wanted, drawn, config.alike), weights)

        own = torch.arange(len(states), device=states.device)
        return Forward(rows_of(real, batch.users), batch.targets[real], (states, table), (own, None), value)

    return forward
