"""Pictures of items: what is read, what is refused, what is counted, and the cache."""

from __future__ import annotations

import base64
import io
import logging
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from tests.encode.drawn import disc, png

from honeyguide.core.errors import DataError
from honeyguide.core.ragged import FloatArray
from honeyguide.encode import decoding, pictures
from honeyguide.encode.decoding import PictureError, content_of, decode
from honeyguide.encode.pictures import ItemPictures, centred, picture_vectors, pictures_of, without_paths


class Mean:
    """An encoder whose vector is the mean colour: quick, and counts how often it reads."""

    name, version, modality, dim = "mean", "sha256:1", "image", 3

    def __init__(self) -> None:
        self.read = 0

    def encode(self, assets: Sequence[bytes]) -> FloatArray:
        found = np.zeros((len(assets), 3), np.float32)
        for row, asset in enumerate(assets):
            self.read += 1
            try:
                found[row] = np.asarray(decode(asset), np.float32).mean((0, 1)) + 1
            except PictureError:
                continue
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


RED = png(disc((220, 40, 40)))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no picture"),
        (b"<html>404</html>", "no picture"),
        (RED[: len(RED) // 2], "damaged"),
        (bomb(20_000, 20_000), "bomb"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n", "no picture"),
        (bomb(4, 4)[:40], "no picture|damaged"),
    ],
    ids=["empty", "page", "cut", "bomb", "postscript", "header"],
)
def test_what_is_no_picture_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(PictureError, match=why) as found:
        decode(content)
    assert found.value.kind == "broken"


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: Image.Image) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr(Image.Image, "load", load)
    with pytest.raises(PictureError, match="pixels are more than"):
        decode(bomb(8_000, 9_000))


@pytest.mark.filterwarnings("ignore:Tag data")
def test_damage_anywhere_is_an_error_of_ours() -> None:
    rng = np.random.default_rng(0)
    whole = png(disc((10, 200, 30), size=(40, 30)), "JPEG")
    for content in (
        whole,
        RED,
        png(disc((1, 2, 3)), "WEBP"),
        png(disc((1, 2, 3)), "GIF"),
        png(disc((9, 9, 9)), "TIFF"),
    ):
        for _ in range(40):
            damaged = bytearray(content)
            for place in rng.integers(0, len(damaged), 6):
                damaged[place] = rng.integers(256)
            try:
                assert decode(bytes(damaged)).mode == "RGB"
            except PictureError:
                continue


def test_every_kind_of_picture_becomes_rgb_and_upright() -> None:
    grey16 = Image.fromarray(np.full((8, 8), 40_000, np.uint16))
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    palette = Image.new("P", (8, 8), 3)
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert decode(png(grey16)).getpixel((0, 0)) == (155, 155, 155)
    assert decode(png(clear)).getpixel((0, 0)) == (255, 255, 255)  # what is transparent is white
    assert decode(png(palette)).mode == "RGB"
    assert decode(png(cmyk, "JPEG")).mode == "RGB"
    turned = Image.new("RGB", (20, 10))
    exif = turned.getexif()
    exif[0x0112] = 6  # held upright, stored on its side
    assert decode(png(turned, "JPEG", exif=exif)).size == (10, 20)


def test_a_large_jpeg_is_unpacked_at_a_fraction_of_its_size() -> None:
    assert max(decode(png(Image.new("RGB", (4800, 3200)), "JPEG")).size) < 2500


def test_names_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(RED)
    uri = "data:image/png;base64," + base64.b64encode(RED).decode()
    assert content_of(str(path)) == content_of(uri) == content_of(RED) == RED
    for value, kind in (
        (str(tmp_path / "none.png"), "absent"),
        (str(tmp_path), "absent"),
        ("bad\0name", "absent"),
        ("https://example.org/a.png", "refused"),
        ("data:image/png;base64,***", "broken"),
    ):
        with pytest.raises(PictureError) as found:
            content_of(value)
        assert found.value.kind == kind, value
    monkeypatch.setattr(decoding, "MOST_BYTES", 10)
    for value in (str(path), RED):
        with pytest.raises(PictureError) as found:
            content_of(value)
        assert found.value.kind == "refused"


def test_faults_are_counted_and_never_end_the_work(tmp_path: Path) -> None:
    values = [RED, None, b"none", str(tmp_path / "x.png"), "http://a/b.png", RED[:50], RED]
    vectors, faults = picture_vectors(values, Mean(), tmp_path / "cache")
    assert (faults.missing, faults.absent, faults.refused, faults.broken) == (1, 1, 1, 2)
    assert_array_equal(vectors.any(axis=1), [True, False, False, False, False, False, True])
    assert_array_equal(vectors[0], vectors[6])
    assert str(faults).startswith("4 pictures cannot be read (1 absent, 1 refused, 2 broken); the first: ")


def test_what_is_in_the_cache_is_not_read_again(tmp_path: Path) -> None:
    encoder, other = Mean(), png(disc((0, 0, 255)))
    first, _ = picture_vectors([RED, other, RED, b"none"], encoder, tmp_path)
    assert encoder.read == 3  # the same bytes once
    (tmp_path / "red.png").write_bytes(RED)
    again, faults = picture_vectors([str(tmp_path / "red.png"), other, None, b"none"], encoder, tmp_path)
    assert encoder.read == 3  # by what they are, wherever they lie; what is broken, too
    assert_array_equal(again[:2], first[:2])
    assert faults.broken == 1
    encoder.version = "sha256:2"
    picture_vectors([RED], encoder, tmp_path)
    assert encoder.read == 4


def test_items_without_pictures_are_refused_and_the_remedy_named() -> None:
    for items in (pl.DataFrame({"item_id": [1]}), pl.DataFrame({"item_id": [1], "picture": [""]})):
        assert pictures_of(items) == [None]
        with pytest.raises(DataError, match="--pictures"):
            ItemPictures.of(items, Mean())


def test_the_warning_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "image_encoder", lambda name: Mean())
    items = pl.DataFrame({"item_id": [1, 2], "picture": [RED, b"none"]})
    reading = ItemPictures.of(items, Mean())
    with caplog.at_level(logging.WARNING):
        assert reading.vectors(items).any(axis=1).tolist() == [True, False]
    assert "1 pictures cannot be read (1 broken)" in caplog.text
    assert ItemPictures.from_meta(reading.to_meta()) == reading


def test_rows_from_a_network_name_no_files_of_ours() -> None:
    uri = "data:image/png;base64,AAAA"
    items = pl.DataFrame({"item_id": [1, 2, 3], "picture": ["/etc/passwd", uri, None]})
    assert without_paths(items)["picture"].to_list() == [None, uri, None]


def test_centred_rows_have_length_one_and_none_stays_none() -> None:
    vectors = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    mean = np.array([0.5, 0.5], np.float32)
    half = np.sqrt(0.5)
    assert_allclose(centred(vectors, mean), [[half, -half], [-half, half], [0, 0]], atol=1e-6)


def test_animations_show_their_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert decode(buffer.getvalue()).getpixel((0, 0)) == (255, 0, 0)
