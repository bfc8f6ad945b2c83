"""eSASRec: SASRec with LiGR layers and a sampled softmax, by its published recipe (Tikhonovich et al. 2025)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from honeyguide.core.space import Space, Whole
from honeyguide.models.sequence.next_item import NextItemModel
from honeyguide.models.sequence.next_item_config import Auto, Loss, Positive
from honeyguide.models.sequence.sasrec import SASRecConfig, SASRecNetwork


class ESASRecConfig(SASRecConfig):
    """Options of :class:`ESASRec`: those of :class:`~honeyguide.models.sequence.sasrec.SASRecConfig`.

    By the recipe: width 64, dropout .2, learnt positions, random item vectors at the start, no event hidden while
    training, 256 negatives that the positions of a batch share, Adam at .001.
    """

    dim: int | Auto = 64
    positions: Literal["learned", "rope", "auto"] = "learned"
    dropout: float | Auto = 0.2
    event_dropout: float | Auto = 0.0
    init: Literal["cooccurrence", "normal"] = "normal"
    loss: Loss = "sampled"
    negatives: Positive | Auto = 256
    lr: float | Auto = 1e-3
    epochs: int = Field(200, ge=1)


class ESASRec(NextItemModel):
    """The network of SASRec, trained by the recipe of eSASRec.

    A model of its own so that comparisons can name it; every option can be set as in
    :class:`~honeyguide.models.sequence.sasrec.SASRec`.
    """

    name = "esasrec"
    Config = ESASRecConfig
    space: ClassVar[Space] = {**NextItemModel.space, "blocks": Whole(1, 3), "negatives": Whole(64, 2048, log=True)}
    resolved: ESASRecConfig

    def _build(self, n_items: int) -> SASRecNetwork:
        return SASRecNetwork(n_items, self.resolved)
