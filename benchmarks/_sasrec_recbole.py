"""Run by sasrec_speed.py in the peers' environment: steps of RecBole's SASRec, their cost as JSON on stdout."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

WARM_UP = 1  # batches that are not measured


def main() -> None:
    """Arguments: the file with the events, the options as JSON."""
    warnings.filterwarnings("ignore")
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec

    torch.set_num_threads(1)
    events, options = np.load(sys.argv[1]), json.loads(sys.argv[2])
    sys.argv = sys.argv[:1]  # RecBole reads the command line for options of its own
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "log" / "log.inter"
        table.parent.mkdir()
        rows = zip(events["users"].tolist(), events["items"].tolist(), range(len(events["users"])), strict=True)
        header = "user_id:token\titem_id:token\ttimestamp:float\n"
        table.write_text(header + "".join(f"{user}\t{item}\t{time}\n" for user, item, time in rows), encoding="utf-8")
        config = Config(model="SASRec", dataset="log", config_dict=asked_for(options, folder))
        loader, *_ = data_preparation(config, create_dataset(config))
    model = SASRec(config, loader.dataset)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    model.train()
    targets, start = 0, 0.0
    for number, batch in enumerate(loader):
        if number == WARM_UP:
            start = time.process_time()
        optimizer.zero_grad()
        model.calculate_loss(batch).backward()
        optimizer.step()
        targets += len(batch) if number >= WARM_UP else 0  # every row has one target
        if number == WARM_UP + options["batches"] - 1:
            break
    seconds = time.process_time() - start
    print(json.dumps({"library": f"recbole {version('recbole')}", "targets": targets, "seconds": seconds}))


def asked_for(options: dict[str, Any], folder: str) -> dict[str, Any]:
    """The options in RecBole's names; its own defaults for the rest, softmax over all items included."""
    return {
        "data_path": folder,
        "use_gpu": False,
        "show_progress": False,
        "log_wandb": False,
        "state": "ERROR",
        "checkpoint_dir": folder,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "train_neg_sample_args": None,
        "loss_type": "CE",
        "hidden_size": options["dim"],
        "inner_size": 4 * options["dim"],
        "n_layers": options["blocks"],
        "n_heads": options["heads"],
        "hidden_dropout_prob": options["dropout"],
        "attn_dropout_prob": options["dropout"],
        "MAX_ITEM_LIST_LENGTH": options["max_len"],
        "train_batch_size": options["rows"],
    }


if __name__ == "__main__":
    main()
