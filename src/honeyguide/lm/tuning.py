"""Training a local language model: on answers (SFT), on preferences (DPO), all weights or LoRA, with new token rows.

A plain loop. The tokens of the prompt are masked: only the answer is learnt. The same data, options, seed and number
of threads give the same weights, interrupted and resumed or not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from honeyguide.core.errors import ConfigError, MissingExtraError, TrainingError
from honeyguide.lm.local import Local
from honeyguide.lm.port import Prompt
from honeyguide.nn import checkpoint

_MASKED = -100


@dataclass(frozen=True)
class TuneConfig:
    """How to train.

    Parameters
    ----------
    rank
        Of the LoRA matrices (Hu et al. 2021, arXiv:2106.09685); 0 trains all weights.
    alpha
        Their scale is ``alpha / rank``.
    targets
        Names of the layers that get them.
    epochs, batch, learning_rate, weight_decay
        Of AdamW with a constant rate.
    clip
        Largest norm of the gradient.
    max_tokens
        Longest example; what is longer loses the beginning of its prompt.
    beta
        How far preferences may move the model (DPO).
    seed
        Of initial values and order.
    new_tokens
        Ids of tokens whose vectors are trained beside the LoRA matrices.
    checkpoint
        Folder in which progress is kept, and from which it goes on.
    every
        Steps between two checkpoints.
    """

    rank: int = 8
    alpha: int = 16
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    epochs: int = 1
    batch: int = 4
    learning_rate: float = 2e-4
    weight_decay: float = 0.0
    clip: float = 1.0
    max_tokens: int = 384
    beta: float = 0.1
    seed: int = 0
    new_tokens: tuple[int, ...] = ()
    checkpoint: Path | None = None
    every: int = 50

    def __post_init__(self) -> None:
        if self.rank < 0 or min(self.epochs, self.batch, self.every) < 1 or self.max_tokens < 2:
            raise ConfigError("rank, epochs, batch, every or max_tokens is too small.", "Leave them for the defaults.")

    def options(self) -> dict[str, Any]:
        """Everything but where and how often progress is kept: what a run is told apart by."""
        return {key: value for key, value in asdict(self).items() if key not in ("checkpoint", "every")}


@dataclass(frozen=True)
class Tuned:
    """What training did.

    Parameters
    ----------
    losses
        Of every step.
    parameters
        Number of trained values.
    """

    losses: list[float] = field(repr=False)
    parameters: int


def sft(
    model: Local,
    examples: Sequence[tuple[Prompt, str]],
    config: TuneConfig | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Tuned:
    """Train a model to answer as in the examples.

    Parameters
    ----------
    model
        Changed in place; its name changes with it.
    examples
        Prompts with the answers that are wanted.
    config
        How.
    on_step
        Is told each step and its loss.

    Raises
    ------
    ConfigError
        If there are no examples, or the checkpoint is of another run.
    MissingExtraError
        If peft is not installed and ``rank`` is not 0.
    TrainingError
        If the loss is no number.
    """
    c = config or TuneConfig()
    rows = [_row(model, prompt, answer, c.max_tokens) for prompt, answer in examples]

    def loss(chosen: Sequence[int]) -> Tensor:
        logits, wanted = _answers([rows[i] for i in chosen], model)
        return functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=_MASKED)

    return train(model, len(rows), loss, c, _digest("sft", model.name, rows, c), on_step)


def dpo(
    model: Local,
    pairs: Sequence[tuple[Prompt, str, str]],
    config: TuneConfig | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Tuned:
    """Train a model to prefer the first answer to the second (Rafailov et al. 2023, arXiv:2305.18290).

    ``-log sigmoid(beta ((log p(w) - log q(w)) - (log p(l) - log q(l))))``, where q is the model as it was.

    Parameters
    ----------
    model
        Changed in place; its name changes with it.
    pairs
        Prompts with a better and a worse answer.
    config, on_step
        As in :func:`sft`, which see for what is raised.
    """
    c = config or TuneConfig()
    rows = [_row(model, p, answer, c.max_tokens) for p, better, worse in pairs for answer in (better, worse)]
    before = torch.empty(len(rows))
    with torch.inference_mode():  # with every pair read as the loop will read it
        for start in range(0, len(rows), 2 * c.batch):
            before[start : start + 2 * c.batch] = _likelihood(model, rows[start : start + 2 * c.batch]).cpu()

    def loss(chosen: Sequence[int]) -> Tensor:
        both = [i for pair in chosen for i in (2 * pair, 2 * pair + 1)]
        gain = _likelihood(model, [rows[i] for i in both]) - before[both].to(model.config.device)  # [2 b]
        return -functional.logsigmoid(c.beta * (gain[0::2] - gain[1::2])).mean()

    return train(model, len(pairs), loss, c, _digest("dpo", model.name, rows, c), on_step)


def _likelihood(model: Local, rows: Sequence[tuple[list[int], int]]) -> Tensor:
    """Log-probability of the answers of some rows, ``[b]``."""
    logits, wanted = _answers(rows, model)
    each = logits.log_softmax(-1).gather(2, wanted.clamp(min=0)[:, :, None])[:, :, 0]  # [b, a]
    found: Tensor = (each * (wanted != _MASKED)).sum(1)
    return found


def _row(model: Local, prompt: Prompt, answer: str, most: int) -> tuple[list[int], int]:
    """Tokens of prompt and answer with the end, and where the answer begins; cut at the front."""
    asked = model.ids(prompt)
    told = [*model.tokenizer(answer, add_special_tokens=False)["input_ids"], model.tokenizer.eos_token_id]
    told = told[:most]
    kept = asked[max(0, len(asked) + len(told) - most) :]
    return [*kept, *told], len(kept)


def _answers(rows: Sequence[tuple[list[int], int]], model: Local) -> tuple[Tensor, Tensor]:
    """Logits ``[b, a, vocabulary]`` and tokens ``[b, a]`` of the answers, a tokens at most.

    Only there are logits made: over a whole prompt they cost a third of a step, and most of its memory.
    """
    ids, labels, mask = padded(rows, model)
    longest = max(len(tokens) - start for tokens, start in rows)
    read = model.network(**inputs(ids, mask), logits_to_keep=longest + 1)
    return read.logits[:, -longest - 1 : -1].float(), labels[:, -longest:]


def inputs(ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """What a network reads of rows that are padded on the left: positions count from the first real token."""
    return {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}


def padded(rows: Sequence[tuple[list[int], int]], model: Local) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, labels (masked outside the answer) and mask, each int64 ``[b, t]``, padded on the left."""
    width = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), width), int(model.tokenizer.pad_token_id))
    labels, mask = torch.full_like(ids, _MASKED), torch.zeros_like(ids)
    for i, (tokens, start) in enumerate(rows):
        first = width - len(tokens)
        ids[i, first:] = torch.tensor(tokens)
        labels[i, first + start :] = torch.tensor(tokens[start:])
        mask[i, first:] = 1
    device = model.config.device
    return ids.to(device), labels.to(device), mask.to(device)


