from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft", reason="pip install 'honeyguide[lm-torch]'")
import torch
from tests.lm.tiny import write_tiny

from honeyguide.core.errors import ConfigError, TrainingError
from honeyguide.lm.local import Local, LocalConfig
from honeyguide.lm.port import Prompt
from honeyguide.lm.tuning import TuneConfig, _likelihood, _row, dpo, padded, sft

EXAMPLES = [(Prompt.of(f"{i}?", max_tokens=4), "yes" if i % 2 else "no") for i in range(8)]
FAST = TuneConfig(epochs=4, batch=2, learning_rate=1e-2, max_tokens=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


def fresh(folder: Path) -> Local:
    return Local(LocalConfig(str(folder)))


def weights(model: Local) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.network.named_parameters()}


@pytest.mark.parametrize("rank", [4, 0])
def test_answers_are_learnt_and_the_rest_is_left_alone(folder: Path, rank: int) -> None:
    model = fresh(folder)
    before, name = weights(model), model.name
    told: list[int] = []
    everywhere = ("q_proj", "v_proj", "o_proj", "up_proj", "down_proj")
    config = TuneConfig(**{**vars(FAST), "rank": rank, "targets": everywhere, "learning_rate": 3e-2})
    found = sft(model, EXAMPLES, config, lambda step, loss: told.append(step))
    assert found.losses[-1] < found.losses[0] - 0.3 and told == list(range(16))
    assert model.name != name, "another model by another name"
    after = {key.replace("base_model.model.", "").replace("base_layer.", ""): p for key, p in weights(model).items()}
    kept = [torch.equal(after[key], value) for key, value in before.items()]
    assert all(kept) if rank else not any(kept[:3])
    assert found.parameters == sum(p.numel() for p in model.network.parameters() if p.requires_grad)


def test_tokens_of_the_prompt_are_not_learnt(folder: Path) -> None:
    model = fresh(folder)
    row = _row(model, Prompt.of("ab"), "yes", 64)
    ids, labels, mask = padded([row, _row(model, Prompt.of("a longer one"), "no", 64)], model)
    learnt = labels[0][labels[0] != -100]
    assert model.tokenizer.decode(learnt) == "yes</s>" and labels.shape == ids.shape == mask.shape
    assert int(mask[0].sum()) == len(row[0]) < ids.shape[1]
    cut, start = _row(model, Prompt.of("x" * 100), "yes", 16)
    assert len(cut) == 16 and model.tokenizer.decode(cut[start:]) == "yes</s>", "the answer stays whole"


def test_apadded_batch_gives_each_answer_the_likelihood_it_has_alone(folder: Path) -> None:
    model = fresh(folder)
    rows = [_row(model, Prompt.of(text), answer, 64) for text, answer in (("ab", "yes"), ("a longer one", "no"))]
    with torch.inference_mode():
        both = _likelihood(model, rows)
        alone = torch.cat([_likelihood(model, [row]) for row in rows])
    torch.testing.assert_close(both, alone, rtol=1e-4, atol=1e-4)
    written = model.logprobs(Prompt.of("ab"), ["yes</s>"])[0].sum()
    assert float(alone[0]) == pytest.approx(float(written), rel=1e-4)


def test_the_same_run_gives_the_same_weights_also_when_it_was_interrupted(folder: Path, tmp_path: Path) -> None:
    whole = fresh(folder)
    sft(whole, EXAMPLES, FAST)
    kept = TuneConfig(**{**vars(FAST), "checkpoint": tmp_path / "c", "every": 3})

    def stop(step: int, loss: float) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sft(fresh(folder), EXAMPLES, kept, stop)
    resumed, told = fresh(folder), []
    sft(resumed, EXAMPLES, kept, lambda step, loss: told.append(step))
    assert told[0] == 6, "it goes on from the last checkpoint"
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(resumed)[name], value, rtol=0, atol=0)
    assert resumed.name == whole.name
    with pytest.raises(ConfigError, match="other data or options"):
        sft(fresh(folder), EXAMPLES[:4], kept)


def test_preferences_are_learnt(folder: Path) -> None:
    model = fresh(folder)
    pairs = [(prompt, "good", "bad") for prompt, _ in EXAMPLES]

    def lead() -> float:
        better, worse = model.logprobs(EXAMPLES[0][0], ["good", "bad"])
        return float(better.sum() - worse.sum())

    before = lead()
    found = dpo(model, pairs, TuneConfig(**{**vars(FAST), "beta": 0.5}))
    assert found.losses[0] == pytest.approx(0.6931, abs=1e-3), "log 2 before anything moved"
    assert found.losses[-1] < 0.5 and lead() > before + 1


def test_rows_of_new_tokens_are_trained_and_others_are_not(folder: Path) -> None:
    model = fresh(folder)
    new = model.add_tokens({"<item_1>": "ab", "<item_2>": "cd"})
    before = model.network.get_input_embeddings().weight.detach().clone()
    examples = [(Prompt.of("next?"), "<item_1>"), (Prompt.of("then?"), "<item_2>")] * 4
    sft(model, examples, TuneConfig(**{**vars(FAST), "new_tokens": tuple(new)}))
    merged = model.network.merge_and_unload()
    after = merged.get_input_embeddings().weight.detach()
    changed = (after != before).any(1).nonzero()[:, 0].tolist()
    assert changed == new


def test_an_adapter_is_saved_and_read(folder: Path, tmp_path: Path) -> None:
    model = fresh(folder)
    sft(model, EXAMPLES, FAST)
    model.network.save_pretrained(tmp_path)
    assert list(tmp_path.glob("*.safetensors")) and not list(tmp_path.glob("*.bin"))
    again = Local(LocalConfig(str(folder), adapter=tmp_path))
    assert again.generate([EXAMPLES[1][0]])[0].text == model.generate([EXAMPLES[1][0]])[0].text
    assert again.name != fresh(folder).name


def test_what_cannot_be_trained_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to train on"):
        sft(fresh(folder), [])
    with pytest.raises(ConfigError, match="too small"):
        TuneConfig(batch=0)
    with pytest.raises(TrainingError, match="the loss of step"):
        sft(fresh(folder), EXAMPLES, TuneConfig(rank=0, learning_rate=1e30, clip=1e30, batch=2, epochs=4))
