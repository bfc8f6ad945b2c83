from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.models.factor.conftest import circles

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.data.build import build
from honeyguide.graph import BipartiteGraph
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.graph.alpharec import AlphaRec, AlphaRecConfig, AlphaRecNetwork
from honeyguide.models.registry import model_class
from honeyguide.nn.pairs import PairBatch
from honeyguide.nn.text_map import TextMap

SMALL = {"encoder": "use", "dim": 8, "hidden": 16, "negatives": 30, "batch": 128, "epochs": 8}
THEMES = ("crime novel about a detective", "cook book of cakes", "guide to gardens", "history of ships at sea")


def titles(n_items: int) -> pl.DataFrame:
    """Items of a circle share a theme."""
    return pl.DataFrame(
        {"item_id": np.arange(n_items), "title": [f"{THEMES[i // 12 % 4]}, volume {i}" for i in range(n_items)]}
    )


@pytest.fixture(scope="module")
def data() -> Dataset:
    return build("circles", circles().interactions.select(user_id="user", item_id="item", split="split"), titles(48))


@pytest.fixture(scope="module")
def model(data: Dataset) -> AlphaRec:
    return AlphaRec(**SMALL).fit(data)


def quality(model: AlphaRec, data: Dataset) -> float:
    histories, truth = data.histories("train", "valid"), data.histories("test")
    return float(holdout_ndcg(model.score_histories, histories, truth).mean())


def network_of(data: Dataset, **options: object) -> AlphaRecNetwork:
    torch.manual_seed(0)
    config = AlphaRecConfig(**{"dim": 5, "hidden": 6, **options})
    texts = np.random.default_rng(0).standard_normal((data.n_items, 7)).astype(np.float32)
    text_map = TextMap.over(texts, config.projection, 7, config.hidden, config.dim)
    return AlphaRecNetwork(BipartiteGraph(data.matrix("train")), text_map, text_map.read(texts), config)


@pytest.mark.parametrize("options", [{}, {"projection": "linear"}, {"projection": "identity"}, {"layers": 0}])
def test_quality(options: dict[str, object], data: Dataset) -> None:
    assert quality(AlphaRec(**{**SMALL, **options}).fit(data), data) > 0.5  # of the circle's items, .5 by chance


