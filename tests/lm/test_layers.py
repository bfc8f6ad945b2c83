"""Layers of language models by themselves are what they are in the model, and a causal model becomes an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
import torch
from numpy.testing import assert_allclose, assert_array_equal
from tests.lm.tiny import write_tiny

from honeyguide.core.requests import Requests
from honeyguide.data.build import build
from honeyguide.encode.text import text_encoder
from honeyguide.lm.layers import Layers, SequenceLayers, base_model, configuration, pretrained, sentence_folder
from honeyguide.lm.port import LMError
from honeyguide.models.language.hllm import HLLM
from honeyguide.models.registry import load_model

BERT = {"model_type": "bert", "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 50}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def sentences(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HONEYGUIDE_CACHE", str(tmp_path / "cache"))
    yield sentence_folder(str(folder), tokens=16)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_layers_on_the_states_below_give_what_the_model_gives(family: str, folder: Path) -> None:
    torch.manual_seed(0)
    model = base_model({**BERT, "num_hidden_layers": 2}) if family == "bert" else pretrained(folder)
    ids, seen = torch.randint(4, 40, (3, 7)), torch.arange(7) < torch.tensor([[7], [4], [1]])
    with torch.no_grad():
        whole = model(input_ids=ids, attention_mask=seen.long(), output_hidden_states=True)
        for kept in (0, 1):
            top = Layers(model, slice(kept, 2), causal=family == "llama").eval()
            found = top(whole.hidden_states[kept], seen)
            assert_allclose(found[seen], whole.last_hidden_state[seen], atol=1e-5)


def test_layers_for_sequences_read_nothing_later_and_start_as_the_model(folder: Path) -> None:
    made = SequenceLayers(8, configuration(folder), 1).eval()
    made.load(folder)
    given = pretrained(folder).layers[0].state_dict()
    for name, weight in made.layers.stack[0].state_dict().items():
        assert_array_equal(weight, given[name])
    x = torch.randn(2, 5, 8)
    changed = x.clone()
    changed[:, 3:] += 1.0
    with torch.no_grad():
        assert_allclose(made(x)[:, :3], made(changed)[:, :3], atol=1e-6)
        assert not np.allclose(made(x)[:, 3:], made(changed)[:, 3:])


def test_a_causal_model_is_an_encoder_by_its_last_token(sentences: Path, folder: Path) -> None:
    texts = ["blue tea", "a car"]
    encoder = text_encoder(str(sentences))
    assert encoder.dim == 32
    model = pretrained(folder)
    found = encoder.encode(texts)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    for row, text in enumerate(texts):
        with torch.no_grad():
            last = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, -1]
        assert_allclose(found[row], last / last.norm(), atol=1e-5)
    assert sentence_folder(str(folder), tokens=16) == sentences


def test_hllm_of_a_causal_model_on_both_sides(sentences: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    users, steps = np.repeat(np.arange(20), 4), np.tile(np.arange(4), 20)
    events = pl.DataFrame({"user_id": users, "item_id": (users + steps) % 10, "position": steps})
    items = pl.DataFrame({"item_id": np.arange(10), "title": [f"thing {'abcdefghij'[i]} of ten" for i in range(10)]})
    options = {"dim": 8, "hidden": 0, "epochs": 1, "negatives": 8, "max_len": 4, "tokens": 16, "lr": 1e-9}
    model = HLLM(**options, text=str(sentences), tuned=1, user=str(sentences), user_layers=1)
    data = build("ten", events, items)
    model.fit(data)
    frozen = HLLM(**options, text=str(sentences)).fit(data)
    assert_allclose(model._tuned(["thing a of ten"])(torch.tensor([0])).detach(), _vector(sentences), atol=1e-5)
    assert frozen.item_vectors().shape == model.item_vectors().shape
    model.save(tmp_path)
    asked = Requests(data.histories())
    assert_array_equal(load_model(tmp_path).score(asked), model.score(asked))


def _vector(sentences: Path) -> np.ndarray:
    return text_encoder(str(sentences)).encode(["thing a of ten"])


def test_another_family_or_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(LMError, match="not built like BERT or Llama"):
        Layers(torch.nn.Identity(), slice(0, 1), causal=True)
    with pytest.raises(LMError, match="holds no model"):
        pretrained(tmp_path)
