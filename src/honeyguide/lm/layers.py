"""Layers of a pretrained language model as a module from states to states, and folders that encoders of text read.

Two families are known: those built like BERT (MiniLM among them) and those built like Llama (SmolLM2, Qwen, Mistral).
Shapes: b rows, t positions, d the width of the language model.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from honeyguide.encode.cache import cache_folder
from honeyguide.lm.local import Local, LocalConfig
from honeyguide.lm.port import LMError

_PARTS = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


class Layers(nn.Module):
    """Some of the layers of a model, in order.

    Parameters
    ----------
    model
        A base model of transformers (without a head).
    which
        Which layers.
    causal
        Whether a position reads only those not after it.
    """

    def __init__(self, model: Any, which: slice, causal: bool) -> None:
        super().__init__()
        stack = _stack(model)
        self.stack = nn.ModuleList(stack[which])
        self.width, self.causal = int(model.config.hidden_size), causal
        self.rotary = getattr(model, "rotary_emb", None)
        last = len(self.stack) > 0 and self.stack[-1] is stack[-1]
        self.norm = model.norm if last and hasattr(model, "norm") else None
        for part in self.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0  # states of the same text are the same; who trains them brings dropout of his own

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """``[b, t, d]`` to the same shape.

        Parameters
        ----------
        x
            States below the first of the layers.
        seen
            bool ``[b, t]``: which positions are real; all by default.
        """
        t = x.shape[1]
        allowed = torch.ones(1, 1, t, t, dtype=torch.bool, device=x.device)
        if self.causal:
            allowed = allowed.tril()
        if seen is not None:
            allowed = allowed & seen[:, None, None]
        barred = torch.zeros(allowed.shape, dtype=x.dtype, device=x.device)
        barred = barred.masked_fill(~allowed, torch.finfo(x.dtype).min)  # finite: a row without anything stays a number
        turned = {}
        if self.rotary is not None:
            turned = {"position_embeddings": self.rotary(x, torch.arange(t, device=x.device)[None])}
        for layer in self.stack:
            found = layer(x, attention_mask=barred, **turned)
            x = found[0] if isinstance(found, tuple) else found  # a tuple before transformers 5
        return x if self.norm is None else self.norm(x)


class SequenceLayers(nn.Module):
    """The first layers of a language model over vectors that are no words: its table of words is left out.

    y = x + W_out LM(W_in x), causal. Positions are those of the language model.

    Parameters
    ----------
    dim
        Width of the vectors.
    config
        Of the language model, as its ``config.json`` has it; weights are drawn at random.
    layers
        How many.
    """

    def __init__(self, dim: int, config: Mapping[str, Any], layers: int) -> None:
        super().__init__()
        model = base_model({**config, "vocab_size": 2, "pad_token_id": 0, "num_hidden_layers": layers})
        self.layers = Layers(model, slice(0, layers), causal=True)
        self.positions = self.norm = None
        if hasattr(model, "embeddings"):
            self.positions, self.norm = model.embeddings.position_embeddings, model.embeddings.LayerNorm
        width = self.layers.width
        self.enter, self.leave = nn.Linear(dim, width, bias=False), nn.Linear(width, dim, bias=False)

    def load(self, folder: Path) -> None:
        """Take the weights of the language model in ``folder``."""
        model = pretrained(folder)
        with torch.no_grad():
            for own, given in zip(self.layers.stack, _stack(model), strict=False):
                own.load_state_dict(given.state_dict())
            if self.positions is not None and self.norm is not None:
                self.positions.load_state_dict(model.embeddings.position_embeddings.state_dict())
                self.norm.load_state_dict(model.embeddings.LayerNorm.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """``[b, t, dim]`` to the same shape."""
        inside = self.enter(x)
        if self.positions is not None and self.norm is not None:
            inside = self.norm(inside + self.positions.weight[: x.shape[1]])
        found: Tensor = x + self.leave(self.layers(inside))
        return found


def _stack(model: Any) -> Any:
    """The layers of a model, of either family."""
    if hasattr(model, "encoder") and hasattr(model.encoder, "layer"):
        return model.encoder.layer
    if hasattr(model, "layers"):
        return model.layers
    raise LMError(f"{type(model).__name__} is not built like BERT or Llama.", "Take a model of these families.")


def base_model(config: Mapping[str, Any]) -> Any:
    """A model of transformers without a head, by its configuration, with random weights."""
    from transformers import AutoConfig, AutoModel

    named = {key: value for key, value in config.items() if key != "model_type"}
    make: Any = AutoModel.from_config
    return make(AutoConfig.for_model(config["model_type"], **named)).eval()


def pretrained(folder: Path) -> Any:
    """The model of transformers in ``folder``, without a head.

    Raises
    ------
    LMError
        If there is none with safetensors.
    """
    from transformers import AutoModel

    from honeyguide.lm.convert import without_bars

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    try:
        with without_bars():
            return AutoModel.from_pretrained(str(folder), dtype=torch.float32, **options).eval()
    except (OSError, ValueError) as error:
        raise LMError(f"{folder} holds no model: {error}.", "Give a folder with safetensors.") from error


def configuration(folder: Path) -> dict[str, Any]:
    """What ``config.json`` in ``folder`` says."""
    found: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return found


def sentence_folder(model: str = "smollm2", pooling: str = "lasttoken", tokens: int = 64) -> Path:
    """A folder by which a causal language model is an encoder of text: its weights, linked, and how states are pooled.

    To be named wherever an encoder of text is (``text=``, ``encoder=``).

    Parameters
    ----------
    model
        As in :class:`~honeyguide.lm.local.LocalConfig`.
    pooling
        ``"lasttoken"`` or ``"mean"``.
    tokens
        Of a text that are read.
    """
    local = Local(LocalConfig(model))
    source, version = local.folder, local.name.rpartition(":")[2]
    folder = cache_folder() / "sentences" / f"{version}-{pooling}-{tokens}"
    if (folder / "modules.json").is_file():
        return folder
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    for path in (*source.glob("*.safetensors"), *(source / name for name in _PARTS)):
        if path.is_file() and not (folder / path.name).exists():
            _linked(path, folder / path.name)
    width = configuration(source)["hidden_size"]
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    chosen = "mean_tokens" if pooling == "mean" else pooling
    _write(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": width, **{f"pooling_mode_{mode}": mode == chosen for mode in modes}},
    )
    _write(folder / "sentence_bert_config.json", {"max_seq_length": tokens, "do_lower_case": False})
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    rows = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    _write(folder / "modules.json", rows)  # last: it says that the folder is whole
    return folder


def _linked(source: Path, target: Path) -> None:
    """The file under another name, without a copy where the file system can."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
