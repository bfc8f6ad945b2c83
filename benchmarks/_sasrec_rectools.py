"""Run by sasrec_speed.py in the peers' environment: steps of RecTools' SASRec, their cost as JSON on stdout."""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer
from rectools.dataset import Dataset
from rectools.models import SASRecModel

WARM_UP = 2  # batches that are not measured


class Meter(Callback):
    """CPU-seconds and real (not padded) targets of the batches after the first few."""

    def __init__(self) -> None:
        self.targets, self.start, self.seconds = 0, 0.0, 0.0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: dict[str, torch.Tensor], index: int) -> None:
        """Start the clock once, with the first measured batch."""
        if index == WARM_UP:
            self.start = time.process_time()
        if index >= WARM_UP:
            self.targets += int((batch["yw"] > 0).sum())

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: dict[str, torch.Tensor], index: int
    ) -> None:
        """Read the clock."""
        if index >= WARM_UP:
            self.seconds = time.process_time() - self.start


def main() -> None:
    """Arguments: the file with the events, the options as JSON."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    events, options = np.load(sys.argv[1]), json.loads(sys.argv[2])
    frame = pd.DataFrame({"user_id": events["users"], "item_id": events["items"], "weight": 1.0})
    frame["datetime"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(len(frame)), unit="s")  # in order

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=1,
            limit_train_batches=WARM_UP + options["batches"],
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Meter()],
        )

    model = SASRecModel(
        n_factors=options["dim"],
        n_blocks=options["blocks"],
        n_heads=options["heads"],
        session_max_len=options["max_len"],
        dropout_rate=options["dropout"],
        loss="softmax",
        get_trainer_func=trainer,
    )
    model.fit(Dataset.construct(frame))
    meter = next(c for c in model.fit_trainer.callbacks if isinstance(c, Meter))  # fit works on a copy of the trainer
    print(
        json.dumps({"library": f"rectools {version('rectools')}", "targets": meter.targets, "seconds": meter.seconds})
    )


if __name__ == "__main__":
    main()
