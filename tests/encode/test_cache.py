"""The cache: the same vectors, less work, and no harm from damage, crashes or company."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from honeyguide.core.ragged import FloatArray
from honeyguide.encode import cache
from honeyguide.encode.cache import MANY, VectorCache, cache_folder, encode_cached


class Letters:
    """An encoder that counts letters, and what it was asked."""

    modality = "text"
    dim = 26

    def __init__(self, name: str = "letters", version: str = "sha256:1") -> None:
        self.name, self.version = name, version
        self.asked: list[str] = []

    def encode(self, assets: Sequence[str]) -> FloatArray:
        self.asked += assets
        counts = [[text.count(chr(97 + i)) for i in range(26)] for text in assets]
        return np.array(counts, np.float32).reshape(-1, 26) / np.float32(3)


TEXTS = ["abc", "banana", "", "abc", "zebra"]


def read(encoder: Letters, folder: Path, texts: Sequence[str] = TEXTS) -> FloatArray:
    return encode_cached(encoder, texts, str.encode, folder)


def test_what_was_read_once_is_not_read_again(tmp_path: Path) -> None:
    first, second = Letters(), Letters()
    assert_array_equal(read(first, tmp_path), Letters().encode(TEXTS))
    assert sorted(first.asked) == ["", "abc", "banana", "zebra"], "repeated texts are read once"
    assert_array_equal(read(second, tmp_path), Letters().encode(TEXTS))
    assert second.asked == []
    assert_array_equal(read(second, tmp_path, ["new", "zebra"]), Letters().encode(["new", "zebra"]))
    assert second.asked == ["new"]


def test_another_version_name_or_modality_shares_nothing(tmp_path: Path) -> None:
    read(Letters(), tmp_path)
    picture = Letters()
    picture.modality = "image"
    for other in (Letters(version="sha256:2"), Letters(name="other"), picture):
        read(other, tmp_path)
        assert len(other.asked) == 4


def test_the_size_is_that_of_the_vectors_and_the_texts_are_not_in_it(tmp_path: Path) -> None:
    texts = [f"a secret {i}" for i in range(500)]
    read(Letters(), tmp_path, texts)
    size = VectorCache(Letters(), tmp_path).size_bytes
    assert 500 * (4 * 26 + 16) <= size <= 500 * (4 * 26 + 16) + 1000
    assert all(b"secret" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_a_damaged_shard_is_set_aside_and_made_again(
    tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    read(Letters(), tmp_path)
    (shard,) = tmp_path.rglob("*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes({"flip": bytes(content), "cut": bytes(content[:-7]), "empty": b""}[harm])
    again, once_more = Letters(), Letters()
    with caplog.at_level(logging.WARNING):
        assert_array_equal(read(again, tmp_path), Letters().encode(TEXTS))
    assert "damaged" in caplog.text
    assert len(again.asked) == 4
    assert len(list(tmp_path.rglob("*.damaged"))) == 1
    assert_array_equal(read(once_more, tmp_path), Letters().encode(TEXTS))
    assert once_more.asked == []


def test_a_few_texts_are_not_looked_for_in_a_large_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(Letters(), tmp_path)
    monkeypatch.setattr(cache, "WORTH", VectorCache(Letters(), tmp_path).size_bytes // 3)
    few, many = Letters(), Letters()
    assert_array_equal(read(few, tmp_path, ["zebra", "abc", "zebra"]), Letters().encode(["zebra", "abc", "zebra"]))
    assert sorted(few.asked) == ["abc", "zebra"]
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1, "and they make no files of their own"
    read(many, tmp_path)
    assert many.asked == [], "many are"


def test_many_small_shards_are_joined_and_nothing_is_lost(tmp_path: Path) -> None:
    texts = ["x" * i for i in range(3 * MANY)]
    for text in texts:
        read(Letters(), tmp_path, [text])
    assert len(list(tmp_path.rglob("*.safetensors"))) < MANY
    encoder = Letters()
    assert_array_equal(read(encoder, tmp_path, texts), Letters().encode(texts))
    assert encoder.asked == []


def test_a_shard_that_another_process_joined_away_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(Letters(), tmp_path)
    kept = VectorCache(Letters(), tmp_path)
    gone = [*kept._shards(), kept.folder / f"{'0' * 64}.safetensors"]
    monkeypatch.setattr(VectorCache, "_shards", lambda self: gone)
    assert kept.get(kept.keys([b"abc", b"never"]))[1].tolist() == [True, False]


def test_a_write_that_was_cut_off_is_not_read(tmp_path: Path) -> None:
    read(Letters(), tmp_path)
    (shard,) = tmp_path.rglob("*.safetensors")
    shard.with_name(".new-1234").write_bytes(shard.read_bytes()[:50])
    encoder = Letters()
    read(encoder, tmp_path)
    assert encoder.asked == []


def test_a_folder_that_cannot_be_written_to_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "vectors").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert_array_equal(read(Letters(), tmp_path), Letters().encode(TEXTS))
    assert "cannot be written to" in caplog.text


def test_processes_that_write_at_once_keep_everything(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_cache import Letters, read\n"
        "for i in range(60): read(Letters(), Path(sys.argv[2]), ['shared %d' % i, sys.argv[3] * (i + 1)])\n"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    running = [subprocess.Popen([*command, letter]) for letter in "pq"]
    assert [process.wait(120) for process in running] == [0, 0]
    texts = [f"shared {i}" for i in range(60)] + [letter * (i + 1) for letter in "pq" for i in range(60)]
    encoder = Letters()
    assert_array_equal(read(encoder, tmp_path, texts), Letters().encode(texts))
    assert encoder.asked == []
    assert not list(tmp_path.rglob("*.damaged"))


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HONEYGUIDE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("HONEYGUIDE_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "honeyguide"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "honeyguide"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "honeyguide"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "honeyguide" / "Cache"
