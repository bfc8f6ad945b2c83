"""Pictures that tests draw themselves, and two photographs that come with scikit-learn."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageDraw


def disc(colour: tuple[int, int, int], size: tuple[int, int] = (48, 48), corner: bool = False) -> Image.Image:
    """A disc on grey, in the middle or in a corner of stripes."""
    picture = Image.new("RGB", size, (128, 128, 128))
    draw = ImageDraw.Draw(picture)
    if corner:
        for x in range(0, size[0], 6):
            draw.line((x, 0, x, size[1]), fill=(255, 255, 255), width=2)
    side = min(size) // (2 if corner else 1) - 4
    draw.ellipse((2, 2, side, side), fill=colour)
    return picture


def png(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def photos() -> list[bytes]:
    """A Chinese palace and a daisy."""
    datasets = pytest.importorskip("sklearn.datasets")
    return [png(Image.fromarray(datasets.load_sample_image(name)), "JPEG") for name in ("china.jpg", "flower.jpg")]
