"""A service over a small fitted model, in memory of this process.

Its store is in SQLite, or where ``HONEYGUIDE_TEST_STORE_URL`` says: ``make test-postgres``.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, make_url, text

from honeyguide.core.dataset import Dataset
from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.content.text_profile import TextProfile
from honeyguide.models.linear.ials import IALS
from honeyguide.serve.app import create_app
from honeyguide.serve.auth import new_key
from honeyguide.serve.engine import Engine
from honeyguide.serve.service import Service, Settings
from honeyguide.serve.store import Store


@dataclass
class Served:
    """What a test needs of a service."""

    client: TestClient
    store: Store
    url: str
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

    def new_key(self, *scopes: str, tenant: str = "default") -> str:
        """A key that is known at once."""
        made = new_key(self.store, tenant, f"{tenant} {' '.join(scopes)}", scopes)
        self.service.authority._looked = -10.0
        return made

    @property
    def service(self) -> Service:
        return self.client.app.state.service  # type: ignore[attr-defined]

    def auth(self, key: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {key or self.key}"}


@pytest.fixture(scope="session")
def models(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fitted models: ``ials`` and ``text``."""
    folder = tmp_path_factory.mktemp("served")
    save_bundle(folder / "ials", IALS(factors=16, iterations=4).fit(books), books)
    save_bundle(folder / "text", TextProfile(encoder="use").fit(books), books)
    return folder


@pytest.fixture
def store_url(tmp_path: Path) -> Iterator[str]:
    """An empty database: a file of its own, or a schema of its own on the server that is named."""
    server = os.environ.get("HONEYGUIDE_TEST_STORE_URL")
    if server is None:
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    schema = f"test_{secrets.token_hex(6)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
        url = make_url(server).update_query_dict({"options": f"-csearch_path={schema}"})
        yield url.render_as_string(hide_password=False)
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store in it."""
    found = Store(store_url)
    yield found
    found.close()


def serve(model: Path, folder: Path, url: str, settings: Settings | None = None) -> Iterator[Served]:
    """A service, as its client sees it."""
    shutil.copytree(model, folder / "model")
    store = Store(url)
    key = new_key(store, "default", "all", ("read", "write", "admin"))
    engine = Engine("default", folder / "model", store)
    with TestClient(create_app(store, {"default": engine}, settings or Settings(refresh_seconds=0.05))) as client:
        yield Served(client, store, url, engine, folder, key)
    store.close()


@pytest.fixture
def served(models: Path, tmp_path: Path, store_url: str) -> Iterator[Served]:
    """Over a model without text."""
    yield from serve(models / "ials", tmp_path, store_url)


@pytest.fixture
def reading(models: Path, tmp_path: Path, store_url: str) -> Iterator[Served]:
    """Over a model that reads text."""
    yield from serve(models / "text", tmp_path, store_url)
