from __future__ import annotations

from pathlib import Path

import pytest

from honeyguide.core.errors import ArtifactError, ConfigError
from honeyguide.lm.endpoint import Endpoint
from honeyguide.lm.port import Answer, Prompt
from honeyguide.lm.registry import language_model
from honeyguide.lm.store import AnswerStore


def test_an_endpoint_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEYGUIDE_LM_KEY", "secret")
    found = language_model("qwen3:8b@http://localhost:11434/v1", tokens=100)
    assert isinstance(found, Endpoint) and found.name == "qwen3:8b@localhost:11434"
    assert found.config.key == "secret" and found.spent.tokens == 100
    assert language_model("m@https://x/v1", key="other").config.key == "other"  # type: ignore[attr-defined]


def test_recorded_answers_by_name(tmp_path: Path) -> None:
    store, prompt = AnswerStore(tmp_path / "a.db"), Prompt.of("x")
    with pytest.raises(ArtifactError, match="answers of no model"):
        language_model(f"replay:{store.path}")
    store.put(prompt, Answer("yes", "big", prompt.key(), logprobs=(-0.5,)))
    replay = language_model(f"replay:{store.path}")
    assert replay.name == "big" and replay.generate([prompt])[0].logprobs == (-0.5,)
    store.put(prompt, Answer("no", "small", prompt.key()))
    with pytest.raises(ArtifactError, match="answers of big, small"):
        language_model(f"replay:{store.path}")


@pytest.mark.parametrize(("name", "options"), [("gpt", {}), ("m@http://x/v1", {"speed": 3}), ("", {})])
def test_wrong_names_and_options_are_refused(name: str, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="language model"):
        language_model(name, **options)
