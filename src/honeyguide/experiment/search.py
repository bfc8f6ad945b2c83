"""The search for the options of one model within a budget of CPU-seconds.

A trial is a cell (:mod:`honeyguide.experiment.cell`) in a process of its own that sees train and
valid only. Optuna proposes the options (TPE; Bergstra et al., NeurIPS 2011) and ends trials whose
learning curve is below the median of those before. The study lies in the run's folder, so that a
search that was killed goes on where it was, and one given a larger budget goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import honeyguide
from honeyguide.core.errors import MissingExtraError
from honeyguide.core.space import Choice, Space, Whole
from honeyguide.experiment.cell import Spec
from honeyguide.experiment.child import run_module
from honeyguide.experiment.records import read_json, write_json
from honeyguide.experiment.settings import Settings, build_model
from honeyguide.models.registry import model_class

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

K = 10
JUDGE = f"ndcg@{K}"  # what every model of this library is chosen by
_RANDOM = 5  # trials before TPE has something to learn from, and before any is pruned
_FAILURES = 3  # so many without one that worked, and the search is given up
_REPEATS = 20  # proposals of what was tried already, in a row, and the space is exhausted
_METER_EVERY = 1.0  # seconds between notes of what a running trial has used


@dataclass(frozen=True)
class Task:
    """What is searched, and how.

    Parameters
    ----------
    model
        Registered name.
    fixed
        Options that are set and not searched.
    snapshot
        Folder of the frozen data set, without a part test.
    content
        Its fingerprint.
    folder
        Where studies and trials are kept.
    budget
        CPU-seconds, everything that the trials' processes use included.
    trials
        Most trials.
    seed
        Of the search and of every fit.
    device, precision, memory_limit
        As in :class:`honeyguide.FitOptions`.
    """

    model: str
    fixed: Settings
    snapshot: Path
    content: str
    folder: Path
    budget: float
    trials: int
    seed: int
    device: str = "auto"
    precision: str = "float32"
    memory_limit: int | None = None


class Search:
    """The search of one :class:`Task`; :meth:`run` goes on from what is there.

    Raises
    ------
    MissingExtraError
        If Optuna is not installed.
    """

    def __init__(self, task: Task, *, fresh: bool = False) -> None:
        self.task = task
        cls = model_class(task.model)
        self.space: Space = {name: d for name, d in cls.space.items() if name not in task.fixed}
        key = [honeyguide.__version__, task.content, task.model, task.fixed, repr(self.space), task.seed]
        self.folder = task.folder / f"tune-{task.model}-{_digest([*key, task.device, task.precision])}"
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.study = _study(self.folder, task)
        self._adopt()

    # -- running ------------------------------------------------------------------------------

    def run(self, tell: Callable[[str], None] | None = None) -> None:
        """Try options until the budget is used: at most a look's worth more, at least three quarters of it."""
        repeats = 0
        while self._worthwhile() and repeats < _REPEATS:
            if tell is not None:
                tell(self._standing())
            repeats = 0 if self._try() else repeats + 1

    def _worthwhile(self) -> bool:
        """Whether another trial may be started: one that will be stopped is started only if much is left."""
        finished = [t for t in self.trials if _counts(t) and not t.user_attrs.get("repeated")]
        counted = sum(not t.user_attrs.get("repeated") for t in self.trials)
        failed = sum("error" in t.user_attrs for t in self.trials)
        if counted >= (self.task.trials if self.space else 1) or (failed >= _FAILURES and not finished):
            return False
        cheapest = min((t.user_attrs["cost"] for t in finished), default=0.0)
        left = self.task.budget - self.spent
        return left > 0 and left >= min(cheapest, self.task.budget / 4)

    def _try(self) -> bool:
        """One trial; False if its options were tried before."""
        trial = self._ask()
        settings = self._settings(trial)
        cell = _digest([settings, self.task.seed])
        trial.set_user_attr("settings", settings)
        known = next((t for t in self.trials if t.user_attrs.get("cell") == cell and _told(t)), None)
        trial.set_user_attr("cell", cell)
        if known is not None:
            trial.set_user_attr("repeated", True)
            self._tell(trial, known.value if _counts(known) else None, pruned=True)
            return False
        record = self._run(trial, cell, settings)
        self._judge(trial, record, settings)
        return True

    def _run(self, trial: Trial, cell: str, settings: Settings) -> dict[str, Any]:
        """The record of the cell; its cost, with what an earlier, killed run used for it, is noted in the trial."""
        out = self.folder / cell
        meter = Path(f"{out}.meter")
        carried = float((read_json(meter) or {}).get("cpu_seconds", 0.0))
        spec = Spec(
            snapshot=str(self.task.snapshot.resolve()),
            model=self.task.model,
            settings=settings,
            seed=self.task.seed,
            k=K,
            out=str(out.resolve()),
            device=self.task.device,
            precision=self.task.precision,
            memory_limit=self.task.memory_limit,
            tested=False,
        )
        write_json(Path(f"{out}.spec.json"), asdict(spec))
        watch = _Watch(trial, Path(f"{out}.curve"), meter, carried, self.task.budget - self.spent)
        module = "honeyguide.experiment.cell"
        record = run_module(module, [f"{out.resolve()}.spec.json"], Path(f"{out}.json"), watch)
        used = record.get("cpu_seconds", watch.used)
        trial.set_user_attr("cost", carried + float(used["process"] if isinstance(used, dict) else used))
        shutil.rmtree(f"{out}.checkpoint", ignore_errors=True)
        meter.unlink(missing_ok=True)
        return record

    def _judge(self, trial: Trial, record: dict[str, Any], settings: Settings) -> None:
        """Tell the study how the trial went.

        A model that learns in epochs and was stopped by the budget counts as what it was after its
        best epoch, with so many ``epochs`` among its options; any other that was stopped does not count.
        """
        if "error" in record:
            trial.set_user_attr("error", record["error"])
            self._tell(trial, None)
        elif record.get("stopped") == "pruned":
            trial.set_user_attr("stopped", "pruned")
            self._tell(trial, None, pruned=True)
        elif "stopped" in record:
            trial.set_user_attr("stopped", record["stopped"])
            curve = dict(_curve(self.folder / f"{trial.user_attrs['cell']}.curve"))
            if not curve or getattr(build_model(self.task.model, settings).config, "schedule", "") == "cosine":
                self._tell(trial, None)
                return
            best = max(curve, key=lambda epoch: curve[epoch])
            trial.set_user_attr("settings", settings | {"epochs": best})
            self._tell(trial, curve[best])
        else:
            trial.set_user_attr("peak_rss_mb", record["peak_rss_mb"])
            self._tell(trial, record["valid"][JUDGE])

    # -- the study ----------------------------------------------------------------------------

    @property
    def trials(self) -> list[FrozenTrial]:
        """Every trial that came to an end, in order; a killed one has not, and is run again as the same cell."""
        return [t for t in self.study.get_trials(deepcopy=False) if _told(t)]

    @property
    def spent(self) -> float:
        """CPU-seconds of all trials."""
        return sum(float(t.user_attrs.get("cost", 0.0)) for t in self.trials)

    @property
    def best(self) -> FrozenTrial | None:
        """The trial with the highest score on valid, the first of equals."""
        return max((t for t in self.trials if _counts(t)), key=lambda t: float(t.value or 0.0), default=None)

    def _adopt(self) -> None:
        """Put the trials that a killed run left unfinished in front of the queue, as the same cells."""
        from optuna.trial import TrialState

        trials = self.study.get_trials(deepcopy=False)
        for trial in (t for t in trials if t.state == TrialState.RUNNING):
            self.study.tell(trial.number, state=TrialState.FAIL)
            self.study.enqueue_trial(trial.params, user_attrs={"defaults": not trial.params})
        if not trials:
            defaults = build_model(self.task.model, self.task.fixed).config.model_dump()
            inside = {name: defaults[name] for name, d in self.space.items() if d.holds(defaults[name])}
            whole = len(inside) == len(self.space)  # else some options follow from the data, and none is proposed
            self.study.enqueue_trial(inside if whole else {}, user_attrs={"defaults": not whole})

    def _ask(self) -> Trial:
        """The next proposal; it depends on the trials before it alone, not on how often the search was resumed."""
        from optuna.samplers import TPESampler

        self.study.sampler = TPESampler(seed=self.task.seed * 100_003 + len(self.trials), n_startup_trials=_RANDOM)
        return self.study.ask()

    def _settings(self, trial: Trial) -> Settings:
        if trial.user_attrs.get("defaults"):
            return dict(self.task.fixed)
        found = dict(self.task.fixed)
        for name, d in self.space.items():
            if isinstance(d, Choice):
                found[name] = trial.suggest_categorical(name, d.values)
            elif isinstance(d, Whole):
                found[name] = trial.suggest_int(name, d.low, d.high, log=d.log)
            else:
                found[name] = float(f"{trial.suggest_float(name, d.low, d.high, log=d.log):.4g}")
        return found

    def _tell(self, trial: Trial, value: float | None, *, pruned: bool = False) -> None:
        from optuna.trial import TrialState

        if value is not None:
            self.study.tell(trial, value)
        else:
            self.study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.FAIL)

    def _standing(self) -> str:
        best = f", best {self.best.value:.4f}" if self.best is not None else ""
        return (
            f"{self.task.model}: trial {len(self.trials) + 1}, "
            f"{self.spent:.0f} of {self.task.budget:.0f} CPU-seconds{best}"
        )


