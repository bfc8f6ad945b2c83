"""Lite-LLM4Rec: a language model reads items, another reads the history, and a linear head scores all items at once.

H. Wang et al., *Rethinking large language model architectures for sequential recommendations* (arXiv 2402.09543); see
``docs/models/lite-llm4rec.md``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from honeyguide.models.language.text_network import TextSequenceConfig
from honeyguide.models.language.text_sequence import TextSequenceModel
from honeyguide.models.sequence.next_item_config import Auto


class LiteLLM4RecConfig(TextSequenceConfig):
    """Options of :class:`LiteLLM4Rec`: those of :class:`~honeyguide.models.language.text_network.TextSequenceConfig`.

    A head with a row for every item, trained by a softmax over all of them; the histories are read as texts.
    """

    dim: int | Auto = 64
    hidden: int = Field(512, ge=0)
    head: Literal["tied", "untied"] = "untied"
    cosine: bool = False
    loss: Literal["softmax", "sampled"] = "softmax"
    init: Literal["cooccurrence", "normal"] = "cooccurrence"
    lr: float | Auto = 1e-3
    dropout: float | Auto = 0.3
    epochs: int = Field(40, ge=1)
    patience: int = Field(3, ge=1)
    average: float = Field(0.99, ge=0, lt=1)
    warmup: int = Field(0, ge=0)


class LiteLLM4Rec(TextSequenceModel):
    """Next-item prediction without generating: z = W h, one pass over one vector per event, softmax over all items.

    With ``head="tied"`` the rows of W are the vectors of the items' texts, and items without events are scored too.
    """

    name = "lite-llm4rec"
    Config = LiteLLM4RecConfig
    config: LiteLLM4RecConfig
    resolved: LiteLLM4RecConfig
