"""Running the claims of a paper: one process and one result file per cell, resumable, several at once where asked."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from honeyguide.core.errors import ConfigError, HoneyguideError, UnknownNameError
from honeyguide.core.resources import Stopwatch, peak_rss_mb
from honeyguide.experiment.child import run_module
from honeyguide.experiment.papers import PROFILES, RESULTS, Cell, Claim, Paper, Profile, evidence_file, paper
from honeyguide.experiment.records import read_json, versions, write_json

_PACKAGES = ("numpy", "scipy", "polars", "implicit", "torch")


def reproduce(
    seed: int,
    profile: str = "cpu",
    results: Path = RESULTS,
    *,
    claims: Sequence[str] = (),
    jobs: int = 1,
    fresh: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Put the claims of a paper to the test and store the evidence in ``RESULTS/NN.json`` (``NN-paper.json``).

    Cells that were finished by an earlier run of the same version are not run again.

    Parameters
    ----------
    seed
        Number of the paper.
    profile
        ``cpu``: at most 30 CPU-minutes a cell; ``paper``: the full thing.
    results
        Folder of results.
    claims
        Short names of those that are put to the test; by default all. The evidence has them, and every other claim
        whose cells were all finished before.
    jobs
        Cells that run at once, each in a process of its own.
    fresh
        Run every cell again.
    progress
        Is told what runs.

    Returns
    -------
    dict
        ``{"seed", "name", "kind", "profile", "versions", "cpu_seconds", "evidence": [...]}``.

    Raises
    ------
    UnknownNameError
        If there is no such paper, profile or claim.
    ConfigError
        If ``jobs`` is below one.
    HoneyguideError
        If a cell failed, after all were tried; those that were finished stay.
    """
    asked = paper(seed)
    if profile not in PROFILES:
        raise UnknownNameError("profile", profile, PROFILES)
    if jobs < 1:
        raise ConfigError(f"jobs is {jobs}.", "Give how many cells run at once: 1 or more.")
    wanted = _cells(asked, claims)
    folder = results / f"{seed:02d}-{profile}"

    def run(cell: Cell) -> dict[str, Any]:
        return _cell(seed, cell, profile, folder / f"{cell.id}.json", fresh, progress)

    with ThreadPoolExecutor(jobs) as pool:
        records = dict(zip(wanted, pool.map(run, wanted.values()), strict=True))
    failed = {name: record for name, record in records.items() if "error" in record}
    if failed:
        first = next(iter(failed))
        others = f" ({len(failed) - 1} more cells failed)" if len(failed) > 1 else ""
        raise HoneyguideError(f"Cell {first}: {failed[first]['error']}{others}", failed[first].get("remedy"))
    for cell in {cell.id: cell for claim in asked.claims for cell in claim.cells}.values():
        if cell.id not in records and (kept := _kept(folder / f"{cell.id}.json")) is not None:
            records[cell.id] = kept
    judged = [claim for claim in asked.claims if all(cell.id in records for cell in claim.cells)]
    results_of = {name: record["result"] for name, record in records.items()}
    evidence = [_evidence(seed, c, {cell.id: results_of[cell.id] for cell in c.cells}, profile) for c in judged]
    found = {
        "seed": seed,
        "name": asked.name,
        "kind": asked.kind,
        "profile": profile,
        "versions": versions(_PACKAGES),
        "cpu_seconds": sum(record["cpu_seconds"] for record in records.values()),
        "evidence": evidence,
    }
    if devices := sorted({record["device"] for record in records.values() if "device" in record}):
        found["devices"] = devices
    write_json(results / evidence_file(seed, profile), found)
    return found


def _cells(asked: Paper, claims: Sequence[str]) -> dict[str, Cell]:
    """The cells of some of the claims, or of all; claims may share some."""
    known = {claim.id: claim for claim in asked.claims}
    for name in claims:
        if name not in known:
            raise UnknownNameError("claim", name, list(known))
    return {cell.id: cell for name in claims or known for cell in known[name].cells}


def _kept(path: Path) -> dict[str, Any] | None:
    """The record of a finished cell of this version, if there is one."""
    record = read_json(path)
    return None if record is None or "error" in record or record.get("versions") != versions(_PACKAGES) else record


def _cell(
    seed: int, cell: Cell, profile: str, path: Path, fresh: bool, progress: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """The record of a cell, from its file or by running it in a process of its own."""
    record = None if fresh else _kept(path)
    if progress is not None:
        progress(f"Cell {cell.id}" + ("" if record is None else ": stored, not computed here; --fresh computes it"))
    if record is None:
        arguments = [str(seed), cell.id, profile, str(path.resolve())]
        record = run_module("honeyguide.experiment.reproduce", arguments, path)
    return record


def _evidence(seed: int, claim: Claim, results: dict[str, Any], profile: str) -> dict[str, Any]:
    found = claim.judge(results)
    return {
        "claim": claim.text,
        "dataset": claim.dataset,
        "metric": claim.metric,
        "value": found.value,
        "ci": list(found.ci) if found.ci is not None and np.isfinite(found.ci).all() else None,  # one seed has none
        "floor": claim.floor,
        "verdict": found.verdict,
        "command": f"honeyguide reproduce {seed}"
        + (f" --profile {profile} --claim {claim.id}" if profile != "cpu" else ""),
        "note": found.note,
    }


def _device() -> dict[str, str]:
    """``{"device": NAME}`` of the accelerator that fits take here by themselves, if there is one."""
    torch = sys.modules.get("torch")
    return {"device": str(torch.cuda.get_device_name())} if torch is not None and torch.cuda.is_available() else {}


def main(seed: str, cell_id: str, profile: Profile, out: str) -> int:
    """Run one cell and write its record, or its error, to ``out``."""
    cells = {cell.id: cell for claim in paper(int(seed)).claims for cell in claim.cells}
    try:
        with Stopwatch() as watch:
            result = cells[cell_id].run(profile)
        record: dict[str, Any] = {
            "cell": cell_id,
            "profile": profile,
            "versions": versions(_PACKAGES),
            "cpu_seconds": watch.cpu,
            "peak_rss_mb": peak_rss_mb(),
            **_device(),
            "result": result,
        }
    except HoneyguideError as error:
        record = {"cell": cell_id, "error": error.message, "remedy": error.remedy}
    except Exception as error:
        traceback.print_exc()
        record = {"cell": cell_id, "error": f"{type(error).__name__}: {error}", "remedy": "The log has the traceback."}
    write_json(Path(out), record)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], "paper" if sys.argv[3] == "paper" else "cpu", sys.argv[4]))
