"""Many answers of a local model at once: what a recommender needs that writes a line for every user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from honeyguide.core.ragged import FloatArray
from honeyguide.lm.local import Local
from honeyguide.lm.port import Prompt


def complete(
    model: Local,
    prompts: Sequence[Prompt],
    *,
    max_tokens: int,
    beams: int = 1,
    batch: int = 64,
    on_batch: Callable[[int], None] | None = None,
) -> list[str]:
    """The likeliest answer to each prompt, by greedy or beam search, several prompts at a time.

    Parameters
    ----------
    model
        With its adapter, if it has one.
    prompts
        Padded on the left, the short ones together; their own limits, stops and temperatures are not read.
    max_tokens
        Of an answer.
    beams
        Width of the search; 1 is greedy.
    batch
        Prompts at a time.
    on_batch
        Is told how many are done.
    """
    import torch

    ids = [model.ids(prompt) for prompt in prompts]
    order = np.argsort([len(row) for row in ids], kind="stable")
    found = [""] * len(prompts)
    pad = int(model.tokenizer.pad_token_id)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        width = max(len(ids[row]) for row in rows)
        read = torch.full((len(rows), width), pad)
        mask = torch.zeros_like(read)
        for place, row in enumerate(rows):
            read[place, width - len(ids[row]) :] = torch.tensor(ids[row])
            mask[place, width - len(ids[row]) :] = 1
        with torch.inference_mode():
            told = model.network.generate(
                input_ids=read.to(model.config.device),
                attention_mask=mask.to(model.config.device),
                max_new_tokens=max_tokens,
                num_beams=beams,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=pad,
            )
        for place, row in enumerate(rows):
            found[row] = str(model.tokenizer.decode(told[place, width:], skip_special_tokens=True))
        if on_batch is not None:
            on_batch(start + len(rows))
    return found


def base_vectors(model: Local, texts: Sequence[str], *, mean: bool = False) -> FloatArray:
    """float32 ``[n, d]``: the last state of each text, or the mean of its states, in the model without its adapter.

    Parameters
    ----------
    model
        Its adapter is switched off while this is read.
    texts
        One token at least is read of each.
    mean
        Over all tokens; else of the last alone.
    """
    if not texts:
        return np.empty((0, int(model.network.config.hidden_size)), np.float32)
    with model.network.disable_adapter() if _adapted(model.network) else nullcontext():
        states = model.hidden(texts)
    return np.stack([row.mean(axis=0) if mean else row[-1] for row in states]).astype(np.float32)


def _adapted(network: Any) -> bool:
    """Transformers models offer the method whether or not they have an adapter."""
    return hasattr(network, "disable_adapter") and hasattr(network, "peft_config")
