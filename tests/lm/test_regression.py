from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft", reason="pip install 'honeyguide[lm-torch]'")
import torch
from tests.lm.tiny import write_tiny

from honeyguide.core.errors import ConfigError
from honeyguide.lm.local import Local, LocalConfig
from honeyguide.lm.port import Prompt
from honeyguide.lm.regression import regress
from honeyguide.lm.tuning import TuneConfig

EXAMPLES = [(Prompt.of("ab"[i % 2] * (1 + i % 3)), 1.0 + 4 * (i % 2)) for i in range(24)]
FAST = TuneConfig(epochs=10, batch=6, learning_rate=1e-2, max_tokens=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


def fresh(folder: Path) -> Local:
    return Local(LocalConfig(str(folder)))


def test_numbers_are_learnt_and_told_for_prompts_that_were_not_seen(folder: Path) -> None:
    model = fresh(folder)
    found = regress(model, EXAMPLES, FAST)
    assert "+" in model.name, "another model by another name"
    low, high = found.predict([Prompt.of("aaaaa"), Prompt.of("bbbb")])
    assert low < 2 and high > 4, (low, high)
    assert found.tuned.losses[-1] < 0.2 < found.tuned.losses[0]


def test_the_first_answer_is_the_mean_and_the_loss_the_squared_error(folder: Path) -> None:
    found = regress(fresh(folder), EXAMPLES, TuneConfig(batch=24, learning_rate=1e-12))
    assert found.tuned.losses == [pytest.approx(1.0, abs=1e-5)]  # of values of variance one, told as 0
    assert found.predict([Prompt.of("x")]) == pytest.approx([3.0], abs=1e-4)
    assert found.tuned.parameters == 33 + sum(p.numel() for p in found.model.network.parameters() if p.requires_grad), (
        "the head is trained beside the LoRA matrices"
    )


def test_what_is_told_does_not_depend_on_who_is_asked_beside(folder: Path) -> None:
    found = regress(fresh(folder), EXAMPLES, TuneConfig(epochs=2, batch=6, learning_rate=1e-2))
    prompts = [Prompt.of("a" * n) for n in (1, 9, 4, 30, 2)]
    together = found.predict(prompts, batch=5)
    alone = np.concatenate([found.predict([prompt]) for prompt in prompts])
    assert np.allclose(together, alone, atol=1e-4)
    with torch.inference_mode():
        state = found.model.hidden([found.model.tokenizer.decode(found.model.ids(prompts[0]))])[0][-1]
    by_hand = found.mean + found.deviation * float(
        found.head.weight[0].detach().numpy() @ state + found.head.bias.item()
    )
    assert by_hand == pytest.approx(alone[0], abs=1e-3)


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(folder: Path, tmp_path: Path) -> None:
    config = TuneConfig(**{**vars(FAST), "epochs": 2})
    whole = regress(fresh(folder), EXAMPLES, config)
    kept = TuneConfig(**{**vars(config), "checkpoint": tmp_path, "every": 3})

    class Stopped(Exception):
        pass

    def stop(step: int, loss: float) -> None:
        if step == 4:
            raise Stopped

    with pytest.raises(Stopped):
        regress(fresh(folder), EXAMPLES, kept, stop)
    again = regress(fresh(folder), EXAMPLES, kept)
    assert again.model.name == whole.model.name
    assert again.head.weight.equal(whole.head.weight)


def test_numbers_that_are_none_are_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="example 1 has the value nan"):
        regress(fresh(folder), [(Prompt.of("a"), 1.0), (Prompt.of("b"), float("nan"))])
    with pytest.raises(ConfigError, match="nothing to train on"):
        regress(fresh(folder), [])
