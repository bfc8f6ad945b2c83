"""Text alignment: vectors of a model and the mapped texts of its users and items, drawn together (EasyRec)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.dataset import Dataset
from honeyguide.core.plugin import Plugin, PluginConfig, Run
from honeyguide.core.ragged import FloatArray
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Estimate
from honeyguide.encode.items import ItemText, encoding_seconds
from honeyguide.encode.text import text_encoder
from honeyguide.nn.forward import LossContext


class TextAlignConfig(PluginConfig):
    """Options of :class:`TextAlign`.

    Parameters
    ----------
    encoder, columns
        See :class:`~honeyguide.models.content.text_profile.TextProfileConfig`; a folder that ``honeyguide align``
        wrote is an encoder.
    weight
        Kappa, of the alignment beside the model's own loss.
    temperature
        Of its softmax.
    """

    encoder: str = "auto"
    columns: tuple[str, ...] | None = None
    weight: float = Field(0.1, ge=0)
    temperature: float = Field(0.1, gt=0)


class TextAlign(Plugin):
    """Adds ``kappa (InfoNCE(u, m(z_u)) + InfoNCE(i, m(z_i)))`` over the examples of a batch.

    z_i is the frozen vector of an item's text, z_u the mean over the user's training items, m an MLP that is trained
    beside the model and thrown away: texts act while training, the model alone serves.
    """

    name = "text-align"
    Config = TextAlignConfig
    config: TextAlignConfig
    needs: ClassVar[frozenset[str]] = frozenset({"vectors"})

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self.items: Tensor = torch.empty(0, 0)  # [m, D], while training
        self.users: Tensor = torch.empty(0, 0)  # [n, D]
        self.width = 0
        self.maps: nn.Sequential | None = None

    def bind(self, model: Recommender) -> None:
        """The width of the vectors."""
        config: Any = model.config
        self.width = int(config.dim)

    def transform(self, data: Dataset) -> Dataset:
        """Read the texts; the data stay as they are."""
        text = ItemText.of(data.items, text_encoder(self.config.encoder), self.config.columns)
        items, train = text.vectors(data.items), data.matrix("train")
        lengths = np.maximum(np.diff(train.indptr), 1).astype(np.float32)[:, None]
        users: FloatArray = np.asarray((train @ items) / lengths, np.float32)
        self.items, self.users = torch.from_numpy(items), torch.from_numpy(users)
        return data

    def on_start(self, network: nn.Module) -> None:
        """Put m beside the network, drawn as everything else is."""
        wide, device = self.items.shape[1], next(network.parameters()).device
        middle = (wide + self.width) // 2
        maps = nn.Sequential(nn.Linear(wide, middle), nn.LeakyReLU(), nn.Linear(middle, self.width))
        network.add_module("text_align", maps.to(device))
        self.maps, self.items, self.users = maps, self.items.to(device), self.users.to(device)

    def loss_terms(self, context: LossContext) -> Tensor | None:
        """Users of the batch against each other, and its items where they have rows of their own."""
        found, maps = context.pass_, self.maps
        assert maps is not None
        terms = []
        for vectors, owners, codes, texts in (
            (found.vectors[0], found.owners[0], found.users, self.users),
            (found.vectors[1], found.owners[1], found.items, self.items),
        ):
            if owners is not None:  # rows that all examples share have no text of their own
                own = codes[owners]
                there = (own >= 0) & texts[own.clamp_min(0)].any(1)
                if int(there.sum()) > 1:
                    terms.append(
                        contrast_of(vectors[there], maps(texts[own[there]]), own[there], self.config.temperature)
                    )
        return self.config.weight * torch.stack(terms).sum() if terms else None

    def after_fit(self, data: Dataset, run: Run) -> None:
        """Take m away again: it has no part in serving."""
        network = getattr(run.model, "network", None)
        if network is not None and hasattr(network, "text_align"):
            del network.text_align
        self.maps, self.items, self.users = None, torch.empty(0, 0), torch.empty(0, 0)

    def estimate(self, inner: Estimate, data: Dataset) -> Estimate:
        """Texts that are not in the cache, and a product of a batch with itself for each side."""
        encoder = text_encoder(self.config.encoder)
        memory = 4.0 * encoder.dim * (data.n_users + data.n_items) + 1.5e9
        reading = encoding_seconds(data.items, encoder, self.config.columns)
        return Estimate(inner.memory_bytes + memory, inner.cpu_seconds * 1.5 + reading)


def contrast_of(vectors: Tensor, texts: Tensor, codes: Tensor, temperature: float) -> Tensor:
    """InfoNCE: each row of ``vectors`` ``[n, d]`` is to tell its own of ``texts`` ``[n, d]`` from those of others.

    Rows with the same code are not held against each other.
    """
    logits = F.normalize(vectors, dim=-1) @ F.normalize(texts, dim=-1).T / temperature  # [n, n]
    same = codes[:, None] == codes[None, :]
    same.fill_diagonal_(fill_value=False)
    return F.cross_entropy(logits.masked_fill(same, -torch.inf), torch.arange(len(logits), device=logits.device))
