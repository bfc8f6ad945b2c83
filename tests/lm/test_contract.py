"""What every back end keeps to, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.lm.server import serving
from tests.lm.tiny import write_tiny

from honeyguide.core.errors import CapabilityError
from honeyguide.lm.endpoint import Endpoint, EndpointConfig
from honeyguide.lm.llama import Llama, LlamaConfig
from honeyguide.lm.local import Local, LocalConfig
from honeyguide.lm.port import BACK_ENDS, LM, LMError, Prompt
from honeyguide.lm.store import AnswerStore, Kept, Replay, refuse_targets

CLASSES: dict[str, type[LM]] = {"llama.cpp": Llama, "transformers": Local, "endpoint": Endpoint, "replay": Replay}
SCHEMA = {"type": "object", "properties": {"echo": {"enum": [1, 2]}}, "required": ["echo"]}
ASK = Prompt.of("Say a word.", max_tokens=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers", reason="pip install 'honeyguide[lm-torch]'")
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(params=list(CLASSES))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., LM]]:
    """Makes a back end, with a budget or without."""
    if request.param == "llama.cpp":
        smollm2 = request.getfixturevalue("smollm2")
        yield lambda tokens=None: smollm2 if tokens is None else Llama(LlamaConfig(smollm2.file, tokens=tokens))
    elif request.param == "transformers":
        folder = request.getfixturevalue("folder")
        yield lambda tokens=None: Local(LocalConfig(str(folder), tokens=tokens))
    elif request.param == "endpoint":
        with serving() as (url, _):
            yield lambda tokens=None: Endpoint(EndpointConfig(url, "tiny", tokens=tokens, concurrency=1))
    else:
        with serving() as (url, _):
            store = AnswerStore(tmp_path / "answers.db")
            inner = Endpoint(EndpointConfig(url, "tiny"))
            Kept(inner, store).generate([ASK, Prompt.of("Another.", max_tokens=4)])
            yield lambda tokens=None: Replay(inner.name, store)


def works(model: LM, capability: str) -> None:
    """Use a capability and look at what comes out."""
    if capability == "generate":
        told: list[int] = []
        (answer,) = model.generate([ASK], lambda place, answer: told.append(place))
        assert answer.text and told == [0] and answer.model == model.name and answer.prompt == ASK.key()
    elif capability == "schema":
        (answer,) = model.generate([Prompt.of("Echo.", schema=SCHEMA, max_tokens=32)])
        assert answer.data()["echo"] in (1, 2)
    elif capability == "choose":
        found = model.choose(ASK, ["one", "two", "three"], calibrate=Prompt.of("Say."))
        assert found.probabilities.sum() == pytest.approx(1) and found.passes == 4
    elif capability == "logprobs":
        first, second = model.logprobs(ASK, ["ab", "c"])
        assert len(first) >= 1 and max(first.max(), second.max()) <= 0
    elif capability == "hidden":
        assert model.hidden(["ab"])[0].ndim == 2
    elif capability == "embed":
        assert model.embed(["ab", "c"]).shape[0] == 2
    elif capability == "forward":
        import torch

        assert isinstance(model, Local)
        vectors = torch.zeros(1, 3, model.network.config.hidden_size)
        assert model.forward(vectors, torch.ones(1, 3, dtype=torch.long)).shape == vectors.shape
    else:
        if find_spec("peft") is None:
            pytest.skip("peft is not installed: pip install 'honeyguide[lm-torch]'")
        from honeyguide.lm.tuning import TuneConfig, sft

        assert isinstance(model, Local)
        assert len(sft(model, [(ASK, "yes")], TuneConfig(batch=1)).losses) == 1


@pytest.mark.parametrize("capability", list(BACK_ENDS))
def test_what_is_declared_works_and_what_is_not_names_one_that_can(make: Callable[..., LM], capability: str) -> None:
    model = make()
    if capability in model.capabilities:
        works(model, capability)
        return
    others = BACK_ENDS[capability]  # type: ignore[index]
    assert others and all(capability in CLASSES[name].capabilities for name in others)
    with pytest.raises(CapabilityError, match=f"cannot {capability}.*: {', '.join(others)}"):
        model.require(capability)  # type: ignore[arg-type]


def test_the_table_of_remedies_is_what_the_classes_declare() -> None:
    for capability, names in BACK_ENDS.items():
        assert set(names) == {name for name, cls in CLASSES.items() if capability in cls.capabilities}, capability


def test_the_same_prompt_has_the_same_answer(make: Callable[..., LM]) -> None:
    model, other = make(), Prompt.of("Another.", max_tokens=4)
    first = model.generate([ASK])[0].text
    assert [answer.text for answer in model.generate([other, ASK])][1] == first


def test_a_spent_budget_ends_a_batch_after_what_it_paid_for(make: Callable[..., LM]) -> None:
    model = make(tokens=1)
    if isinstance(model, Replay):
        pytest.skip("recorded answers cost nothing")
    told: list[int] = []
    with pytest.raises(LMError, match="budget of 1 tokens is spent"):
        model.generate([ASK, ASK], lambda place, answer: told.append(place))
    assert told == [0]


def test_answers_are_kept_and_marked_where_the_target_was_seen(make: Callable[..., LM], tmp_path: Path) -> None:
    model = Kept(make(), AnswerStore(tmp_path / "kept.db"))
    first, again = model.generate([ASK])[0], model.generate([ASK])[0]
    assert again.cached and again.text == first.text
    refuse_targets([first])
    seen = Prompt.of("Say a word.", max_tokens=4, saw_target=True)
    with pytest.raises(LMError, match="with the target in the prompt"):
        refuse_targets(model.generate([seen]))


def test_vectors_of_a_text_are_the_same_alone_and_in_company(make: Callable[..., LM]) -> None:
    model = make()
    if "embed" not in model.capabilities:
        pytest.skip("it does not embed")
    np.testing.assert_allclose(model.embed(["ab", "much longer text"])[0], model.embed(["ab"])[0], rtol=1e-3, atol=1e-3)
