"""GRU4Rec: a recurrent network reads a history one event at a time (Hidasi et al. 2016)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from honeyguide.core.space import Space, Whole
from honeyguide.models.sequence.next_item import NextItemModel, NextItemNetwork
from honeyguide.models.sequence.next_item_config import Auto, Cost, NextItemConfig
from honeyguide.nn.blocks import Dropout, EventDropout


class GRU4RecConfig(NextItemConfig):
    """Options of :class:`GRU4Rec`, beside those of ``NextItemConfig``.

    Parameters
    ----------
    hidden
        Width of the recurrent state; a matrix takes it to ``dim``.
    layers
        Number of GRU layers.
    """

    hidden: int | Auto = "auto"
    layers: int = Field(1, ge=1)

    def rules(self, long: bool) -> dict[str, Any]:
        """The state is twice as wide as an item: it has to hold all that came before."""
        shared = super().rules(long)
        return {**shared, "hidden": 2 * (shared["dim"] if self.dim == "auto" else self.dim)}

    def cost(self) -> Cost:
        """Of the recurrent layers, whose gates are three, and of the way out."""
        c: Any = self
        gates = 3 * c.hidden * (c.dim + c.hidden + 2 * (c.layers - 1) * c.hidden)
        return Cost(
            weights=gates + c.hidden * c.dim,
            activations=10 * c.layers * c.hidden,
            flops=12 * gates + 6 * c.hidden * c.dim,
        )


class GRU4RecNetwork(NextItemNetwork):
    """The network; a :class:`~honeyguide.nn.backbone.Backbone`.

    Parameters
    ----------
    n_items
        Size m of the catalogue.
    config
        A resolved configuration.
    """

    def __init__(self, n_items: int, config: GRU4RecConfig) -> None:
        c: Any = config  # every "auto" is resolved
        super().__init__(n_items, c.dim, c.init_std)
        self.gru = nn.GRU(c.dim, c.hidden, c.layers, batch_first=True)
        self.out = nn.Linear(c.hidden, c.dim, bias=False)
        self.dropout, self.hide = Dropout(c.dropout), EventDropout(c.event_dropout)

    def read(self, vectors: Tensor) -> Tensor:
        """``[b, t, d]`` to ``[b, t, d]``.

        z = sigmoid(W_z x + U_z h), r = sigmoid(W_r x + U_r h), n = tanh(W x + r * (U h)),
        h' = (1 - z) * n + z * h: equations 1 to 4 of the paper, with z for 1 - z.
        """
        states, _ = self.gru(self.hide(self.dropout(vectors)))  # [b, t, hidden]
        found: Tensor = self.out(self.dropout(states))
        return found


class GRU4Rec(NextItemModel):
    """Next-item prediction by gated recurrent units; see :class:`~honeyguide.models.sequence.next_item.NextItemModel`.

    The state after each event predicts the next one. Nothing but order is known to it: how long
    ago an event was, it has to count itself.
    """

    name = "gru4rec"
    Config = GRU4RecConfig
    space: ClassVar[Space] = {**NextItemModel.space, "layers": Whole(1, 2)}
    resolved: GRU4RecConfig

    def _build(self, n_items: int) -> GRU4RecNetwork:
        return GRU4RecNetwork(n_items, self.resolved)
