"""Lists for everybody in a store, written block by block: memory does not grow with the people.

``python -m honeyguide.experiment.everybody BLOCK.json`` does one block, so that blocks can run on other machines.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import polars as pl

from honeyguide.core.errors import HoneyguideError
from honeyguide.core.ragged import Ragged
from honeyguide.experiment.bundle import Bundle, open_bundle
from honeyguide.experiment.many import Job, run_jobs
from honeyguide.experiment.records import read_json, write_json

USERS = 1 << 16  # of one block: some 12 MB of lists of ten


@dataclass(frozen=True)
class Block:
    """Some of the people of a bundle, and where their lists go.

    Parameters
    ----------
    bundle, version
        What is opened.
    first, last
        Places of the people in the store, ``last`` not included.
    k
        Length of the lists.
    seen
        Also recommend what is in the history.
    out
        Parquet file to write.
    """

    bundle: str
    version: str | None
    first: int
    last: int
    k: int
    seen: bool
    out: str


def recommend_everybody(
    bundle: Bundle,
    out: Path,
    k: int = 10,
    *,
    seen: bool = False,
    version: str | None = None,
    users: int = USERS,
    ray: str | None = None,
) -> int:
    """Write ``user_id, rank, item_id, score`` of everybody in the store, and return the number of rows.

    The blocks become Parquet files beside ``out``, which are then joined in a stream; the file appears whole or
    not at all.

    Parameters
    ----------
    bundle
        Model and histories.
    out
        ``*.parquet``, ``*.csv`` or ``*.jsonl``.
    k, seen
        As in :class:`Block`.
    version
        The version of the model that ``bundle`` was opened with.
    users
        People of a block.
    ray
        Address of a Ray cluster that computes the blocks; the bundle and ``out`` must lie in folders that all its
        nodes share. The lists are the same.

    Raises
    ------
    HoneyguideError
        If a block could not be computed, or no cluster answers.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    parts = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent)).resolve()
    try:
        n, source = len(bundle.store), str(bundle.directory.resolve())
        blocks = [
            Block(source, version, first, min(n, first + users), k, seen, str(parts / f"{number:06d}.parquet"))
            for number, first in enumerate(range(0, max(1, n), users))
        ]
        rows = _on_cluster(blocks, ray) if ray is not None else sum(write_block(bundle, block) for block in blocks)
        _join([Path(block.out) for block in blocks], parts / out.name)
        (parts / out.name).replace(out)
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    return rows


def write_block(bundle: Bundle, block: Block) -> int:
    """Compute and write one block; the number of rows."""
    ids, requests = bundle.users(block.first, block.last)
    if block.seen:
        requests = replace(requests, exclude=Ragged.empty(len(requests)))
    frame = bundle.model.recommend(requests, block.k).frame(ids).collect()
    frame.write_parquet(block.out)
    return frame.height


def _on_cluster(blocks: list[Block], address: str) -> int:
    jobs = []
    for block in blocks:
        description = Path(block.out).with_suffix(".spec.json")
        write_json(description, asdict(block))
        jobs.append(Job("honeyguide.experiment.everybody", description, Path(block.out).with_suffix(".json")))
    results = run_jobs(jobs, address)
    for result in results:
        if "error" in result:
            raise HoneyguideError(result["error"], result.get("remedy"))
    return sum(result["rows"] for result in results)


def _join(parts: list[Path], out: Path) -> None:
    lazy = pl.scan_parquet(parts)
    sinks: dict[str, Callable[[Path], object]] = {
        ".parquet": lazy.sink_parquet,
        ".csv": lazy.sink_csv,
        ".jsonl": lazy.sink_ndjson,
    }
    sinks[out.suffix](out)


def main(path: str) -> int:
    """Compute the block that the file ``path`` describes; a failure is written down as its result."""
    content = read_json(Path(path))
    if content is None:
        sys.stderr.write(f"{path} is not the description of a block\n")
        return 2
    block = Block(**content)
    result: dict[str, object]
    try:
        result = {"rows": write_block(open_bundle(block.bundle, block.version), block)}
    except HoneyguideError as error:
        result = {"error": error.message, "remedy": error.remedy}
    except Exception as error:
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}", "remedy": "The log beside the block has the traceback."}
    write_json(Path(block.out).with_suffix(".json"), result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