def train(
    model: Local,
    n: int,
    loss: Callable[[Sequence[int]], Tensor],
    c: TuneConfig,
    identity: str,
    on_step: Callable[[int, float], None] | None,
    more: Mapping[str, Tensor] | None = None,
) -> Tuned:
    """The loop: batches of example numbers in an order drawn per epoch.

    Parameters
    ----------
    model
        Changed in place; its name changes with it.
    n
        Number of examples.
    loss
        Of some of them, by number.
    c
        How.
    identity
        Says which run a checkpoint is of.
    on_step
        Is told each step and its loss.
    more
        Parameters beside those of the model, by name.
    """
    if n == 0:
        raise ConfigError("There is nothing to train on.", "Give examples.")
    device = torch.device(model.config.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(c.seed)
        trained = _trainable(model, c) | dict(more or {})
        optimizer = torch.optim.AdamW(list(trained.values()), lr=c.learning_rate, weight_decay=c.weight_decay)
        losses = _resumed(trained, optimizer, c, identity, device)
        per_epoch = -(-n // c.batch)
        model.network.train()
        for step in range(len(losses), c.epochs * per_epoch):
            epoch, place = divmod(step, per_epoch)
            order = np.random.default_rng([c.seed, epoch]).permutation(n)
            value = loss(order[place * c.batch : (place + 1) * c.batch].tolist())
            if not torch.isfinite(value):
                raise TrainingError(f"the loss of step {step} is {value.item()}.", "Lower the learning rate.")
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(list(trained.values()), c.clip)
            optimizer.step()
            model.forget()
            losses.append(value.item())
            if on_step is not None:
                on_step(step, losses[-1])
            if c.checkpoint is not None and len(losses) % c.every == 0:
                _keep(trained, optimizer, losses, c.checkpoint, identity, device)
        model.network.eval()
    model.name = f"{model.name}+{_weights_digest(trained)}"
    return Tuned(losses, sum(parameter.numel() for parameter in trained.values()))


def _trainable(model: Local, c: TuneConfig) -> dict[str, Tensor]:
    """The parameters to train, by name; LoRA matrices are put in if the model has none."""
    if c.rank > 0 and not hasattr(model.network, "peft_config"):
        if find_spec("peft") is None:
            raise MissingExtraError("LoRA", "lm-torch")
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(
            r=c.rank,
            lora_alpha=c.alpha,
            target_modules=list(c.targets),
            lora_dropout=0.0,
            task_type="CAUSAL_LM",
            trainable_token_indices={"embed_tokens": list(c.new_tokens)} if c.new_tokens else None,
        )
        model.network = get_peft_model(model.network, lora)
    for name, parameter in model.network.named_parameters():
        wanted = c.rank == 0 or "lora_" in name or "trainable_tokens_delta" in name
        parameter.requires_grad_(wanted)
    return {name: parameter for name, parameter in model.network.named_parameters() if parameter.requires_grad}


def _keep(
    trained: dict[str, Tensor], optimizer: Any, losses: list[float], folder: Path, identity: str, device: torch.device
) -> None:
    tensors = {
        "weights": trained,
        "optimizer": checkpoint.optimizer_tensors(optimizer),
        "generators": checkpoint.generator_tensors(device),
    }
    checkpoint.write(folder, identity, {"losses": losses}, tensors)


def _resumed(
    trained: dict[str, Tensor], optimizer: Any, c: TuneConfig, identity: str, device: torch.device
) -> list[float]:
    """The losses so far, with everything put back to where it was; empty at the beginning."""
    if c.checkpoint is None or not checkpoint.exists(c.checkpoint):
        return []
    progress, tensors = checkpoint.read(c.checkpoint, identity, device)
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors["weights"][name])
    checkpoint.load_optimizer(optimizer, tensors["optimizer"])
    checkpoint.load_generators(tensors["generators"], device)
    return [float(loss) for loss in progress["losses"]]


def _digest(kind: str, name: str, rows: Sequence[tuple[list[int], int]], c: TuneConfig) -> str:
    """Says which run a checkpoint is of: everything but where and how often it is kept."""
    return hashlib.sha256(json.dumps([kind, name, rows, c.options()], sort_keys=True).encode()).hexdigest()


def _weights_digest(trained: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(trained):
        digest.update(name.encode())
        digest.update(trained[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def trained_arrays(model: Local, config: TuneConfig) -> dict[str, npt.NDArray[np.float32]]:
    """What was trained, by name: the LoRA matrices, or all weights."""
    return {name: p.detach().cpu().numpy().copy() for name, p in _trainable(model, config).items()}


def put_arrays(model: Local, config: TuneConfig, arrays: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Undo :func:`trained_arrays` on a model as it was before.

    Raises
    ------
    ConfigError
        If the arrays are of another model or other options.
    """
    trained = _trainable(model, config)
    if trained.keys() != arrays.keys() or any(p.shape != arrays[name].shape for name, p in trained.items()):
        raise ConfigError("the trained weights are those of another model or rank.", "Load them with their options.")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(torch.from_numpy(np.array(arrays[name])))
    model.network.eval()
    model.forget()
    model.name = f"{model.name}+{_weights_digest(trained)}"
