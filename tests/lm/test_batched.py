from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("peft", reason="pip install 'honeyguide[lm-torch]'")
from tests.lm.tiny import write_tiny

from honeyguide.core.errors import ConfigError
from honeyguide.lm.batched import base_vectors, complete
from honeyguide.lm.local import Local, LocalConfig
from honeyguide.lm.port import Prompt
from honeyguide.lm.tuning import TuneConfig, put_arrays, sft, trained_arrays

PROMPTS = [Prompt.of(text, max_tokens=5) for text in ("a", "a much longer question", "what?", "b", "and then?")]
FAST = TuneConfig(epochs=2, batch=2, learning_rate=1e-2, max_tokens=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny(tmp_path_factory.mktemp("tiny") / "lm"))


@pytest.fixture(scope="module")
def model(folder: str) -> Local:
    return Local(LocalConfig(folder))


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_answers_are_those_of_one_after_the_other(model: Local, batch: int) -> None:
    done: list[int] = []
    found = complete(model, PROMPTS, max_tokens=5, batch=batch, on_batch=done.append)
    assert found == [answer.text for answer in model.generate(PROMPTS)]
    assert done[-1] == 5 and complete(model, [], max_tokens=5) == []


def test_beams_find_no_less_likely_an_answer(model: Local) -> None:
    for prompt, greedy, wide in zip(
        PROMPTS, complete(model, PROMPTS, max_tokens=3), complete(model, PROMPTS, max_tokens=3, beams=4), strict=True
    ):
        if greedy and len(greedy) == len(wide):
            a, b = (float(v.sum()) for v in model.logprobs(prompt, [greedy, wide]))
            assert b >= a - 1e-5


def test_vectors_are_of_the_model_before_it_was_tuned(folder: str) -> None:
    tuned = Local(LocalConfig(folder))
    before = base_vectors(tuned, ["Heat", "Emma"])
    sft(tuned, [(PROMPTS[0], "yes")] * 4, FAST)
    np.testing.assert_allclose(base_vectors(tuned, ["Heat", "Emma"]), before, atol=1e-6)
    assert not np.allclose(tuned.hidden(["Heat"])[0][-1], before[0], atol=1e-3), "which it is not any more"
    mean = base_vectors(tuned, ["Heat"], mean=True)
    assert mean.shape == before[:1].shape and not np.allclose(mean, before[:1])


def test_what_was_tuned_is_put_into_the_model_as_it_was(folder: str) -> None:
    tuned = Local(LocalConfig(folder))
    sft(tuned, [(PROMPTS[0], "yes")] * 4, FAST)
    again = Local(LocalConfig(folder))
    arrays = trained_arrays(tuned, FAST)
    put_arrays(again, FAST, arrays)
    assert again.name == tuned.name and complete(again, PROMPTS, max_tokens=5) == complete(tuned, PROMPTS, max_tokens=5)
    with pytest.raises(ConfigError, match="another model or rank"):
        put_arrays(Local(LocalConfig(folder)), TuneConfig(rank=2), arrays)
