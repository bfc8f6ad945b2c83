"""Compare models on one data set: every (model, seed) a resumable cell in a process of its own."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import honeyguide
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.recommender import Recommender
from honeyguide.data.fingerprint import fingerprint
from honeyguide.experiment.cell import Spec
from honeyguide.experiment.comparison import CellResult, Comparison, assemble
from honeyguide.experiment.many import Job, run_jobs
from honeyguide.experiment.parts import with_test
from honeyguide.experiment.records import read_json, write_json, write_text
from honeyguide.experiment.settings import Settings, build_model, check_by_model
from honeyguide.experiment.snapshot import freeze
from honeyguide.models.registry import is_deterministic

log = logging.getLogger(__name__)

ALWAYS = ("popularity", "floor")  # the least to beat, and the linear floor: in every table
RUNS = Path("runs")
Progress = Callable[[str, int, int], None]  # what runs, its number, how many


@dataclass(frozen=True)
class Options:
    """How to run a comparison, as opposed to what to compare.

    Parameters
    ----------
    runs
        Folder that keeps finished cells; a second run with the same data, models and version
        takes them from there.
    fresh
        Compute every cell again.
    keep_models
        Save the fitted model of every cell in its folder.
    device, precision, memory_limit
        As in :class:`honeyguide.FitOptions`.
    ray
        Address of a Ray cluster that runs the cells side by side; its nodes must share the folder ``runs``.
    """

    runs: Path = RUNS
    fresh: bool = False
    keep_models: bool = False
    device: str = "auto"
    precision: str = "float32"
    memory_limit: int | None = None
    ray: str | None = None


@dataclass(frozen=True)
class System:
    """One line of the table: a registered model with its options, under the label shown."""

    label: str
    model: str
    settings: Settings = field(default_factory=dict)

    @property
    def deterministic(self) -> bool:
        """Whether the seed makes no difference, so that one run is all there is."""
        return is_deterministic(self.model)


def compare(
    data: Dataset | str,
    models: Sequence[str | Recommender],
    *,
    seeds: int | Sequence[int] = 1,
    k: int = 10,
    settings: Mapping[str, Settings] | None = None,
    html: str | Path | None = None,
    json: str | Path | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Fit and evaluate ``models`` on ``data`` under one protocol.

    Full ranking; history = train + valid, truth = test; ties pessimistic; seen items removed and
    kept; popularity and the linear floor are always in the table. A model that fails becomes a
    line with its error.

    Parameters
    ----------
    data
        A data set with a test part, or what :func:`honeyguide.load_data` accepts. One without
        any split is split: the last item of every user is test where there is an order, else a
        seeded share.
    models
        Registered names, or unfitted models for other options than the defaults.
    seeds
        How many seeds (0, 1, ...), or which. Deterministic models run the first only.
    k
        Cut-off of the metrics.
    settings
        Options by model name.
    html, json
        Files to write the report and the results to.
    options, progress
        How to run, and whom to tell before each cell.

    Raises
    ------
    UnknownNameError
        If a model or an option does not exist, before anything is fitted.
    DataError
        If the data set cannot be split.
    """
    options = options or Options()
    seeds = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not seeds:
        raise ConfigError("no seeds were given.", "Give at least one.")
    systems = _systems(models, settings or {})
    data = with_test(as_dataset(data))
    cells = _run_all(data, systems, seeds, k, options, progress)
    comparison = assemble(data, cells, seeds, k)
    if json is not None:
        write_json(Path(json), comparison.document)
    if html is not None:
        from honeyguide.experiment.report import render

        write_text(Path(html), render(comparison, data))
    return comparison


def as_dataset(data: Dataset | str) -> Dataset:
    """``data``, read first if it is a name or a path."""
    if isinstance(data, Dataset):
        return data
    from honeyguide.data.load import load_data

    return load_data(data)


