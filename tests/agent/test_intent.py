from __future__ import annotations

import numpy as np

from honeyguide.agent.intent import IntentHead, IntentOptions, TextIntent
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.data.load import load_data
from honeyguide.models.linear.floor import Floor
from honeyguide.pipeline.stock import Stock


def two_tastes(rng: np.random.Generator) -> tuple[FloatArray, FloatArray, Ragged, list[list[int]], FloatArray]:
    """Forty items of two kinds; people like both, and what comes next is of either kind, near the last one of it."""
    kinds = np.arange(40) % 2
    items = rng.normal(size=(40, 8)).astype(np.float32)
    items[:, 0], items[:, 1] = 0, np.where(kinds == 1, 2.0, -2.0)
    facts = np.eye(2, 6, dtype=np.float32)
    texts = unit(facts[kinds] + 0.05 * rng.normal(size=(40, 6)).astype(np.float32))
    lists = []
    for _ in range(150):
        favourites = [rng.choice(np.flatnonzero(kinds == k), 4, replace=False) for k in (0, 1)]
        lists.append([int(rng.choice(favourites[int(rng.integers(2))])) for _ in range(16)])
    return items, texts, Ragged.from_lists(lists), [[int(k)] for k in kinds], facts


def test_the_head_by_hand() -> None:
    items, texts = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    weights = {
        "query": np.zeros((3, 3), np.float32),
        "value": np.eye(3, dtype=np.float32),
        "scalars": np.array([np.log(2), 0.5, 0.25], np.float32),
    }
    found = IntentHead(items, texts, weights).scores(np.array([0, -1, 2], np.int32), texts[0])
    attention = np.exp(np.array([2 - 0.5, 0.0]))
    attention /= attention.sum()
    np.testing.assert_allclose(found, [attention[0], 0, attention[1] + 0.25], rtol=1e-6)
    assert IntentHead(items, texts, weights).scores(np.array([-1, 2], np.int32), texts[0]) is None


def test_training_lowers_the_loss_and_the_wish_chooses_the_part_of_the_history() -> None:
    items, texts, histories, wishes, facts = two_tastes(np.random.default_rng(0))
    options = IntentOptions(examples=1500, epochs=6, batch=64, lr=1e-2)
    head, losses = IntentHead.train(items, texts, histories, wishes, facts, options)
    assert losses[-1] < losses[0] < np.log(40)
    history = np.array([0, 2, 4, 1, 3, 5], np.int32)
    for kind in (0, 1):
        scores = head.scores(history, facts[kind])
        assert scores is not None
        best = np.argsort(-scores)[:5]
        assert np.mean(best % 2 == kind) >= 0.8, "the wish reads its own part of the history"
    again, _ = IntentHead.train(items, texts, histories, wishes, facts, options)
    np.testing.assert_array_equal(again.weights["value"], head.weights["value"])
    np.testing.assert_array_equal(items, two_tastes(np.random.default_rng(0))[0])


def test_by_text_the_model_is_asked_with_the_events_that_are_about_the_wish() -> None:
    data = load_data("goodbooks-mini")
    model = Floor(normalisations=("row",), decays=(0.8,), mixes=(0.0,)).fit(data)
    stock = Stock(model, data.items, data.popularity(), encoder="use")
    history = data.histories("train")[3]
    query = stock.text_vectors[history[4]]
    found = TextIntent(stock).scores(history, query)
    assert found is not None and not np.array_equal(found, stock.scores(history))
    cosines = stock.text_vectors[history] @ query
    attention = np.exp(12 * (cosines - cosines.max()))
    assert attention[4] == attention.max()
    read = np.sort([i for i in np.argsort(-attention, kind="stable")[:10] if attention[i] > 0.05])
    np.testing.assert_array_equal(found, stock.scores(history[read]))
    assert TextIntent(stock).scores(history[:1], query) is None