class _Watch:
    """Looks at a running trial: reports its curve, notes what it used, and says when it must end."""

    def __init__(self, trial: Trial, curve: Path, meter: Path, carried: float, left: float) -> None:
        self.trial, self.curve, self.meter, self.carried, self.left = trial, curve, meter, carried, left
        self.used, self.epochs, self.noted = 0.0, set[int](), time.monotonic()

    def __call__(self, used: float) -> str | None:
        self.used = used
        if time.monotonic() - self.noted >= _METER_EVERY:
            write_json(self.meter, {"cpu_seconds": self.carried + used})
            self.noted = time.monotonic()
        for epoch, value in _curve(self.curve):
            if epoch not in self.epochs:
                self.epochs.add(epoch)
                self.trial.report(value, epoch)
        if self.carried + used > self.left:
            return "budget"
        return "pruned" if self.epochs and self.trial.should_prune() else None


def _curve(path: Path) -> Iterator[tuple[int, float]]:
    """Epoch and score on valid of every complete line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError:
        return
    for line in lines:
        if line.endswith("\n"):
            entry = json.loads(line)
            if f"valid_{JUDGE}" in entry:
                yield int(entry["epoch"]), float(entry[f"valid_{JUDGE}"])


def _study(folder: Path, task: Task) -> Study:
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ModuleNotFoundError as error:
        raise MissingExtraError("'honeyguide tune'", "tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_RANDOM, n_warmup_steps=1)
    return optuna.create_study(
        storage=storage, study_name=task.model, direction="maximize", pruner=pruner, load_if_exists=True
    )


def _told(trial: FrozenTrial) -> bool:
    """Whether a trial has come to its end in some way; one that was killed with its search has not."""
    return trial.state.is_finished() and ("cost" in trial.user_attrs or bool(trial.user_attrs.get("repeated")))


def _counts(trial: FrozenTrial) -> bool:
    from optuna.trial import TrialState

    return trial.state == TrialState.COMPLETE and trial.value is not None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
