"""A small training run as a program, to be killed and resumed by test_trainer.py: FOLDER OUT [--resume]."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import Ragged
from honeyguide.nn.batches import IGNORED, Batch, PackedWindows
from honeyguide.nn.blocks import Dropout
from honeyguide.nn.losses import full_softmax
from honeyguide.nn.trainer import Trainer, TrainerSettings, seeded


class Bigram(torch.nn.Module):
    """Predicts the next item from the last, with dropout so that random numbers matter."""

    def __init__(self) -> None:
        super().__init__()
        self.items = torch.nn.Embedding(50, 8)
        self.turn = torch.nn.Linear(8, 8)
        self.dropout = Dropout(0.2)

    def loss(self, batch: Batch) -> torch.Tensor:
        real = batch.targets != IGNORED
        hidden = self.turn(self.dropout(self.items(batch.items)))[real]
        return full_softmax(hidden, self.items.weight, batch.targets[real])[0]


def build(options: FitOptions, validate: Callable[[], float] | None = None, **changes: Any) -> Trainer:
    """A trainer for a tiny problem; ``validate`` is a function of the weights unless given."""
    rng = np.random.default_rng(0)
    histories = Ragged.from_lists([rng.integers(0, 50, n) for n in rng.integers(2, 30, 200)])
    with seeded(0, torch.device("cpu")):
        network = Bigram()
    settings = {"epochs": 6, "lr": 1e-2, "warmup": 5, "schedule": "cosine", "checkpoint_seconds": 60.0, **changes}
    return Trainer(
        network,
        network.loss,
        PackedWindows(histories, 20, 256, seed=0),
        TrainerSettings(**settings),
        options,
        validate or (lambda: float(torch.sin(network.turn.weight.detach().sum()))),
        identity="test",
    )


def main(folder: str, out: str, *flags: str) -> None:
    torch.set_num_threads(1)
    options = FitOptions(checkpoint=Path(folder), resume="--resume" in flags)
    trainer = build(options, epochs=4, average=0.9, checkpoint_seconds=0.0)  # a checkpoint after every step
    curve = trainer.run()
    np.savez(out, **{name: tensor.numpy() for name, tensor in trainer.network.state_dict().items()})
    losses = [[row["loss"], row["valid_ndcg@10"]] for row in curve]
    Path(out + ".json").write_text(json.dumps({"losses": losses, "steps": trainer.progress.step}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
