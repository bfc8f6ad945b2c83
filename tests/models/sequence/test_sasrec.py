from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.data.build import build
from honeyguide.data.load import load_data
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.sequence.sasrec import SASRec, SASRecConfig

Walks = Callable[[int], Dataset]

SMALL = {"dim": 16, "blocks": 1, "heads": 1, "max_len": 20, "batch_tokens": 256, "epochs": 12, "lr": 1e-2}


@pytest.fixture(scope="module")
def model(data: Dataset) -> SASRec:
    return SASRec(**SMALL).fit(data)


def test_ndcg(model: SASRec, data: Dataset) -> None:
    values = holdout_ndcg(model.score_histories, data.histories("train", "valid"), data.histories("test"))
    assert values.mean() > 0.95


@pytest.mark.parametrize(
    "options", [{"loss": "importance"}, {"loss": "sampled"}, {"loss": "gbce"}, {"loss": "bce"}, {"block": "sasrec"}]
)
def test_variants_learn(data: Dataset, options: dict[str, str]) -> None:
    model = SASRec(**SMALL, negatives=100, positions="rope", patience=12, **options).fit(data)
    values = holdout_ndcg(model.score_histories, data.histories("train", "valid"), data.histories("test"))
    assert values.mean() > 0.7


def test_order_matters(model: SASRec) -> None:
    histories = Ragged.from_lists([[3, 4, 5], [5, 4, 3]])
    scores = model.score_histories(histories)
    assert not np.allclose(scores[0], scores[1])
    assert model.recommend(Requests(histories), 1).items[0, 0] == 6


def test_same_seed_same_model(model: SASRec, data: Dataset) -> None:
    again, other = SASRec(**SMALL).fit(data), SASRec(**SMALL, seed=1).fit(data)
    assert np.array_equal(again.item_vectors(), model.item_vectors())
    assert not np.array_equal(other.item_vectors(), model.item_vectors())


def test_scores_are_dot_products_and_do_not_depend_on_the_batch(model: SASRec) -> None:
    histories = Ragged.from_lists([[1], [4, 5, 6, 7, 8], [2, 3]])
    scores = model.score_histories(histories)
    np.testing.assert_array_equal(scores, model.user_vectors(histories) @ model.item_vectors().T)
    alone = np.concatenate([model.score_histories(Ragged.from_lists([row])) for row in histories])
    np.testing.assert_allclose(scores, alone, rtol=1e-4, atol=1e-4)


def test_only_the_latest_events_are_read(model: SASRec) -> None:
    long = np.arange(50, dtype=np.int32) % 30
    scores = model.score_histories(Ragged.from_lists([long, long[-20:]]))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-4)


def test_unknown_items_are_skipped_and_an_empty_history_is_given_popularity(model: SASRec, data: Dataset) -> None:
    scores = model.score_histories(Ragged.from_lists([[3, -1, 4], [3, 4], [], [-1]]))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-4)
    assert np.array_equal(scores[2], scores[3])
    assert np.array_equal(np.argsort(scores[2]), np.argsort(data.popularity("train")))
    assert np.exp(scores[2]).sum() == pytest.approx(1, rel=1e-3)


def test_similar_items(model: SASRec) -> None:
    found = model.similar(np.array([4, 9], np.int32), k=5)
    assert found.items.shape == (2, 5)
    assert 4 not in found.items[0] and 9 not in found.items[1]
    vectors = model.item_vectors()
    cosine = vectors @ vectors[4] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[4])
    np.testing.assert_allclose(found.scores[0], np.sort(np.delete(cosine, 4))[::-1][:5], rtol=1e-5)


def test_saved_and_loaded_is_the_same(model: SASRec, data: Dataset, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = SASRec.load(tmp_path)
    histories = data.histories("train")
    assert np.array_equal(loaded.score_histories(histories), model.score_histories(histories))
    assert loaded.resolved == model.resolved and loaded.report.curve == model.report.curve
    request = Requests(histories.take(slice(0, 5)))
    assert np.array_equal(loaded.recommend(request, 3).items, model.recommend(request, 3).items)


def test_checkpoints_through_the_model(model: SASRec, data: Dataset, walks: Walks, tmp_path: Path) -> None:
    SASRec(**SMALL).fit(data, FitOptions(checkpoint=tmp_path))
    resumed = SASRec(**SMALL).fit(data, FitOptions(checkpoint=tmp_path, resume=True))  # finished: nothing is trained
    assert np.array_equal(resumed.item_vectors(), model.item_vectors())
    with pytest.raises(ConfigError, match="other data or options"):
        SASRec(**SMALL).fit(walks(1), FitOptions(checkpoint=tmp_path, resume=True))


def test_the_report(model: SASRec) -> None:
    assert model.report.n_parameters == sum(p.numel() for p in model.network.parameters())
    assert model.report.curve[0].keys() == {"epoch", "loss", "valid_ndcg@10", "cpu_seconds"}
    assert model.report.cpu_seconds >= model.report.curve[-1]["cpu_seconds"]


def test_without_a_validation_part_all_epochs_are_run(data: Dataset) -> None:
    model = SASRec(**{**SMALL, "epochs": 2}).fit(data.select("train"))
    assert [row["epoch"] for row in model.report.curve] == [1, 2]


def test_automatic_options_follow_the_data_and_given_ones_stay() -> None:
    short, long = np.full(1000, 6), np.full(1000, 150)
    assert SASRecConfig().resolve(short).positions == "learned"
    assert SASRecConfig().resolve(long).positions == "rope"
    assert SASRecConfig().resolve(long).max_len == 200
    assert SASRecConfig(max_len=7, lr=0.5).resolve(long).max_len == 7
    for lengths in (short, long, np.zeros(3, np.int64)):
        assert "auto" not in SASRecConfig().resolve(lengths).model_dump(exclude={"text"}).values()


def test_wrong_options_and_hopeless_data() -> None:
    with pytest.raises(ConfigError, match="heads"):
        SASRec(dim=10, heads=4)
    with pytest.raises(ConfigError, match="blocs"):
        SASRec(blocs=3)
    single = build("single", pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "position": [0, 0]}))
    with pytest.raises(DataError, match="two events"):
        SASRec(**SMALL).fit(single)


def test_the_estimate_grows_with_the_work(data: Dataset) -> None:
    small, large = SASRec(**SMALL).estimate(data), SASRec(**{**SMALL, "epochs": 120}).estimate(data)
    assert 0 < small.cpu_seconds < large.cpu_seconds
    assert SASRec(dim=512).estimate(data).memory_bytes > small.memory_bytes


def test_vectors_can_start_from_text_and_from_both() -> None:
    data = load_data("goodbooks-mini")
    told: dict[str, np.ndarray] = {}
    for init in ("text", "both", "cooccurrence"):
        model = SASRec(dim=16, init=init, text="use", epochs=1)
        model.resolved = model.config.resolve(data.histories("train").lengths)
        start = model.initial_items(data)
        assert start is not None
        told[init] = start
        assert start.shape == (data.n_items, 16)
        assert start.dtype == np.float32
        assert start.std() == pytest.approx(0.04, rel=0.1)
    series = data.items["title"].str.contains("Harry Potter").fill_null(False).to_numpy()
    unit = told["text"] / np.linalg.norm(told["text"], axis=1, keepdims=True)
    assert (unit[series] @ unit[series].T).mean() > (unit @ unit[series].T).mean() + 0.2
