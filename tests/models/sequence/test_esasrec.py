from __future__ import annotations

import numpy as np

from honeyguide.core.dataset import Dataset
from honeyguide.models.sequence.esasrec import ESASRec, ESASRecConfig
from honeyguide.models.sequence.sasrec import SASRec

SMALL = {"dim": 16, "max_len": 20, "batch_tokens": 256, "epochs": 4, "lr": 1e-2, "negatives": 20}


def test_the_recipe() -> None:
    found = ESASRecConfig().resolve(np.full(100, 6))
    recipe = {
        **{"dim": 64, "blocks": 1, "heads": 1, "max_len": 50, "positions": "learned", "block": "ligr"},
        **{"dropout": 0.2, "loss": "sampled", "negatives": 256, "lr": 1e-3},
    }
    assert {name: getattr(found, name) for name in recipe} == recipe


def test_it_is_sasrec_with_the_options_of_the_recipe(data: Dataset) -> None:
    ours = ESASRec(**SMALL).fit(data)
    same = SASRec(
        **SMALL, positions="learned", dropout=0.2, event_dropout=0.0, init="normal", loss="sampled", blocks=1, heads=1
    ).fit(data)
    assert np.array_equal(ours.item_vectors(), same.item_vectors())
    histories = data.histories("train")
    assert np.array_equal(ours.score_histories(histories), same.score_histories(histories))
