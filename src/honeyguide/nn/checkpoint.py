"""Checkpoints of training: an artifact (safetensors + JSON) that appears whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from honeyguide.core import artifact
from honeyguide.core.errors import ConfigError

KIND = "checkpoint"


def to_numpy(tensors: dict[str, Tensor]) -> artifact.Arrays:
    """Arrays of the same names, copied off the device."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def to_tensors(arrays: dict[str, npt.NDArray[Any]], device: torch.device) -> dict[str, Tensor]:
    """Undo :func:`to_numpy`."""
    return {name: torch.from_numpy(np.array(array)).to(device) for name, array in arrays.items()}


def exists(directory: Path) -> bool:
    """Whether a checkpoint was ever completed in ``directory``."""
    return (directory / "CURRENT").is_file()


def write(directory: Path, identity: str, progress: dict[str, Any], tensors: dict[str, dict[str, Tensor]]) -> None:
    """Publish a checkpoint.

    Parameters
    ----------
    directory
        Its folder; the last two checkpoints are kept.
    identity
        Says which run this is; a checkpoint of another run is not resumed.
    progress
        JSON-able.
    tensors
        Groups of named tensors.
    """
    arrays = to_numpy({f"{group}/{name}": t for group, named in tensors.items() for name, t in named.items()})
    artifact.publish(directory, artifact.Artifact(KIND, {"identity": identity, "progress": progress}, arrays))


def read(directory: Path, identity: str, device: torch.device) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Undo :func:`write`.

    Raises
    ------
    ArtifactError
        If the checkpoint is damaged.
    ConfigError
        If it belongs to a run with other data, options or versions.
    """
    content = artifact.read(directory, KIND)
    if content.meta["identity"] != identity:
        raise ConfigError(
            f"The checkpoint in {directory} was made with other data or options.",
            "Give the options and the data that it was started with, or another checkpoint folder.",
        )
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, tensor in to_tensors(content.arrays, device).items():
        group, name = key.split("/", 1)
        tensors.setdefault(group, {})[name] = tensor
    progress: dict[str, Any] = content.meta["progress"]
    return progress, tensors


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state, named by parameter number and quantity."""
    state = optimizer.state_dict()["state"]
    return {f"{index}/{key}": value for index, entry in state.items() for key, value in entry.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Undo :func:`optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def generator_tensors(device: torch.device) -> dict[str, Tensor]:
    """State of torch's random generators: of the CPU and of ``device``."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def load_generators(states: dict[str, Tensor], device: torch.device) -> None:
    """Undo :func:`generator_tensors`."""
    torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)
