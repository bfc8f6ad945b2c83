"""The bundled data, read once."""

from __future__ import annotations

import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.data.load import load_data


@pytest.fixture(scope="session")
def goodbooks() -> Dataset:
    return load_data("goodbooks-mini")
