"""A local language model that answers with a number: a linear head on the state of the last token of the prompt.

W.-C. Kang et al., *Do LLMs understand user preferences?* (arXiv:2305.06474), section 4.2: the loss is the squared
error, so an answer is a mean and not the likeliest word.

Shapes: n prompts, b of a batch, d the width of the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from honeyguide.core.errors import ConfigError
from honeyguide.lm.local import Local
from honeyguide.lm.port import Prompt
from honeyguide.lm.tuning import TuneConfig, Tuned, inputs, padded, train


@dataclass(frozen=True)
class Regression:
    """A tuned model with its head.

    Parameters
    ----------
    model
        Tuned in place.
    head
        From the state ``[d]`` to a number of mean 0 and deviation 1 over the examples.
    mean, deviation
        Of the examples' values.
    max_tokens
        Of a prompt that are read, the last ones.
    tuned
        What training did.
    """

    model: Local
    head: nn.Linear
    mean: float
    deviation: float
    max_tokens: int
    tuned: Tuned

    def predict(self, prompts: Sequence[Prompt], batch: int = 16) -> npt.NDArray[np.float64]:
        """float64 ``[n]``: the number for each prompt, not clipped to any scale."""
        rows = [self.model.ids(prompt)[-self.max_tokens :] for prompt in prompts]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))  # little padding
        found = np.empty(len(rows))
        with torch.inference_mode():
            for start in range(0, len(order), batch):
                some = order[start : start + batch]
                states = _last(self.model, [rows[row] for row in some])
                found[some] = self.head(states)[:, 0].double().cpu().numpy()
        return self.mean + self.deviation * found


def regress(
    model: Local,
    examples: Sequence[tuple[Prompt, float]],
    config: TuneConfig | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Regression:
    """Tune a model and a head on numbers: the mean of ``(head(h) - (y - mean) / deviation)^2``.

    Parameters
    ----------
    model
        Changed in place; its name changes with it.
    examples
        Prompts with the numbers that are wanted.
    config, on_step
        As in :func:`honeyguide.lm.tuning.sft`, which see for what is raised.

    Raises
    ------
    ConfigError
        If a number is not finite.
    """
    c = config or TuneConfig()
    values = np.array([value for _, value in examples], np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ConfigError(f"example {row} has the value {values[row]}.", "Leave it out, or give a number.")
    rows = [model.ids(prompt)[-c.max_tokens :] for prompt, _ in examples]
    mean, deviation = (float(values.mean()), float(values.std()) or 1.0) if len(values) else (0.0, 1.0)
    wanted = torch.from_numpy((values - mean) / deviation).float().to(model.config.device)
    head: Any = nn.Linear(int(model.network.config.hidden_size), 1).to(model.config.device)
    nn.init.zeros_(head.weight)  # the first answer is the mean
    nn.init.zeros_(head.bias)

    def loss(chosen: Sequence[int]) -> Tensor:
        difference: Tensor = head(_last(model, [rows[i] for i in chosen]))[:, 0] - wanted[list(chosen)]  # [b]
        return difference.square().mean()

    told = json.dumps(["regression", model.name, rows, values.tolist(), c.options()], sort_keys=True)
    more = {f"head.{name}": parameter for name, parameter in head.named_parameters()}
    tuned = train(model, len(rows), loss, c, hashlib.sha256(told.encode()).hexdigest(), on_step, more)
    return Regression(model, head, mean, deviation, c.max_tokens, tuned)


def _last(model: Local, rows: Sequence[list[int]]) -> Tensor:
    """``[b, d]``: the state of the last token of each row after the last layer."""
    ids, _, mask = padded([(row, len(row)) for row in rows], model)
    states: Tensor = model.network(**inputs(ids, mask), output_hidden_states=True, logits_to_keep=1).hidden_states[-1]
    return states[:, -1].float()
