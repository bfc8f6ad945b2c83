"""Many jobs, each a Python module run on a JSON file: one after another here, or side by side on a Ray cluster.

A job is described by files and leaves files. Ray only says where it runs: the name of the module and the paths are
all that travels, so every node needs this honeyguide installed and the folder of the files mounted at the same path.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import honeyguide
from honeyguide.core.errors import HoneyguideError, MissingExtraError
from honeyguide.experiment.child import run_module

_PATIENCE = 10.0  # seconds for a cluster to answer
Told = Callable[[int], None]  # the number of a job, from 0


@dataclass(frozen=True)
class Job:
    """``python -m MODULE DESCRIPTION``, which reads the JSON file ``description`` and writes the JSON file ``result``.

    Parameters
    ----------
    module
        Name of the module.
    description, result
        Absolute paths; on Ray, in a folder that all nodes share.
    """

    module: str
    description: Path
    result: Path


def run_jobs(jobs: Sequence[Job], ray: str | None = None, tell: Told | None = None) -> list[dict[str, Any]]:
    """Run all jobs and return their results, in the order of the jobs; one that failed has ``error``.

    Parameters
    ----------
    jobs
        What to run, each in a process of its own.
    ray
        Address of a Ray cluster, as ``ray.init`` takes it (``auto``, ``10.0.0.1:6379``); ``None`` to run here.
    tell
        Is told each job before it starts here, or after it ended on the cluster.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    HoneyguideError
        If no cluster answers.
    """
    if ray is not None:
        return _on_cluster(jobs, ray, tell) if jobs else []
    results = []
    for number, job in enumerate(jobs):
        if tell is not None:
            tell(number)
        results.append(run_module(job.module, [str(job.description)], job.result))
    return results


def _on_cluster(jobs: Sequence[Job], address: str, tell: Told | None) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = [{} for _ in jobs]
    with _connected(address) as ray:
        remote = ray.remote(num_cpus=1, max_retries=1)(run_there)
        waiting = {
            remote.remote(job.module, str(job.description), str(job.result), honeyguide.__version__): number
            for number, job in enumerate(jobs)
        }
        try:
            while waiting:
                done, _ = ray.wait(list(waiting), num_returns=1)
                for reference in done:
                    number = waiting.pop(reference)
                    results[number] = _result(ray, reference)
                    if tell is not None:
                        tell(number)
        finally:
            for reference in waiting:  # interrupted: nobody will read what they compute
                ray.cancel(reference, force=True)
    return results


def _result(ray: Any, reference: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = ray.get(reference)
    except ray.exceptions.RayError as error:
        return {"error": f"The job was lost: {type(error).__name__}.", "remedy": "See the logs of the Ray cluster."}
    return found


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """The module ``ray``, connected; the connection is closed whatever happens, unless it was there before."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("Running on a Ray cluster", "scale") from error
    ours = not ray.is_initialized()
    try:
        if ours:
            # Ray looks for its nodes under this machine's address to the outside, not on the loopback interface.
            host, _, port = address.rpartition(":")
            if port.isdigit() and "/" not in host:  # Ray itself tries for minutes
                socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
            here: dict[str, Any] = {"_node_ip_address": host} if host.startswith("127.") else {}
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **here)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise HoneyguideError(
            f"no Ray cluster answers at {address!r}: {str(error).splitlines()[0] if str(error) else error!r}",
            "Start one with 'ray start --head' and give its address, or leave --ray away.",
        ) from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def run_there(module: str, description: str, result: str, version: str) -> dict[str, Any]:
    """What a node of the cluster does: check that it sees the same files and the same honeyguide, then run the job."""
    if honeyguide.__version__ != version:
        return {
            "error": f"A node of the cluster has honeyguide {honeyguide.__version__}, not {version}.",
            "remedy": "Install the same version on every node.",
        }
    if not Path(description).is_file():
        return {
            "error": f"A node of the cluster does not see {description}.",
            "remedy": "Use a folder that is mounted at the same path on every node (--runs, --out).",
        }
    return run_module(module, [description], Path(result))
