"""What HLLM and Lite-LLM4Rec share beside their towers: reading texts, fitting, new items, storing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor, nn

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, ConfigError
from honeyguide.core.fitting import STATISTICS, FitOptions
from honeyguide.core.ragged import FloatArray
from honeyguide.core.resources import Estimate
from honeyguide.core.space import Choice, Real, Space
from honeyguide.encode.items import ItemText, encoding_seconds, item_texts
from honeyguide.encode.text import text_encoder
from honeyguide.lm.layers import configuration
from honeyguide.models.language.item_tower import FrozenTexts, TunedTexts, runs
from honeyguide.models.language.text_network import ENCODED, TextSequenceConfig, TextSequenceNetwork, text_forward
from honeyguide.models.sequence.next_item import NextItemModel
from honeyguide.nn.batches import Batch
from honeyguide.nn.forward import Forward
from honeyguide.nn.trainer import choose_device, seeded

_SHARE = f"{STATISTICS}log_share"


class TextSequenceModel(NextItemModel):
    """Base of the models whose items are what a language model says of their text.

    Item vectors are computed once after the fit; serving reads them, and the history, with no language model. A new
    item is one pass through the item tower.
    """

    Config: ClassVar[type[TextSequenceConfig]] = TextSequenceConfig
    capabilities = (NextItemModel.capabilities - {"update"}) | {"cold_items", "add_items"}
    space: ClassVar[Space] = {
        "hidden": Choice((512, 1024, 2048)),
        "dropout": Real(0.0, 0.6),
        "lr": Real(3e-4, 3e-3, log=True),
    }
    config: TextSequenceConfig
    resolved: TextSequenceConfig
    network: TextSequenceNetwork

    text: ItemText
    user: dict[str, Any] | None

    _texts: nn.Module | None = None  # while fitting, or where the item tower is tuned
    _start: FloatArray | None = None  # while fitting: the vectors of the texts as they are at first

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        c = self.config
        self.text = ItemText.of(data.items, text_encoder(c.text), c.columns)
        self.user = None if c.user is None else configuration(_folder(c.user))
        if c.tuned:
            device = choose_device(options.device)
            self._texts = self._tuned(item_texts(data.items, self.text.columns), device)
            with torch.no_grad():
                parts = [self._texts(codes.to(device)) for codes in runs(data.n_items, ENCODED)]
            self._start = torch.cat(parts).cpu().numpy()
        else:
            self._start = self.text.vectors(data.items)
            self._texts = FrozenTexts(self._start)
        super()._fit(data, options)
        self.network.item_vectors()
        self.network.to("cpu")
        self._start = None
        if not c.tuned:
            self._texts = self.network.texts = None  # what the tower made of them is kept

    def _tuned(self, texts: list[str], device: torch.device | None = None) -> TunedTexts:
        c = self.config
        with seeded(c.seed, torch.device("cpu")):
            found = TunedTexts(c.text, c.tuned, c.rank, c.tokens)
        found.read(texts, device)
        return found

    def _build(self, n_items: int) -> TextSequenceNetwork:
        """The towers; where they are to be fitted, as the language models and the texts are."""
        network = TextSequenceNetwork(n_items, self.resolved, self._texts, self.text.dim, self.user)
        if self._start is not None:
            network.whiten.measure(self._start)
            if self.config.user is not None:
                network.blocks[0].load(_folder(self.config.user))  # type: ignore[operator]
        return network

    def _forward(self) -> Callable[[Batch], Forward]:
        known = torch.from_numpy(np.flatnonzero(self.counts)).to(self._device)
        return text_forward(self.network, self.resolved, known)

    def initial_items(self, data: Dataset) -> FloatArray | None:
        """``None``: items start from their text. Rows of an untied head start from what occurs near each other."""
        if self.network.head is not None and self.resolved.init == "cooccurrence":
            start = super().initial_items(data)
            with torch.no_grad():
                self.network.head.weight.copy_(torch.from_numpy(np.asarray(start)))
        return None

    def require(self, capability: str) -> None:
        """As the contract says; an item without events has no row in an untied head, and no id."""
        c = self.config
        if capability in ("cold_items", "add_items") and (c.head == "untied" or c.source == "ids"):
            raise CapabilityError(
                f"{self.name} cannot score items without events with head={c.head!r} and source={c.source!r}.",
                "Fit it with head=tied and source=text (--set on the command line).",
            )
        super().require(capability)

    def _add_items(self, items: pl.DataFrame) -> None:
        self.network = self._grown(self._described(items))
        least = np.full(items.height, self.log_share.min(initial=0.0), np.float32)
        self.log_share = np.concatenate([self.log_share, least])
        self.counts = np.pad(self.counts, (0, items.height))

    def _described(self, items: pl.DataFrame) -> Tensor:
        """``[n, d]``: new items through their tower."""
        with torch.no_grad():
            if isinstance(self._texts, TunedTexts):
                self.text.checked()
                self._texts.read(item_texts(items, self.text.columns))
                text = self._texts(torch.arange(items.height))
            else:
                text = torch.from_numpy(self.text.vectors(items))
            return self.network.finished(self.network.described(text))

    def _grown(self, new: Tensor) -> TextSequenceNetwork:
        """The network with rows ``[n, d]`` behind its table; this one is not changed."""
        table = torch.cat([self.network.items.weight, new])
        grown = self._build(len(table)).eval()
        arrays = self.network.state_dict() | {"items.weight": table}
        if grown.ids is not None:  # source="both": a new item has no id to add
            more = torch.zeros(len(new), table.shape[1])
            arrays["ids.weight"] = torch.cat([self.network.state_dict()["ids.weight"], more])
        grown.load_state_dict(arrays)
        grown.fresh = True
        return grown

    def estimate(self, data: Dataset) -> Estimate:
        """As of every next-item model, with the reading of the texts."""
        found, c = super().estimate(data), self.config
        encoder = text_encoder(c.text)
        seconds = found.cpu_seconds + encoding_seconds(data.items, encoder, c.columns)
        states = c.tokens * encoder.dim if c.tuned else encoder.dim
        return Estimate(found.memory_bytes + 4.0 * 3 * data.n_items * states + 5e8, seconds)

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays, meta = super()._state()
        return {**arrays, _SHARE: self.log_share}, {**meta, "text": self.text.to_meta(), "user": self.user}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.text, self.user = ItemText.from_meta(meta["text"]), meta["user"]
        self._texts = self._tuned([]) if self.config.tuned else None
        super()._restore(arrays, meta)
        self.log_share = np.array(arrays[_SHARE])  # items that were added have not changed that of the others
        self.network.fresh = True


def _folder(name: str) -> Path:
    """The folder of the language model that an encoder of text is."""
    folder = getattr(text_encoder(name), "folder", None)
    if folder is None or not (Path(folder) / "config.json").is_file():
        raise ConfigError(f"{name!r} is no language model with layers.", "Name minilm or a folder of transformers.")
    return Path(folder)
