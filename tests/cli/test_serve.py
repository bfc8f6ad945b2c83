"""The service as an operator starts it: a process of its own, asked over HTTP."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.cli.serve import is_loopback
from honeyguide.core.dataset import Dataset
from honeyguide.experiment.bundle import save_bundle
from honeyguide.models.linear.itemknn import ItemKNN

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def model(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service") / "model"
    save_bundle(folder, ItemKNN().fit(books), books)
    return folder


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ask(port: int, path: str, body: object = None, key: str | None = None) -> dict:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers), timeout=20
    ) as answer:
        return json.loads(answer.read())


def start(model: Path, port: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "honeyguide", "serve", str(model), "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            assert ask(port, "/health")["status"] == "ok"
            return process
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
    raise AssertionError("the service did not start")


def run(*arguments: object, code: int = 0) -> str:
    result = RUNNER.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout if code == 0 else result.stderr


def test_a_service_from_start_to_restore(model: Path, books: Dataset, tmp_path: Path) -> None:
    port = free_port()
    item = str(books.item_ids.values[7])
    process = start(model, port)
    try:
        assert ask(port, "/v1/recommend", {"k": 3})["source"] == "popular", "without a key, from this machine"
        events = [{"event_id": str(i), "user_id": "new", "item_id": item, "kind": "like"} for i in range(2)]
        assert ask(port, "/v1/events", {"events": events})["accepted"] == 2
        run("backup", model, "--out", tmp_path / "copy.db")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db"]
        assert "is in use" in run("restore", model, tmp_path / "copy.db", "--force", code=2)
        secret = run("keys", "create", "shop", "--model", model, "--scope", "read", "--scope", "admin").strip()
        time.sleep(2.1)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(port, "/v1/recommend", {"k": 3})
        assert ask(port, "/v1/recommend", {"user_id": "new", "k": 3}, secret)["source"] == "personal"
        (shop,) = json.loads(run("keys", "list", "--model", model, "--json"))["keys"]
        token = run("keys", "token", shop["id"], "--user", "new", "--model", model).strip()
        assert ask(port, "/v1/recommend", {"user_id": "new", "k": 3}, token)["source"] == "personal"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            ask(port, "/v1/recommend", {"user_id": "another"}, token)
    finally:
        process.kill()
        process.wait()
    listed = json.loads(run("keys", "list", "--model", model, "--json"))["keys"]
    assert listed[0]["scopes"] == "admin read" and secret not in json.dumps(listed)
    run("keys", "revoke", listed[0]["id"], "--model", model)
    assert "--force" in run("restore", model, tmp_path / "copy.db", code=2)
    run("restore", model, tmp_path / "copy.db", "--force")
    port = free_port()
    process = start(model, port)
    try:
        assert ask(port, "/v1/recommend", {"user_id": "new", "k": 3})["source"] == "personal"
    finally:
        process.kill()
        process.wait()


def test_nobody_else_is_listened_to_without_a_key(model: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'empty.db'}"
    said = run("serve", model, "--host", "0.0.0.0", "--store", store, code=2)
    assert "no API key" in said and "keys create" in said
    assert is_loopback("127.0.0.1") and is_loopback("localhost") and is_loopback("::1")
    assert not is_loopback("0.0.0.0") and not is_loopback("no.such.host.invalid")


def test_what_cannot_be_served_or_restored_is_explained(model: Path, tmp_path: Path) -> None:
    assert "honeyguide fit" in run("serve", tmp_path / "none", "--store", f"sqlite:///{tmp_path / 's.db'}", code=2)
    assert "no tenant" in run("serve", model, "--tenant", "Shop", "--store", f"sqlite:///{tmp_path / 't.db'}", code=2)
    (tmp_path / "damaged.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    assert "no store" in run(
        "restore", model, tmp_path / "damaged.db", "--store", f"sqlite:///{tmp_path / 'u.db'}", code=4
    )
    assert "'none' names 0 keys" in run("keys", "revoke", "none", "--store", f"sqlite:///{tmp_path / 'v.db'}", code=2)


def test_a_port_that_is_taken_is_said_before_anything_is_served(model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = RUNNER.invoke(app, ["serve", str(model), "--port", str(taken.getsockname()[1])])
    assert done.exit_code != 0 and "--port" in str(done.exception) + done.output and "Serving" not in done.output
