"""HLLM: one language model turns the text of an item into its vector, another reads the vectors of a history.

J. Chen et al., *HLLM: enhancing sequential recommendations via hierarchical large language models for item and user
modeling* (arXiv 2409.12740); see ``docs/models/hllm.md``.
"""

from __future__ import annotations

from pydantic import Field

from honeyguide.models.language.text_network import TextSequenceConfig
from honeyguide.models.language.text_sequence import TextSequenceModel
from honeyguide.models.sequence.next_item_config import Auto


class HLLMConfig(TextSequenceConfig):
    """Options of :class:`HLLM`: those of :class:`~honeyguide.models.language.text_network.TextSequenceConfig`.

    The item tower is frozen and read from the cache, the loss is InfoNCE with cosines, and nothing is known of an item
    but its text.
    """

    lr: float | Auto = 1e-3
    dropout: float | Auto = 0.3
    epochs: int = Field(40, ge=1)
    patience: int = Field(3, ge=1)
    average: float = Field(0.99, ge=0, lt=1)
    warmup: int = Field(0, ge=0)


class HLLM(TextSequenceModel):
    """Next-item prediction from texts alone: s cos(h, e) of a user's state h and the vector e of an item's text.

    L = -log exp(s cos(h_t, e_{t+1})) / (exp(s cos(h_t, e_{t+1})) + sum_n exp(s cos(h_t, e_n))) at every position,
    over items drawn uniformly but for those whose text says the same as the target's.
    """

    name = "hllm"
    Config = HLLMConfig
    config: HLLMConfig
    resolved: HLLMConfig
