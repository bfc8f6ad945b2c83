"""Data parallelism: processes started by ``torchrun`` that train one network, each on its rows of every batch."""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor, distributed, nn

from honeyguide.core.errors import ConfigError
from honeyguide.core.processes import this_process

B = TypeVar("B")


@runtime_checkable
class Divisible(Protocol):
    """A batch that several processes can share."""

    @property
    def n_targets(self) -> int:
        """Number of real targets: what the mean loss of this batch is a mean over."""
        ...

    def part(self, rank: int, size: int) -> Self:
        """The rows of process ``rank`` of ``size``; together the parts are the batch."""
        ...


@dataclass(frozen=True)
class Group:
    """The processes of a run; one alone does what it would do without a group.

    Parameters
    ----------
    rank, size
        See :class:`~honeyguide.core.processes.Process`.
    device
        Where the tensors are.
    seed
        Of what the processes draw while training, each its own numbers at every step.
    """

    rank: int
    size: int
    device: torch.device
    seed: int

    @classmethod
    def join(cls, device: torch.device, seed: int) -> Group:
        """The group of this run; meets the other processes where there are any.

        Raises
        ------
        ConfigError
            If processes cannot talk to each other from ``device``.
        """
        process = this_process()
        if process.size > 1 and not distributed.is_initialized():
            if device.type not in ("cpu", "cuda"):
                raise ConfigError(f"Several processes cannot train on {device.type!r}.", "Give --device cpu.")
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
            atexit.register(distributed.destroy_process_group)
        return cls(process.rank, process.size, device, seed)

    @property
    def first(self) -> bool:
        """Whether this process validates, writes checkpoints and shows progress."""
        return self.rank == 0

    def backward(self, network: nn.Module, loss: Callable[[B], Tensor], batch: B, step: int) -> Tensor:
        """Leave the gradient of the mean loss over ``batch`` in the parameters, and return that loss.

        With parts b of n_b targets, the mean loss of the batch is sum_b n_b L_b / sum_b n_b, and so is
        its gradient. What is drawn depends on seed, step and process, so that a resumed run draws the same.
        """
        if self.size == 1:
            value = loss(batch)
            value.backward()  # type: ignore[no-untyped-call]
            return value.detach()
        if not isinstance(batch, Divisible):
            raise ConfigError(
                f"Several processes cannot share a {type(batch).__name__}.", "Fit this model in one process."
            )
        torch.manual_seed((self.seed * 1_000_003 + step) * self.size + self.rank)
        part = batch.part(self.rank, self.size)
        value = torch.zeros((), device=self.device)
        if part.n_targets:
            value = loss(part)
            value.backward()  # type: ignore[no-untyped-call]
        return self._average(list(network.parameters()), value.detach(), part.n_targets)

    def _average(self, parameters: list[nn.Parameter], loss: Tensor, n_targets: int) -> Tensor:
        """Replace gradients by their mean over the targets of all processes, and return that of the loss."""
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        one = torch.ones(1, device=self.device)
        flat = torch.cat([*(g.flatten() for g in gradients), loss.reshape(1), one]) * n_targets
        distributed.all_reduce(flat)  # the sum over processes
        flat /= flat[-1].clone()  # sum_b n_b
        means = torch.split(flat[:-2], [p.numel() for p in parameters])
        for parameter, mean in zip(parameters, means, strict=True):
            parameter.grad = mean.view_as(parameter)
        return flat[-2]

    def agree(self, step: int) -> None:
        """Check that all processes stand at the same step.

        Raises
        ------
        ConfigError
            If one of them resumed from another checkpoint, or from none.
        """
        if self.share({"step": step})["step"] != step:
            raise ConfigError(
                f"Process {self.rank} did not find the checkpoint of the first one.",
                "Put the checkpoint folder where every process can read it.",
            )

    def copy_weights(self, network: nn.Module) -> None:
        """Give every process the weights of the first."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, 0)

    def share(self, values: dict[str, Any]) -> dict[str, Any]:
        """What the first process holds, JSON-able, at every process."""
        if self.size == 1:
            return values
        text = torch.tensor(list(json.dumps(values).encode()), dtype=torch.uint8, device=self.device)
        length = torch.tensor([len(text)], device=self.device)
        distributed.broadcast(length, 0)
        if not self.first:
            text = torch.empty(int(length), dtype=torch.uint8, device=self.device)
        distributed.broadcast(text, 0)
        shared: dict[str, Any] = json.loads(bytes(text.tolist()))
        return shared