@pytest.mark.parametrize("projection", ["mlp", "linear"])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_vectors_are_means_of_layers_of_mapped_texts(data: Dataset, projection: str, layers: int) -> None:
    network, r = network_of(data, projection=projection, layers=layers), data.matrix("train").toarray()
    n, m = r.shape
    a = np.block([[np.zeros((n, n)), r], [r.T, np.zeros((m, m))]])
    scale = 1 / np.sqrt(a.sum(1))
    a = scale[:, None] * a * scale
    z = network.items.numpy()
    means = torch.from_numpy((r @ z / r.sum(1, keepdims=True)).astype(np.float32))
    with torch.no_grad():
        start = torch.cat([network.map(means), network.map(network.items)]).numpy()
        found = torch.cat(network.propagated()[:2]).numpy()
    expected = np.mean([np.linalg.matrix_power(a, step) @ start for step in range(layers + 1)], axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("projection", ["mlp", "linear"])
def test_what_is_served_is_what_propagation_gives_a_user_of_the_training_part(
    data: Dataset, layers: int, projection: str
) -> None:
    network = network_of(data, layers=layers, projection=projection)
    served = network.fold(np.zeros(data.n_items, np.float32))
    with torch.no_grad():
        expected = network.propagated()[0].numpy()
    np.testing.assert_allclose(served.users(data.histories("train")), expected, atol=1e-5)


@pytest.mark.parametrize("projection", ["mlp", "linear"])
def test_a_pair_is_trained_without_the_item_that_is_to_be_found(data: Dataset, projection: str) -> None:
    history = data.histories("train")[0]
    items = torch.from_numpy(history.astype(np.int64))
    batch = PairBatch(torch.zeros_like(items), items, torch.tensor([0, 1]), torch.empty((2, 0), dtype=torch.int64))
    network = network_of(data, layers=1, projection=projection)
    with torch.no_grad():
        users = network.pair_vectors(batch)[0].numpy()
        f, degrees = network.map(network.items).numpy(), data.popularity("train")
        for row, left_out in enumerate(history):
            rest = history[history != left_out]
            z = network.items[rest.astype(np.int64)].mean(0, keepdim=True)
            added = (f[rest] / np.sqrt(len(history) * degrees[rest])[:, None]).sum(0)
            expected = (network.map(z).numpy()[0] + added) / 2
            np.testing.assert_allclose(users[row], expected, atol=1e-5)
        whole = network_of(data, layers=1, projection=projection, leave_out=False).pair_vectors(batch)[0].numpy()
    np.testing.assert_allclose(whole, np.repeat(whole[:1], len(whole), axis=0), atol=1e-6)


def test_nothing_learnt_belongs_to_an_item(model: AlphaRec, data: Dataset) -> None:
    """Trap: an id vector anywhere. Weights are of the map alone, and items of equal text and graph are equal."""
    assert model.n_parameters == sum(p.numel() for p in model.served.map.layers.parameters())
    assert data.n_items not in {size for p in model.served.map.layers.parameters() for size in p.shape}
    items = pl.DataFrame({"item_id": [1000, 1001], "title": [f"{THEMES[0]}, volume 3"] * 2})
    grown = model.add_items(items)
    first, second = grown.item_vectors()[-2:]
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_items_are_compared_by_direction(model: AlphaRec) -> None:
    """Trap: lengths that differ between training, which normalises, and serving."""
    np.testing.assert_allclose(np.linalg.norm(model.item_vectors(), axis=1), 1, atol=1e-5)


def test_an_item_without_events_is_found_by_its_text(model: AlphaRec, data: Dataset) -> None:
    grown = model.add_items(pl.DataFrame({"item_id": [900], "title": [f"{THEMES[1]}, the new volume"]}))
    histories = data.histories("train")
    bakers = histories.take(np.arange(1, data.n_users, 4))
    place = (grown.score_histories(bakers) > grown.score_histories(bakers)[:, -1:]).sum(1)
    assert np.median(place) <= 12  # behind none but the twelve of its theme


# -- another catalogue --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other() -> Dataset:
    events = circles(seed=1).interactions.select(
        user_id=pl.format("other-{}", "user"), item_id=pl.format("other-{}", "item"), split="split"
    )
    items = titles(48).with_columns(item_id=pl.format("other-{}", "item_id"))
    return build("other", events, items)


def test_a_map_is_carried_over_and_nothing_else(model: AlphaRec, other: Dataset, tmp_path: Path) -> None:
    """Trap: a zero-shot model that trains after all, or keeps items or users of the catalogue it comes from."""
    model.save(tmp_path)
    carried = AlphaRec(map=str(tmp_path), encoder="use").fit(other)
    assert carried.report.curve == []
    assert set(carried.item_ids.values).isdisjoint(model.item_ids.values)
    for own, taken in zip(model.served.map.parameters(), carried.served.map.parameters(), strict=True):
        assert torch.equal(own, taken)
    assert quality(carried, other) > 0.5


def test_a_model_with_a_foreign_map_needs_it_no_more(model: AlphaRec, other: Dataset, tmp_path: Path) -> None:
    model.save(tmp_path / "source")
    carried = AlphaRec(map=str(tmp_path / "source")).fit(other)
    (tmp_path / "source").rename(tmp_path / "gone")
    carried.save(tmp_path / "carried")
    loaded = AlphaRec.load(tmp_path / "carried")
    histories = other.histories("train")
    np.testing.assert_array_equal(loaded.score_histories(histories), carried.score_histories(histories))


def test_a_map_that_is_not_there_is_named(other: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no map in"):
        AlphaRec(map=str(tmp_path)).fit(other)


# -- intentions ---------------------------------------------------------------------------------------


def test_an_intention_moves_the_list(data: Dataset) -> None:
    histories = data.histories("train").take(np.arange(0, 40, 4))  # of the first circle
    asked = Requests(histories, exclude=Ragged.empty(len(histories)), instruction=[THEMES[2]] * len(histories))
    shares = []
    for alpha in (0.0, 0.5, 1.0):
        lists = AlphaRec(**SMALL, layers=0, alpha=alpha).fit(data).recommend(asked, 5).items
        shares.append(float((lists // 12 == 2).mean()))
    assert shares[0] == 0
    assert min(shares[1:]) > 0.5


def test_an_empty_instruction_changes_nothing(model: AlphaRec, data: Dataset) -> None:
    histories = data.histories("train").take(slice(0, 3))
    plain = model.score(Requests(histories))
    np.testing.assert_allclose(model.score(Requests(histories, instruction=["", " ", ""])), plain, atol=1e-6)


def test_who_has_no_history_gets_what_is_asked_for(model: AlphaRec) -> None:
    lists = model.recommend(Requests(Ragged.empty(2), instruction=[THEMES[3], ""]), 5).items
    assert (lists[0] // 12 == 3).all()
    assert not (lists[1] // 12 == 3).all()


def test_plug_ins_hear_of_intentions(data: Dataset) -> None:
    plain = AlphaRec(**SMALL).fit(data)
    whole = model_class("alpharec+vat")(**SMALL, vat={"enabled": False}).fit(data)
    asked = Requests(data.histories("train").take(slice(0, 2)), instruction=[THEMES[1]] * 2)
    np.testing.assert_array_equal(whole.score(asked), plain.score(asked))
