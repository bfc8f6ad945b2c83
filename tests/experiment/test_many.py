"""The same jobs on two Ray nodes of this machine, on the loopback interface, as without Ray."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import HoneyguideError, MissingExtraError
from honeyguide.experiment import many
from honeyguide.experiment.bundle import open_bundle, save_bundle
from honeyguide.experiment.child import environment
from honeyguide.experiment.compare import Options, compare
from honeyguide.experiment.everybody import recommend_everybody
from honeyguide.experiment.many import Job, run_jobs, run_there
from honeyguide.models.linear.ials import IALS

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "150",  # a busy machine needs more than the usual half a minute
    "RAY_agent_register_timeout_ms": "150000",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
MODULE = """
import json, sys
from pathlib import Path
spec = json.loads(Path(sys.argv[1]).read_text())
if spec["number"] == 13: sys.exit(3)
Path(sys.argv[1].replace(".spec", "")).write_text(json.dumps({"square": spec["number"] ** 2}))
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Squares of four numbers, one of which kills its process."""
    (tmp_path / "squares.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    made = []
    for number in (2, 13, 5, 7):
        job = Job("squares", tmp_path / f"{number}.spec.json", tmp_path / f"{number}.json")
        job.description.write_text(json.dumps({"number": number}))
        made.append(job)
    return made


def test_jobs_run_one_after_another_and_one_may_fail(jobs: list[Job]) -> None:
    told: list[int] = []
    found = run_jobs(jobs, tell=told.append)
    assert [result.get("square") for result in found] == [4, None, 25, 49]
    assert "exit code 3" in found[1]["error"]
    assert told == [0, 1, 2, 3]


def test_a_node_that_sees_other_files_or_another_honeyguide_says_so(jobs: list[Job], tmp_path: Path) -> None:
    job = jobs[0]
    other = run_there(job.module, str(job.description), str(job.result), "0.0.0")
    assert "not 0.0.0" in other["error"]
    lost = run_there(job.module, str(tmp_path / "nowhere.json"), str(job.result), many.honeyguide.__version__)
    assert "does not see" in lost["error"]
    assert "mounted" in lost["remedy"]


def test_without_ray_the_extra_is_named(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match="Ray cluster"):
        run_jobs(jobs, "auto")
    assert run_jobs([], "auto") == []  # nothing to run needs no cluster


class StandIn:
    """What is used of Ray, in this process: jobs end in the opposite order, and one may be lost."""

    class exceptions:
        class RayError(Exception):
            pass

    def __init__(self, lost: int | None = None) -> None:
        self.lost, self.calls, self.cancelled, self.log = lost, [], [], []

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        self.log.append(options)

    def shutdown(self) -> None:
        self.log.append("shutdown")

    def remote(self, **_: Any) -> Any:
        def wrap(function: Any) -> Any:
            def submit(*arguments: str) -> int:
                self.calls.append((function, arguments))
                return len(self.calls) - 1

            return SimpleNamespace(remote=submit)

        return wrap

    def wait(self, references: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        return references[-num_returns:], references[:-num_returns]

    def get(self, reference: int) -> Any:
        if reference == self.lost:
            raise self.exceptions.RayError
        function, arguments = self.calls[reference]
        return function(*arguments)

    def cancel(self, reference: int, force: bool) -> None:
        self.cancelled.append(reference)


def test_results_keep_the_order_of_the_jobs_and_a_lost_one_is_an_error(
    jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray, told = StandIn(lost=2), []
    monkeypatch.setitem(sys.modules, "ray", ray)
    found = run_jobs(jobs, "auto", told.append)
    assert [result.get("square") for result in found] == [4, None, None, 49]
    assert "exit code 3" in found[1]["error"]
    assert "lost" in found[2]["error"]
    assert told == [3, 2, 1, 0]
    assert ray.log == [{"address": "auto", "log_to_driver": False, "logging_level": 40}, "shutdown"]
    assert all(isinstance(part, str) for _, arguments in ray.calls for part in arguments)  # only names and paths travel


def test_a_cluster_that_does_not_answer_is_a_plain_error(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", StandIn())
    with pytest.raises(HoneyguideError, match="no Ray cluster answers"):
        run_jobs(jobs, "127.0.0.2:1")


def test_an_interrupted_run_cancels_what_waits_and_disconnects(
    jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = StandIn()
    monkeypatch.setitem(sys.modules, "ray", ray)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, "auto", interrupt)
    assert ray.cancelled == [0, 1, 2]
    assert ray.log[-1] == "shutdown"


def free_ports() -> dict[str, int]:
    """Ports of a node's agents, chosen here: Ray gives an agent that chooses its own no more than fifteen seconds."""
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for one in sockets:
            one.bind(("127.0.0.2", 0))
        return {name: one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of two nodes with one CPU each, without a dashboard, that are stopped whatever happens.

    Not on 127.0.0.1, which Ray would replace by the machine's address to the outside.
    """
    before = {name: os.environ.get(name) for name in (*QUIET, "PYTHONPATH")}
    os.environ.update(QUIET, PYTHONPATH=environment()["PYTHONPATH"])  # before Ray reads it
    utils: Any = pytest.importorskip("ray.cluster_utils")
    node = {"num_cpus": 1, "node_ip_address": "127.0.0.2", "include_dashboard": False, "object_store_memory": 80 << 20}
    running = None
    try:
        running = utils.Cluster(initialize_head=True, head_node_args=node | free_ports())
        running.add_node(**node, **free_ports())
        yield str(running.address)
    finally:
        if running is not None:
            running.shutdown()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@pytest.mark.full
def test_a_comparison_is_the_same(cluster: str, books: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    here, there = (
        compare(
            books,
            ["itemknn", "ials"],
            seeds=2,
            settings={"ials": {"factors": 16}},
            options=Options(runs=tmp_path / str(address), ray=address),
            progress=lambda what, number, total: told.append(f"{number}/{total}"),
        )
        for address in (None, cluster)
    )
    assert told == [f"{number}/5" for number in range(1, 6)] * 2
    for ours, theirs in zip(here.rows, there.rows, strict=True):
        assert theirs["error"] is None
        assert all(theirs["cpu_seconds"].values())
        for name in ("model", "params", "metrics", "ci", "p_vs_floor", "valid", "slices", "seeds", "verdict"):
            assert json.dumps(theirs[name]) == json.dumps(ours[name]), name  # where NaN equals NaN


@pytest.mark.full
def test_everybodys_lists_are_the_same(cluster: str, books: Dataset, tmp_path: Path) -> None:
    save_bundle(tmp_path / "m", IALS(factors=16).fit(books), books)
    bundle = open_bundle(tmp_path / "m")
    for name, address in (("here", None), ("there", cluster)):
        assert recommend_everybody(bundle, tmp_path / f"{name}.parquet", users=128, ray=address) == 3000
    assert pl.read_parquet(tmp_path / "here.parquet").equals(pl.read_parquet(tmp_path / "there.parquet"))
    assert {path.name for path in tmp_path.iterdir()} == {"m", "here.parquet", "there.parquet"}


@pytest.mark.full
def test_a_job_may_fail_and_no_cluster_is_a_plain_error(cluster: str, jobs: list[Job]) -> None:
    import ray

    found = run_jobs(jobs, cluster)
    assert [result.get("square") for result in found if "error" not in result] in ([4, 25, 49], [])
    assert "error" in found[1]
    assert not ray.is_initialized()
    with pytest.raises(HoneyguideError, match="no Ray cluster answers"):
        run_jobs(jobs, "127.0.0.2:1")
    assert not ray.is_initialized()
