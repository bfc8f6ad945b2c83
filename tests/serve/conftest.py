"""A service over a small fitted model, in memory of this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from honeyguide.core.dataset import Dataset
from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.content.text_profile import TextProfile
from honeyguide.models.linear.ials import IALS
from honeyguide.serve.app import create_app
from honeyguide.serve.auth import new_key
from honeyguide.serve.engine import Engine
from honeyguide.serve.service import Settings
from honeyguide.serve.store import Store


@dataclass
class Served:
    """What a test needs of a service."""

    client: TestClient
    store: Store
    engine: Engine
    folder: Path
    key: str

    def post(self, path: str, body: object, key: str | None = None) -> dict:
        answer = self.client.post(path, json=body, headers=self.auth(key))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str, key: str | None = None) -> dict:
        answer = self.client.get(path, headers=self.auth(key))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def auth(self, key: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {key or self.key}"}


@pytest.fixture(scope="session")
def models(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fitted models: ``ials`` and ``text``."""
    folder = tmp_path_factory.mktemp("served")
    save_bundle(folder / "ials", IALS(factors=16, iterations=4).fit(books), books)
    save_bundle(folder / "text", TextProfile(encoder="use").fit(books), books)
    return folder


def serve(model: Path, folder: Path, settings: Settings | None = None) -> Iterator[Served]:
    import shutil

    shutil.copytree(model, folder / "model")
    store = Store(f"sqlite:///{folder / 'store.db'}")
    key = new_key(store, "default", "all", ("read", "write", "admin"))
    engine = Engine("default", folder / "model", store)
    with TestClient(create_app(store, {"default": engine}, settings or Settings(refresh_seconds=0.05))) as client:
        yield Served(client, store, engine, folder, key)
    store.close()


@pytest.fixture
def served(models: Path, tmp_path: Path) -> Iterator[Served]:
    yield from serve(models / "ials", tmp_path)


@pytest.fixture
def reading(models: Path, tmp_path: Path) -> Iterator[Served]:
    """Over a model that reads text."""
    yield from serve(models / "text", tmp_path)
