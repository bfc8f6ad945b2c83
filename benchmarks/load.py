"""The service under load: a real ``honeyguide serve`` over a synthetic catalogue of 100,000 items and 100,000 users.

python benchmarks/load.py                      # everything, and the result file
python benchmarks/load.py --rows personal      # only some rows, shown and not kept
python benchmarks/load.py --work DIR           # keep the log, the models and the vectors of texts there

The log is that of ``honeyguide data generate``, with a year and a price for every item; the models are iALS and a
two-tower network with 64 numbers an item, and a text profile, to which new items are posted. CPU is that of the
server's process, per request, all its threads together: a closed loop of eight connections asks, from a process of
its own, and users are asked for once, so that no answer and no history is in memory beforehand. The figure is the
median of three blocks of requests, with that of the least disturbed block beside it; the rate is that of the fastest.
Latencies are those of an open loop at half of that rate: Poisson arrivals, counted from when a request was due. wrk,
where it is installed, gives the rate of two rows once more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil

from _load_rows import ROWS, WARM, Asking
from honeyguide.serve.store import _INSERT_EVENT, Store
from result_file import write_result

ITEMS, USERS, EVENTS = 100_000, 100_000, 1_000_000
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")
ENVIRONMENT = os.environ | dict.fromkeys(THREADS, "1")
HONEYGUIDE = [sys.executable, "-m", "honeyguide"]
MODELS = {"ials": ("factors=64", "iterations=6"), "two-tower": ("dim=64", "epochs=1", "encoder=use")}
PIPELINE = '[diversify]\nmethod = "mmr"\nscenario = ["varied"]\n'
CONNECTIONS = 8
FRESH = 10  # items that are posted one after another
BLOCKS = 3  # of requests: the machine may be busy with something else during some of them
HERE = Path(__file__).parent


def run(*arguments: str) -> None:
    """One command of honeyguide."""
    done = subprocess.run([*HONEYGUIDE, *arguments], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode:
        raise SystemExit(f"honeyguide {' '.join(arguments)} failed:\n{done.stderr}")


def build(work: Path) -> None:
    """The log and the models, unless they are there."""
    data = work / "data"
    if not data.exists():
        sizes = ["--events", str(EVENTS), "--users", str(USERS), "--items", str(ITEMS)]
        run("data", "generate", *sizes, "--out", str(data), "-q")
        rng, table = np.random.default_rng(0), pl.read_parquet(data / "items.parquet")
        year, price = rng.integers(1950, 2026, ITEMS), np.round(rng.lognormal(2.5, 0.6, ITEMS), 2)
        table.with_columns(year=year, price=price).write_parquet(data / "items.parquet")
    for model, options in MODELS.items():
        if not (work / model).exists():
            settings = [part for option in options for part in ("--set", option)]
            run("fit", str(data), "--model", model, *settings, "--out", str(work / model), "-q")
    (work / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")


@dataclass
class Server:
    """A running service.

    Parameters
    ----------
    process
        Of the service.
    port
        Where it listens.
    first
        Wall and CPU seconds from its start to the first answered list.
    """

    process: psutil.Process
    port: int
    first: dict[str, float]

    @property
    def cpu(self) -> float:
        """CPU-seconds so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One request, by a client that closes."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=600)
        with contextlib.closing(connection):
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {text[:500]!r}")
        found: dict[str, Any] = json.loads(text)
        return found