def _systems(models: Sequence[str | Recommender], settings: Mapping[str, Settings]) -> list[System]:
    """The lines of the table, floors first; building each model once finds every wrong name or option early."""
    named = [m if isinstance(m, str) else m.name for m in models]
    check_by_model(settings, dict.fromkeys([*named, *ALWAYS]), "compared")
    wanted: list[str | Recommender] = [*(n for n in ALWAYS if n not in named), *models]
    systems: list[System] = []
    for model in wanted:
        name = model if isinstance(model, str) else model.name
        given = dict(settings.get(name, {})) if isinstance(model, str) else model.config.model_dump(mode="json")
        build_model(name, given)
        same = sum(s.model == name for s in systems)
        systems.append(System(f"{name}#{same + 1}" if same else name, name, given))
    return systems


def _run_all(
    data: Dataset, systems: list[System], seeds: list[int], k: int, options: Options, progress: Progress | None
) -> list[CellResult]:
    plan = [(system, seed) for system in systems for seed in (seeds[:1] if system.deterministic else seeds)]
    content = fingerprint(data)
    folder = Path(options.runs) / f"{slug(data.name)}-{content[:12]}"
    with frozen(data, folder) as snapshot:
        specs = [_spec(system, seed, k, folder, snapshot, content, options) for system, seed in plan]
        records = [None if options.fresh else _finished(spec) for spec in specs]
        tell, missing = _teller(plan, progress), [i for i, record in enumerate(records) if record is None]
        for number in sorted(set(range(len(plan))) - set(missing)):
            tell(number, " (kept from an earlier run)")
        jobs = [_job(specs[number], options.fresh) for number in missing]
        for number, record in zip(missing, run_jobs(jobs, options.ray, lambda i: tell(missing[i])), strict=True):
            records[number] = record
            shutil.rmtree(f"{specs[number].out}.checkpoint", ignore_errors=True)
    return [
        CellResult(system.label, system.model, seed, record or {}, _values(spec))
        for (system, seed), spec, record in zip(plan, specs, records, strict=True)
    ]


def _teller(plan: Sequence[tuple[System, int]], progress: Progress | None) -> Callable[..., None]:
    """A function that says which cell of the plan it is, and counts."""
    turn = itertools.count(1)

    def tell(number: int, note: str = "") -> None:
        system, seed = plan[number]
        what = system.label if system.deterministic else f"{system.label}, seed {seed}"
        if progress is not None:
            progress(what + note, next(turn), len(plan))

    return tell


@contextmanager
def frozen(data: Dataset, folder: Path) -> Iterator[Path]:
    """The data set on disk while the cells run; it holds histories, so nothing of it stays."""
    snapshot = folder / f"data-{os.getpid()}"
    try:
        freeze(data, snapshot)
        yield snapshot
    finally:
        shutil.rmtree(snapshot, ignore_errors=True)


def _spec(system: System, seed: int, k: int, folder: Path, snapshot: Path, content: str, options: Options) -> Spec:
    """The cell's description; its place is named by a hash of data, configuration and version."""
    key = json.dumps(
        [honeyguide.__version__, content, system.model, system.settings, seed, k, options.device, options.precision],
        sort_keys=True,
    )
    out = (folder / f"{system.model}-s{seed}-{hashlib.sha256(key.encode()).hexdigest()[:12]}").resolve()
    return Spec(
        snapshot=str(snapshot.resolve()),
        model=system.model,
        settings=system.settings,
        seed=seed,
        k=k,
        out=str(out),
        model_out=f"{out}.model" if options.keep_models else None,
        device=options.device,
        precision=options.precision,
        memory_limit=options.memory_limit,
    )


def _finished(spec: Spec) -> dict[str, Any] | None:
    """The result of an earlier run, unless it failed or lacks something wanted now."""
    result = read_json(Path(f"{spec.out}.json"))
    complete = Path(f"{spec.out}.npz").is_file() and (spec.model_out is None or Path(spec.model_out).is_dir())
    return result if result is not None and "error" not in result and complete else None


def _job(spec: Spec, fresh: bool) -> Job:
    """Describe a cell on disk."""
    if fresh:
        shutil.rmtree(f"{spec.out}.checkpoint", ignore_errors=True)
    description = Path(f"{spec.out}.spec.json")
    write_json(description, asdict(spec))
    return Job("honeyguide.experiment.cell", description, Path(f"{spec.out}.json"))


def _values(spec: Spec) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    try:
        with np.load(f"{spec.out}.npz", allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except OSError:
        return {}


def slug(name: str) -> str:
    """``name`` as part of a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:40] or "data"
