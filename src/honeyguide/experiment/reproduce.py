"""Running the claims of a paper: one process and one result file per cell, resumable."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from honeyguide.core.errors import HoneyguideError, UnknownNameError
from honeyguide.core.resources import Stopwatch, peak_rss_mb
from honeyguide.experiment.child import run_module
from honeyguide.experiment.papers import PROFILES, RESULTS, Cell, Claim, Profile, paper
from honeyguide.experiment.records import read_json, versions, write_json

_PACKAGES = ("numpy", "scipy", "polars", "implicit", "torch")


def reproduce(
    seed: int,
    profile: str = "cpu",
    results: Path = RESULTS,
    *,
    fresh: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Put every claim of a paper to the test and store the evidence in ``RESULTS/NN.json``.

    Cells that were finished by an earlier run of the same version are not run again.

    Parameters
    ----------
    seed
        Number of the paper.
    profile
        ``cpu``: at most 30 CPU-minutes a cell; ``paper``: the full thing.
    results
        Folder of results.
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
        If there is no such paper or profile.
    HoneyguideError
        If a cell failed, after all were tried; those that were finished stay.
    """
    asked = paper(seed)
    if profile not in PROFILES:
        raise UnknownNameError("profile", profile, PROFILES)
    folder = results / f"{seed:02d}-{profile}"
    records = {}
    for cell in {cell.id: cell for claim in asked.claims for cell in claim.cells}.values():  # claims may share some
        if progress is not None:
            progress(f"Cell {cell.id}")
        records[cell.id] = _cell(seed, cell, profile, folder / f"{cell.id}.json", fresh)
    failed = {name: record for name, record in records.items() if "error" in record}
    if failed:
        first = next(iter(failed))
        others = f" ({len(failed) - 1} more cells failed)" if len(failed) > 1 else ""
        raise HoneyguideError(f"Cell {first}: {failed[first]['error']}{others}", failed[first].get("remedy"))
    results_of = {name: record["result"] for name, record in records.items()}
    evidence = [_evidence(seed, c, {cell.id: results_of[cell.id] for cell in c.cells}, profile) for c in asked.claims]
    found = {
        "seed": seed,
        "name": asked.name,
        "kind": asked.kind,
        "profile": profile,
        "versions": versions(_PACKAGES),
        "cpu_seconds": sum(record["cpu_seconds"] for record in records.values()),
        "evidence": evidence,
    }
    write_json(results / f"{seed:02d}.json", found)
    return found


def _cell(seed: int, cell: Cell, profile: str, path: Path, fresh: bool) -> dict[str, Any]:
    """The record of a cell, from its file or by running it in a process of its own."""
    record = None if fresh else read_json(path)
    if record is None or "error" in record or record.get("versions") != versions(_PACKAGES):
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
        "ci": list(found.ci) if found.ci is not None else None,
        "floor": claim.floor,
        "verdict": found.verdict,
        "command": f"honeyguide reproduce {seed}" + (f" --profile {profile}" if profile != "cpu" else ""),
        "note": found.note,
    }


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
