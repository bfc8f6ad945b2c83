"""A fit of a small SASRec as a program, started alone or by torchrun in test_parallel.py: OUT [OPTION=JSON ...]."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import torch

from honeyguide.core.fitting import FitOptions
from honeyguide.core.processes import this_process
from honeyguide.data.build import build
from honeyguide.models.sequence.sasrec import SASRec


def main(out: str, *settings: str) -> None:
    torch.set_num_threads(1)
    users, steps = np.repeat(np.arange(101), 9), np.tile(np.arange(9), 101)
    starts, speeds = np.random.default_rng(0).integers(0, 30, 101), 1 + np.arange(101) % 2
    keep = steps >= users % 5  # rows differ in length: the parts of a batch differ in targets
    split = np.where(steps == 8, "test", np.where(steps == 7, "valid", "train"))
    items = (starts[users] + speeds[users] * steps) % 30
    frame = pl.DataFrame({"user_id": users, "item_id": items, "position": steps, "split": split}).filter(keep)
    data = build("walks", frame)
    options = dict(text.split("=", 1) for text in settings)
    chosen = {name: json.loads(value) for name, value in options.items()}
    small = {
        "dim": 8,
        "blocks": 1,
        "heads": 1,
        "max_len": 10,
        "batch_tokens": 128,
        "lr": 1e-2,
        "epochs": 3,
        "warmup": 5,
    }
    model = SASRec(**{**small, "dropout": 0.0, "event_dropout": 0.0, **chosen})
    rank = this_process().rank
    model.fit(data, FitOptions(checkpoint=Path(f"{out}.checkpoint{rank}")))
    weights = {name: tensor.numpy() for name, tensor in model.network.state_dict().items()}
    scores = model.score_histories(data.histories("train", "valid"))
    losses = [[row["loss"], row["valid_ndcg@10"]] for row in model.report.curve]
    np.savez(f"{out}.{rank}.npz", scores=scores, curve=np.array(losses), **weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
