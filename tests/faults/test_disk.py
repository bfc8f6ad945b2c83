"""A disk that is full or broken under a running service: nothing half, no 200 for what is not kept, reads go on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.faults.kit import BROKEN, KILL, RENAME, SYNC, TRUNCATE, WRITE, Client, Control, Served, failures, posix

from honeyguide.data.store import HistoryStore

pytestmark = [posix, pytest.mark.full, pytest.mark.timeout(1800)]

READS = (
    ("POST", "/v1/recommend", {"user_id": "ann", "k": 5}),
    ("POST", "/v1/recommend", {"k": 5}),
    ("POST", "/v1/recommend", {"user_id": "ann", "explain": True}),
    ("GET", "/v1/users/ann", None),
    ("GET", "/health", None),
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk is mounted by root on Linux")
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def like(event_id: str, item: str, n: int = 1) -> dict:
    return {
        "events": [{"event_id": f"{event_id}.{i}", "user_id": "ann", "item_id": item, "kind": "like"} for i in range(n)]
    }


def events_of(client: Client, user: str = "ann") -> list[str]:
    status, found = client.ask("GET", f"/v1/users/{user}/export")
    assert status == 200
    return [row["event_id"] for row in found["events"]]


def reads_go_on(client: Client) -> int:
    for method, path, body in READS:
        status, found = client.ask(method, path, body)
        assert status == 200, (path, found)
        assert "items" not in found or found["items"], path
    return len(READS)


def fill(folder: Path) -> Path:
    """Take every byte that is left."""
    with (folder / "ballast").open("wb", buffering=0) as file:
        for block in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(block))
            except OSError:
                continue
    return folder / "ballast"


def test_a_full_disk_refuses_writes_and_reads_go_on(model, small_disk, books, tmp_path, counted):
    item = str(books.item_ids.values[3])
    store = f"sqlite:///{small_disk / 'store.db'}"
    kept, statuses, reads = [], Counter(), 0
    with Served(model, tmp_path / "service.log", "--store", store) as service:
        service.start()
        with Client(service) as client:
            for turn in range(3):
                for n in range(5):
                    status, _ = client.ask("POST", "/v1/events", like(f"{turn}.{n}", item))
                    assert status == 200
                    kept.append(f"{turn}.{n}.0")
                ballast = fill(small_disk)
                refused = None
                for n in range(200):
                    status, found = client.ask("POST", "/v1/events", like(f"full.{turn}.{n}", item, 50))
                    statuses[status] += 1
                    assert status in (200, 507), found
                    if status == 200:  # there was room in the pages that the log has
                        kept += [f"full.{turn}.{n}.{i}" for i in range(50)]
                    else:
                        assert found["remedy"] == "Make room on the disk."
                        refused = refused or like(f"full.{turn}.{n}", item, 50)
                    reads += reads_go_on(client) if n % 40 == 0 else 0
                assert refused is not None, "the disk was never full"
                for path, body in (
                    ("/v1/items", {"items": [{"item_id": f"i{n}", "fields": {"t": "x" * 9000}} for n in range(50)]}),
                    ("/v1/command", {"user_id": "ann", "command": "no fantasy " + "and shorter " * 100}),
                ):
                    status, found = client.ask("POST", path, body)
                    assert status in (200, 507), found
                    statuses[status] += 1
                assert sorted(events_of(client)) == sorted(kept)
                if turn == 1:  # started anew while the disk is full
                    service.kill()
                    service.start()
                    client = Client(service)
                    reads += reads_go_on(client)
                    assert sorted(events_of(client)) == sorted(kept)
                ballast.unlink()
                status, found = client.ask("POST", "/v1/events", refused)
                assert status == 200 and found == {"accepted": 50, "repeated": 0}, "writes work again, nothing was half"
                kept += [event["event_id"] for event in refused["events"]]
        service.kill()
        service.start()
        with Client(service) as client:
            assert sorted(events_of(client)) == sorted(kept)
    assert "Traceback" not in (tmp_path / "service.log").read_text()
    counted(refused_507=statuses[507], reads_meanwhile=reads, lost_events=0, half_batches=0)


def test_a_broken_disk_never_makes_an_answer_of_what_is_not_kept(model, control: Control, books, tmp_path, counted):
    """Every write, sync, truncation of the database fails in turn, once and from then on."""
    item, folder = str(books.item_ids.values[3]), tmp_path / "store"
    folder.mkdir()
    kept, statuses, step, injected = [], Counter(), 0, 0
    store = f"sqlite:///{folder / 'store.db'}"
    with Served(model, tmp_path / "service.log", "--store", store, control=control) as service:
        service.start()
        client = Client(service)
        for error in failures():
            for sticky in (False, True):
                for at in range(60):
                    name, n = f"{error}.{sticky}.{at}", (1, 3, 400)[at % 3]
                    batch = like(name, item, n)
                    control.arm(folder, at // 3, error, sticky=sticky, mask=WRITE | SYNC | TRUNCATE | RENAME)
                    status, found = client.ask("POST", "/v1/events", batch)
                    hit, syncs = control.hit, control.syncs
                    assert status in (200, 503, 507), found
                    if hit:
                        injected += 1
                        if sticky or hit.endswith("-wal"):
                            reads_go_on(client)
                    control.disarm()
                    if status == 200:
                        assert syncs >= 1, "acknowledged before the log was on the disk"
                    statuses[status] += 1
                    again, answer = client.ask("POST", "/v1/events", batch)
                    assert again == 200, answer
                    assert answer["accepted"] in (0, n) and (status != 200 or answer["accepted"] == 0)
                    kept += [event["event_id"] for event in batch["events"]]
                    step += 1
                assert sorted(events_of(client)) == sorted(kept)
                service.kill()
                service.start()
                client = Client(service)
                assert sorted(events_of(client)) == sorted(kept)
    assert injected > 30 and statuses[503] and statuses[507]
    assert "Traceback" not in (tmp_path / "service.log").read_text()
    counted(requests=step, failures_injected=injected, refused=statuses[503] + statuses[507], lost_events=0)


def test_a_user_deleted_on_a_broken_disk_is_deleted_by_asking_again(model, control: Control, books, tmp_path, counted):
    """Every step of a deletion fails or kills; the same request once more leaves nothing of the user anywhere."""
    item, users = str(books.item_ids.values[3]), iter(str(user) for user in books.user_ids.values)
    steps = killed = 0
    with Served(model, tmp_path / "service.log", control=control) as service:
        service.start()
        for error in (*failures(), KILL):
            for at in range(0, 400, 1 if error else 5):
                user = next(users)
                batch = like(f"{error}.{at}", item, 2)
                for event in batch["events"]:
                    event["user_id"] = user
                assert service.ask("POST", "/v1/events", batch)[0] == 200
                control.arm(model, at, error)
                status, found = 0, None
                with suppress(*BROKEN):
                    status, found = service.ask("DELETE", f"/v1/users/{user}")
                fired = control.count > at
                control.disarm()
                if status == 0:
                    assert error == KILL and fired
                    service.kill()
                    service.start()
                    killed += 1
                else:
                    assert status in ((503, 507, 200) if fired else (200,)), found
                if not fired:
                    break
                status, found = service.ask("DELETE", f"/v1/users/{user}")
                assert status == 200, found
                found = service.ask("GET", f"/v1/users/{user}/export")[1]
                assert found["history"] == [] and not any(found[t] for t in ("events", "users", "preferences"))
                assert user not in HistoryStore.open(model / "store")
                assert [p.name for p in (model / "store").glob("v*")] == [(model / "store" / "CURRENT").read_text()[:7]]
                steps += 1
    assert steps > 20 and killed > 3
    assert "Traceback" not in (tmp_path / "service.log").read_text()
    counted(steps=steps, killed=killed, left_of_the_user=0)
