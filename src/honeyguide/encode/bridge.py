"""A bridge between pictures and words without a model trained on both: classes of ImageNet, read as text.

Convex combination of semantic embeddings (ConSE, Norouzi et al. 2014, arXiv:1312.5650): the picture is where the
names of what it may show are, ``v = sum over the ten likeliest classes c of p(c) t("a photo of a c")``. It knows the
thousand nouns of ImageNet and nothing else: no style, brand, person, title or mood. A CLIP or SigLIP model
(:class:`~honeyguide.encode.image.VisionEncoder`) does this properly; this does it with what comes as a package.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np

from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray
from honeyguide.encode.image import EfficientNetEncoder
from honeyguide.encode.items import text_vectors
from honeyguide.encode.text import TextEncoder

TOP = 10  # classes that stand for a picture


@cache
def class_names() -> tuple[str, ...]:
    """The names of the thousand classes of ImageNet, in the order of their WordNet numbers; synonyms after commas."""
    text = resources.files("honeyguide.encode").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


class ClassBridge:
    """Pictures and texts in the space of a text encoder.

    Parameters
    ----------
    images
        The encoder whose classes are read.
    texts
        The encoder whose space it is.
    top
        How many classes stand for a picture.
    """

    def __init__(self, images: EfficientNetEncoder, texts: TextEncoder, top: int = TOP) -> None:
        self.images, self.texts, self.top = images, texts, top

    def words(self, pictures: Sequence[bytes], k: int = 3) -> list[list[str]]:
        """What each picture shows, likeliest first, in the first name of the class; nothing for what is no picture."""
        found = self.images.classes(pictures)
        best = np.argsort(-found, axis=1, kind="stable")[:, :k]
        names = class_names()
        return [
            [names[c].partition(",")[0] for c in row] if p.any() else [] for row, p in zip(best, found, strict=True)
        ]

    def of_pictures(self, pictures: Sequence[bytes]) -> FloatArray:
        """float32 ``[n, d]`` of length one; zeros for what is no picture."""
        return self.of_classes(self.images.classes(pictures))

    def of_classes(self, probabilities: FloatArray) -> FloatArray:
        """float32 ``[n, d]`` of probabilities ``[n, 1000]``; rows of zeros stay."""
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, : self.top]
        kept = np.zeros_like(probabilities)
        np.put_along_axis(kept, best, np.take_along_axis(probabilities, best, axis=1), axis=1)
        return unit(kept @ self._names())  # sum_c p(c) t(c)

    def of_texts(self, texts: Sequence[str]) -> FloatArray:
        """float32 ``[n, d]`` of length one."""
        return text_vectors(texts, self.texts)

    def _names(self) -> FloatArray:
        """float32 ``[1000, d]``, from the cache of the text encoder after the first time."""
        return text_vectors([f"a photo of a {name}" for name in class_names()], self.texts)
