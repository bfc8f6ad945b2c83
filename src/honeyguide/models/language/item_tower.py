"""The item tower: from the text of an item, by a language model, to its vector.

Shapes: n items, T tokens, D the width of the language model, d that of the vectors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import FloatArray
from honeyguide.encode.text import text_encoder
from honeyguide.lm.layers import Layers, pretrained

_READ = 64  # texts read at once
_LEAST = 1e-3  # of the largest singular value: directions with less are not blown up


def runs(n: int, size: int) -> list[Tensor]:
    """The numbers below ``n``, in order, at most ``size`` at once."""
    return [torch.arange(start, min(n, start + size)) for start in range(0, n, size)]


class Served(nn.Module):
    """A table of vectors that is computed, not learnt: what the tower said of every item, kept for serving.

    Parameters
    ----------
    n_items, dim
        Its shape ``[m, d]``.
    """

    weight: Tensor

    def __init__(self, n_items: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(n_items, dim))

    @property
    def embedding_dim(self) -> int:
        """Width d."""
        return self.weight.shape[1]

    def forward(self, items: Tensor) -> Tensor:
        """Codes of any shape to their vectors."""
        return F.embedding(items, self.weight)


class Whiten(nn.Module):
    """x to ``(x - mean) V s^(p - 1)`` with variance one on average, ``X - mean = U S V'``; zeros stay zeros.

    Vectors of one language model lie in a narrow cone; what tells items apart is in the components that it squeezes.

    Parameters
    ----------
    dim
        Width D.
    power
        p: 0 gives all components the same weight, 1 leaves them as they are.
    """

    mean: Tensor
    turn: Tensor

    def __init__(self, dim: int, power: float) -> None:
        super().__init__()
        self.power = power
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("turn", torch.eye(dim))

    def measure(self, vectors: FloatArray) -> None:
        """Take mean and components from text vectors ``[m, D]``; rows of zeros have no text and do not count."""
        x = vectors[np.linalg.norm(vectors, axis=1) > 0].astype(np.float64)
        if len(x) < 2:
            return
        mean = x.mean(axis=0)
        values, turn = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
        kept = values > _LEAST**2 * values.max()  # components with next to nothing in them are left out
        deviations = np.sqrt(np.where(kept, values, 1.0))  # s
        scale = np.where(kept, deviations ** (self.power - 1), 0.0)
        scale /= np.sqrt(np.mean((scale * deviations) ** 2))
        self.mean.copy_(torch.from_numpy(mean))
        self.turn.copy_(torch.from_numpy(turn * scale))

    def forward(self, x: Tensor) -> Tensor:
        """``[n, D]`` to ``[n, D]``."""
        return ((x - self.mean) @ self.turn) * x.any(-1, keepdim=True)


class FrozenTexts(nn.Module):
    """Text vectors from the cache of an encoder; nothing of it is trained.

    Parameters
    ----------
    vectors
        float32 ``[m, D]``.
    """

    vectors: Tensor

    def __init__(self, vectors: FloatArray) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.from_numpy(vectors), persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """Codes ``[n]`` to ``[n, D]``."""
        return self.vectors[items]


class TunedTexts(nn.Module):
    """A language model whose last layers are trained with the loss; what lies below them is computed once per text.

    Parameters
    ----------
    encoder
        Name of an encoder of text that is a folder of transformers.
    layers
        How many of the last layers are trained.
    rank
        Of the LoRA matrices at queries and values (Hu et al. 2021); 0 trains all weights of these layers.
    tokens
        Of a text that are read.

    Raises
    ------
    ConfigError
        If the encoder has no such layers.
    """

    states: Tensor
    seen: Tensor

    def __init__(self, encoder: str, layers: int, rank: int, tokens: int) -> None:
        super().__init__()
        folder = getattr(text_encoder(encoder), "folder", None)
        if folder is None or not (Path(folder) / "config.json").is_file():
            raise ConfigError(
                f"The encoder {encoder!r} has no layers to train.",
                "Give tuned=0 or text=minilm (--set on the command line).",
            )
        model = pretrained(Path(folder))
        depth = int(model.config.num_hidden_layers)
        if layers > depth:
            raise ConfigError(
                f"{encoder} has {depth} layers, not {layers}.",
                f"Give tuned={depth} or less (--set on the command line).",
            )
        self._below = [model]  # in a list: no part of what is trained or saved
        self._folder, self._tokens, self._kept = Path(folder), tokens, depth - layers
        causal = not hasattr(model, "encoder")
        self.top = _with_lora(Layers(model, slice(self._kept, depth), causal), rank)
        self.last = _pools_last(Path(folder))
        self.read([])

    def read(self, texts: list[str], device: torch.device | None = None) -> None:
        """Compute the states ``[n, T, D]`` below the trained layers of all items; the tower is asked by row number.

        Parameters
        ----------
        texts
            One for each item.
        device
            Where, and where the tower then is; by default the CPU.
        """
        self.register_buffer("states", torch.zeros(0, 1, self.top.width), persistent=False)
        self.register_buffer("seen", torch.zeros(0, 1, dtype=torch.bool), persistent=False)
        if texts:
            device = device or torch.device("cpu")
            self.states, self.seen = self._read(texts, device)
            self.to(device)

    def _read(self, texts: list[str], device: torch.device) -> tuple[Tensor, Tensor]:
        from transformers import AutoTokenizer

        tokenizer: Any = AutoTokenizer.from_pretrained(str(self._folder), local_files_only=True)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        how: dict[str, Any] = {"padding": True, "padding_side": "right", "truncation": True}
        read = tokenizer(texts, max_length=self._tokens, return_tensors="pt", **how)
        ids, mask = read["input_ids"], read["attention_mask"]
        found, below = [], self._below[0].to(device)
        with torch.no_grad():
            for rows in runs(len(texts), _READ):
                asked = {"input_ids": ids[rows].to(device), "attention_mask": mask[rows].to(device)}
                found.append(below(**asked, output_hidden_states=True).hidden_states[self._kept].cpu())
        below.to("cpu")
        described = torch.tensor([bool(text) for text in texts])
        return torch.cat(found), mask.bool() & described[:, None]

    def forward(self, items: Tensor) -> Tensor:
        """Codes ``[n]`` to ``[n, D]`` of length one; zeros where there is no text."""
        seen = self.seen[items]
        seen = seen[:, : int(seen.sum(1).max().clamp(min=1))]  # texts are padded on the right
        x = self.top(self.states[items, : seen.shape[1]], seen)  # [n, T, D]
        if self.last:
            ends = (seen.sum(1) - 1).clamp(min=0)
            pooled = x[torch.arange(len(x), device=x.device), ends]
        else:
            pooled = (x * seen[..., None]).sum(1) / seen.sum(1, keepdim=True).clamp(min=1)
        return F.normalize(pooled, dim=-1) * seen.any(1, keepdim=True)


def _with_lora(layers: Layers, rank: int) -> Layers:
    """The layers with LoRA matrices, alone to be trained; or as they are, all to be trained."""
    if rank:
        from peft import LoraConfig, inject_adapter_in_model

        names = {name.rsplit(".", 1)[-1] for name, _ in layers.named_modules()}
        targets = [name for name in ("query", "value", "q_proj", "v_proj") if name in names]
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets), layers)
    return layers


def _pools_last(folder: Path) -> bool:
    """Whether the vector of a text is the state of its last token, and not the mean."""
    path = folder / "1_Pooling" / "config.json"
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return bool(said.get("pooling_mode_lasttoken"))
