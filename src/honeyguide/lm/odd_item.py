"""Asking a language model which title of a list does not fit, and what would (LLM4DSR, arXiv 2408.08208).

The answer has two lines, the odd title and the one that would fit. Nothing is written to find the odd one: the answer
is filled in up to the quote before it, and the probabilities of what comes next are read for the titles of the list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch

from honeyguide.core.ragged import FloatArray
from honeyguide.lm.local import Local
from honeyguide.lm.port import Prompt, one_line
from honeyguide.lm.tuning import TuneConfig, Tuned, inputs, padded, sft

Reading = Literal["first", "title"]

_SYSTEM = (
    "Each list holds what one person chose, in order. Find the one title that does not fit the person's main "
    "interest, and say which title would fit in its place."
)
_ODD, _FITS = 'Does not fit: "', '"\nInstead: "'
LONGEST = 60  # characters of a title


def question(titles: Sequence[str]) -> Prompt:
    """What is asked of a list of titles, oldest first."""
    return Prompt.of(", ".join(f'"{_title(title)}"' for title in titles), system=_SYSTEM)


def answer(odd: str, fits: str) -> str:
    """What is to be answered."""
    return f'{_ODD}{_title(odd)}{_FITS}{_title(fits)}"'


def tune(
    model: Local,
    examples: Sequence[tuple[Sequence[str], str, str]],
    config: TuneConfig,
    on_step: Callable[[int, float], None] | None = None,
) -> Tuned:
    """Teach a model from lists, each with its odd title and the one in whose place that was put.

    Parameters
    ----------
    model
        Changed in place; it runs where it was told to.
    examples
        Titles of a list, the odd one, the true one.
    config, on_step
        See :func:`~honeyguide.lm.tuning.sft`.
    """
    return sft(model, [(question(titles), answer(odd, fits)) for titles, odd, fits in examples], config, on_step)


def odd_scores(model: Local, lists: Sequence[Sequence[str]], reading: Reading = "first", batch: int = 16) -> FloatArray:
    """float32, one for each title of each list: the log-probability that it is named as the odd one.

    Parameters
    ----------
    model
        Tuned or not.
    lists
        Titles.
    reading
        ``"first"``: of the first token of the title, one pass for a list (the paper's; titles that begin alike tie);
        ``"title"``: the mean over the tokens of the whole title, one short pass more for each.
    batch
        Lists read at once (``"first"``).
    """
    if reading == "title":
        return _by_title(model, lists)
    beginnings = [[_tokens(model, _ODD + _title(t))[len(_tokens(model, _ODD))] for t in titles] for titles in lists]
    rows = [[*model.ids(question(titles)), *_tokens(model, _ODD)] for titles in lists]
    order, found = np.argsort([len(row) for row in rows], kind="stable"), [np.empty(0, np.float32)] * len(lists)
    for start in range(0, len(order), batch):
        some = order[start : start + batch]
        logits = _next(model, [rows[i] for i in some]).log_softmax(-1)  # [b, vocabulary]
        for place, i in enumerate(some):
            found[i] = logits[place, beginnings[i]].cpu().numpy()
    return np.concatenate(found) if found else np.empty(0, np.float32)


def _by_title(model: Local, lists: Sequence[Sequence[str]]) -> FloatArray:
    head = len(_tokens(model, _ODD))
    found = [np.empty(0, np.float32)]
    for titles in lists:
        each = model.logprobs(question(titles), [_ODD + _title(title) for title in titles])
        found.append(np.array([float(row[head:].mean()) if len(row) > head else -np.inf for row in each], np.float32))
    return np.concatenate(found)


def shares(scores: FloatArray, lengths: Sequence[int]) -> FloatArray:
    """float32: the scores of each list as probabilities that sum to one (a softmax over its titles)."""
    found, start = np.empty(len(scores), np.float32), 0
    for n in lengths:
        row = scores[start : start + n].astype(np.float64)
        weights = np.exp(row - row.max(initial=-np.inf)) if n else row
        found[start : start + n] = weights / max(float(weights.sum()), 1e-300)
        start += n
    return found


def fitting_titles(model: Local, lists: Sequence[Sequence[str]], odd: Sequence[int], max_tokens: int) -> list[str]:
    """What the model writes in the place of the ``odd``-th title of each list, greedily."""
    found = []
    for titles, place in zip(lists, odd, strict=True):
        begun = f"{_ODD}{_title(titles[place])}{_FITS}"
        row = torch.tensor([[*model.ids(question(titles)), *_tokens(model, begun)]], device=model.config.device)
        with torch.inference_mode():
            told = model.network.generate(
                input_ids=row,
                attention_mask=torch.ones_like(row),
                max_new_tokens=max_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=model.tokenizer.pad_token_id,
            )
        text = str(model.tokenizer.decode(told[0, row.shape[1] :], skip_special_tokens=True))
        found.append(text.partition('"')[0].partition("\n")[0].strip())
    return found


def _next(model: Local, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logits ``[b, vocabulary]`` of what follows each row, padded on the left."""
    ids, _, mask = padded([(list(row), len(row)) for row in rows], model)
    with torch.inference_mode():
        read = model.network(**inputs(ids, mask), logits_to_keep=1)
    found: torch.Tensor = read.logits[:, -1].float()
    return found


def _tokens(model: Local, text: str) -> list[int]:
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def _title(text: str) -> str:
    return one_line(text.replace('"', "'"), LONGEST) or "untitled"
