"""A small model that services are started over, and where the counts of the tests go."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.kit import Control, Served, compiled

from honeyguide.core.dataset import Dataset
from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.linear.itemknn import ItemKNN


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The soak waits more than it works: it goes first, so that the others run beside it."""
    items.sort(key=lambda item: "test_soak" not in item.nodeid)


@pytest.fixture(scope="session")
def fitted(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fitted model, not to be changed."""
    folder = tmp_path_factory.mktemp("fitted") / "model"
    save_bundle(folder, ItemKNN().fit(books), books)
    return folder


@pytest.fixture
def model(fitted: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    shutil.copytree(fitted, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def control(library: Path, tmp_path: Path) -> Control:
    return Control(library, tmp_path / "control")


@pytest.fixture
def served(model: Path, tmp_path: Path) -> Iterator[Served]:
    """A service over the model, not started yet."""
    with Served(model, tmp_path / "service.log") as service:
        yield service


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Say what was done and found; benchmarks/faults.py reads it from the report of the run."""

    def say(**numbers: int | float) -> None:
        for name, number in numbers.items():
            record_property(name, number)
        print(", ".join(f"{name}: {number:,}" for name, number in numbers.items()))

    return say
