"""One small data set and one fitted instance of every registered model, shared by the contract suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.contract.titled import build

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import MissingExtraError
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.data.load import load_data
from honeyguide.models.registry import MODELS, model_class

N_USERS, N_ITEMS = 307, 300  # different, so that an array with one row per user can be told from one per item

# Options that make a model fit the small data set in a second or two; the rest keep their defaults.
QUICK: dict[str, dict[str, Any]] = {
    "alpharec": {"encoder": "use", "dim": 16, "hidden": 64, "negatives": 100, "epochs": 6, "lr": 5e-3},
    "cold-map": {"encoder": "use"},
    "text-profile": {"encoder": "use"},
    "image-profile": {"text_weights": (0.8,), "text": "use"},
    "gru4rec": {"dim": 16, "max_len": 50, "epochs": 8, "batch_tokens": 512, "lr": 5e-3},
    "boosted": {"sources": ("floor", "popularity"), "trees": 20, "candidates": 50},
    "din": {"epochs": 2, "layers": (16,), "dim": 8, "max_len": 20, "negatives": 2},
    "lightgcn": {"dim": 16, "negatives": 100, "batch": 1024, "epochs": 6},
    "mf-bpr": {"dim": 16, "batch": 1024, "epochs": 10, "lr": 0.02},
    "mf": {"dim": 16, "batch": 1024, "epochs": 10, "lr": 0.02},
    "simplex": {"dim": 16, "negatives": 100, "batch": 1024, "epochs": 10, "patience": 10},
    "blend": {"models": ("floor", "itemknn")},
    "auto": {"models": ("popularity", "floor", "itemknn", "ials"), "budget": 3600.0, "text": "use"},
    "two-tower": {"encoder": "use", "dim": 16, "epochs": 8, "batch_tokens": 512, "lr": 1e-2, "negatives": 64},
    "cml": {"encoder": "use", "dim": 16, "epochs": 8, "batch_tokens": 512, "lr": 2e-2, "negatives": 8},
    "hllm": {
        "text": "use",
        "dim": 16,
        "hidden": 64,
        "max_len": 50,
        "epochs": 8,
        "batch_tokens": 512,
        "lr": 5e-3,
        "negatives": 64,
    },
    "lite-llm4rec": {
        "text": "use",
        "dim": 16,
        "hidden": 64,
        "head": "tied",  # what the contract says of new items holds for this head
        "max_len": 50,
        "epochs": 8,
        "batch_tokens": 512,
        "lr": 5e-3,
    },
    "sasrec": {"dim": 16, "blocks": 1, "heads": 1, "max_len": 50, "epochs": 8, "batch_tokens": 512, "lr": 5e-3},
    "esasrec": {"dim": 16, "blocks": 1, "heads": 1, "max_len": 50, "epochs": 8, "batch_tokens": 512, "lr": 5e-3},
    "bert4rec": {"dim": 16, "blocks": 1, "heads": 1, "max_len": 50, "epochs": 8, "batch_tokens": 512, "lr": 5e-3},
    "tim4rec": {"dim": 16, "blocks": 1, "state": 8, "max_len": 50, "epochs": 8, "batch_tokens": 512, "lr": 5e-3},
    "bigrec": {"samples": 8, "history": 1, "answer_tokens": 2, "space": "use", "valid_users": 48},
    "hstu": {"dim": 16, "blocks": 1, "heads": 1, "max_len": 50, "epochs": 8, "batch_tokens": 512, "lr": 5e-3},
}

# For every plug-in: the model it is tested over, and options that make it quick.
PLUGGED: dict[str, dict[str, Any]] = {
    "rel-mf": {"over": "mf", "options": {"clip": 0.1}},
    "ada-retrieval": {"over": "sasrec", "options": {"k": 6, "rounds": 3, "epochs": 2}},
    "lightgnn": {
        "over": "lightgcn",
        "options": {"runs": 1, "teacher_layers": 3, "links": 3, "nodes": 64, "triples": 500},
    },
    "llm4dsr": {
        "over": "sasrec",
        "options": {"text": "use", "dim": 16, "blocks": 1, "epochs": 1, "q_train": 0.8, "q_test": 0.8},
    },
    "recsae": {"over": "sasrec", "options": {"expansion": 8, "k": 4, "epochs": 2, "batch": 512}},
    "knn-embed": {"over": "ials"},
    "lorec": {"over": "sasrec", "options": {"since": 1, "start": 3, "max_len": 10, "encoder": "use"}},
    "reloop2": {"over": "din"},
    "text-align": {"over": "mf-bpr", "options": {"encoder": "use"}},
    "vat": {"over": "mf-bpr"},
}

Make = Callable[..., Recommender]


@pytest.fixture(scope="session")
def events() -> pl.DataFrame:
    """Events of the first readers of goodbooks-mini with every third of its favourite books; user ids are words."""
    data = load_data("goodbooks-mini")
    books = np.argsort(-data.popularity("train"), kind="stable")[: 3 * N_ITEMS : 3]
    frame = data.interactions.filter(pl.col("user") < N_USERS, pl.col("item").is_in(books.tolist()))
    position = pl.int_range(pl.len()).over("user")
    from_end = pl.len().over("user") - position
    return frame.select(
        user_id=pl.format("reader-{}", "user"),
        item_id="item",
        position=position,
        split=pl.when(from_end == 1)
        .then(pl.lit("test"))
        .when(from_end == 2)
        .then(pl.lit("valid"))
        .otherwise(pl.lit("train")),
    )


@pytest.fixture(scope="session")
def small(events: pl.DataFrame) -> Dataset:
    data = build("small", events)
    assert (data.n_users, data.n_items) == (N_USERS, N_ITEMS)
    return data


@pytest.fixture(scope="session", params=sorted(MODELS))
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """The constructor of a registered model with quick options; of a language model, over a tiny one."""
    try:
        cls = model_class(request.param)
    except MissingExtraError as error:
        pytest.skip(f"extra [{error.extra}] is not installed")
    quick = dict(QUICK.get(request.param, {}))
    if "lm" in cls.Config.model_fields:
        pytest.importorskip("peft", reason="pip install 'honeyguide[lm-torch]'")
        from tests.lm.tiny import write_tiny

        quick["lm"] = str(write_tiny(tmp_path_factory.mktemp("tiny") / "lm"))
    return lambda **options: cls(**{**quick, **options})


@pytest.fixture(scope="session")
def model(make: Make, small: Dataset) -> Recommender:
    """The model fitted on the small data set; tests must not change it."""
    return make().fit(small)


@pytest.fixture(scope="session")
def asked(small: Dataset) -> Requests:
    """What is known of every user before the test part."""
    return Requests(small.histories("train", "valid"), np.arange(small.n_users, dtype=np.int32))