@contextlib.contextmanager
def serving(work: Path, model: str) -> Iterator[Server]:
    """``honeyguide serve`` with an empty store of its own, from exec to the first answered list; ended afterwards."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with tempfile.TemporaryDirectory(dir=work) as place:
        arguments = ["serve", str(work / model), "--port", str(port), "--store", f"sqlite:///{place}/service.db"]
        command = [*HONEYGUIDE, *arguments, "--pipeline", str(work / "pipeline.toml")]
        started = time.perf_counter()
        child = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server = Server(psutil.Process(child.pid), port, {})
        try:
            while True:
                with contextlib.suppress(OSError):
                    server.ask("POST", "/v1/recommend", {"user_id": "1"})
                    break
                if child.poll() is not None:
                    raise SystemExit(f"{' '.join(command)} ended with {child.returncode}.")
                time.sleep(0.01)
            server.first = {"seconds": round(time.perf_counter() - started, 2), "cpu_seconds": round(server.cpu, 2)}
            yield server
        finally:
            child.terminate()
            child.wait(30)


def client(server: Server, requests: list[Asking], rate: float | None = None) -> dict[str, Any]:
    """What the client in its own process saw."""
    connections = CONNECTIONS if rate is None else 64
    spec = {"host": "127.0.0.1", "port": server.port, "connections": connections, "requests": requests, "rate": rate}
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(spec, file)
        file.flush()
        command = [sys.executable, str(HERE / "_load_client.py"), file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(server: Server, name: str) -> dict[str, Any]:
    """One row of the table: CPU and rate by a closed loop, latencies by an open one at half of that rate."""
    row = ROWS[name]
    requests = row.requests(server.ask)
    warm, half = requests[:WARM], (len(requests) - WARM) // 2
    client(server, warm)
    blocks, costs = [], []
    for block in np.array_split(np.arange(WARM, WARM + half), BLOCKS):
        before = server.cpu
        blocks.append(client(server, requests[block[0] : block[-1] + 1]))
        costs.append(1e6 * (server.cpu - before) / len(block))
    rate = max(block["answers"] / block["seconds"] for block in blocks)
    loaded = client(server, requests[WARM + half :], rate / 2)
    return {
        "row": name,
        "requests": half,
        "errors": loaded["errors"] + sum(block["errors"] for block in blocks),
        "per_second": round(rate, 1),
        "cpu_us": round(float(np.median(costs))),
        "cpu_us_least": round(min(costs)),
        "units": row.units,
        "half_load": {key: loaded[key] for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")},
        "rss_mb": round(server.process.memory_info().rss / 2**20),
    }


def wrk(server: Server, name: str) -> float | None:
    """Requests a second that wrk reaches; ``None`` where it is not installed."""
    program = shutil.which("wrk")
    if program is None:
        return None
    rows = [f"{method}\t{path}\t{body or ''}" for method, path, body in ROWS[name].requests(server.ask)[WARM:]]
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as file:
        file.write("\n".join(rows))
        file.flush()
        load = ["-t1", f"-c{CONNECTIONS}", "-d4s", "-s", str(HERE / "_load.lua"), f"http://127.0.0.1:{server.port}"]
        done = subprocess.run([program, *load, file.name], capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Requests/sec:")]
    return float(line.split()[1])


def bare_sqlite(work: Path, batches: int = 600) -> dict[str, int]:
    """Events a second of Python's sqlite3 alone: WAL, synchronous=FULL, one transaction for a hundred events.

    Once into the table of the service, which is asked for the events of a user, and once into one with a key alone.
    """
    import sqlite3

    rng, seconds = np.random.default_rng(0), {}
    one_key = "CREATE TABLE events (id TEXT PRIMARY KEY, user TEXT, item TEXT, kind TEXT, at INTEGER)"
    for name, insert in {
        "one key": "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)",
        "service": _INSERT_EVENT,
    }.items():
        with tempfile.TemporaryDirectory(dir=work) as place:
            if name == "service":
                Store(f"sqlite:///{place}/bare.db").close()
            connection = sqlite3.connect(f"{place}/bare.db", isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            if name == "one key":
                connection.execute(one_key)
            started = time.perf_counter()
            for batch in range(batches):
                users, items = rng.integers(0, USERS, 100).tolist(), rng.integers(0, ITEMS, 100).tolist()
                both = [(f"e{batch}-{n}", str(u), str(i)) for n, (u, i) in enumerate(zip(users, items, strict=True))]
                if name == "service":
                    rows = [("default", *of, "view", 1.0, batch, batch) for of in both]
                else:
                    rows = [(*of, "view", batch) for of in both]
                connection.execute("BEGIN")
                connection.executemany(insert, rows)
                connection.execute("COMMIT")
            seconds[name] = time.perf_counter() - started
            connection.close()
    return {name: round(100 * batches / took) for name, took in seconds.items()}


def fresh_item(server: Server) -> dict[str, Any]:
    """Seconds from the posting of an item to the first list that has it: one that reads like a person's first."""
    found = []
    for number, user in enumerate(np.random.default_rng(1).integers(0, USERS, FRESH).tolist()):
        (first,) = server.ask("POST", "/v1/recommend", {"user_id": str(user), "k": 1})["items"]
        name, fields = str(10_000_000 + number), {key: first["fields"][key] for key in ("title", "category")}
        before, started = server.cpu, time.perf_counter()
        server.ask("POST", "/v1/items", {"items": [{"item_id": name, "fields": fields}]})
        posted = time.perf_counter() - started
        shown = None
        while shown is None and time.perf_counter() - started < 5:
            items = server.ask("POST", "/v1/recommend", {"user_id": str(user), "k": 10})["items"]
            shown = next((item["rank"] for item in items if item["item_id"] == name), None)
        took = {"seconds": time.perf_counter() - started, "posted": posted, "cpu_seconds": server.cpu - before}
        found.append({**{key: round(value, 3) for key, value in took.items()}, "rank": shown})
    return {"row": "new item", "tries": found}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=None)
    parser.add_argument("--model", choices=list(MODELS), default="ials")
    parser.add_argument("--work", type=Path, default=None)
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = asked.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        ENVIRONMENT["HONEYGUIDE_CACHE"] = str(work / "cache")
        build(work)
        if asked.rows is not None:
            with serving(work, asked.model) as server:
                print(json.dumps({"first": server.first}))
                settled(server)
                for name in asked.rows:
                    print(json.dumps(measure(server, name)), flush=True)
            return
        results = everything(work)
    write_result(
        "load",
        results,
        dataset=f"synthetic (honeyguide data generate), {EVENTS:,} events, {USERS:,} users, {ITEMS:,} items, seed 0",
        split="none",
        protocol=f"{CONNECTIONS} connections in a closed loop; latencies of Poisson arrivals at half of its rate, from "
        "when a request was due; CPU of the server's process; one thread for linear algebra",
        seeds=[0],
        config={model: dict(option.split("=") for option in options) for model, options in MODELS.items()},
        whole=True,
    )


def settled(server: Server) -> None:
    """Wait for what the service prepares behind its first answers."""
    while server.ask("GET", "/health")["warming"]:
        time.sleep(0.2)


def everything(work: Path) -> dict[str, Any]:
    """All rows."""
    rows, starts = [], []
    for _ in range(2):
        with serving(work, "ials") as server:
            starts.append(server.first)
    with serving(work, "ials") as server:
        starts.append(server.first)
        settled(server)
        for name in ROWS:
            rows.append(measure(server, name))
            print(json.dumps(rows[-1]), flush=True)
        bare = [bare_sqlite(work) for _ in range(3)]
        by_wrk = {name: wrk(server, name) for name in ("health", "personal")}
    with serving(work, "two-tower") as server:
        settled(server)
        two_tower = measure(server, "personal") | {"row": "personal, two-tower"}
    with serving(work, "text-profile") as server:
        settled(server)
        fresh = fresh_item(server)
    load = [round(x, 1) for x in os.getloadavg()]
    return {
        "rows": [*rows, two_tower],
        "start": starts,
        "bare_sqlite3": bare,
        "wrk": by_wrk,
        "fresh": fresh,
        "load_average": load,
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
