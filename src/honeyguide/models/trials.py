"""The trials of a search: what was fitted, what it cost, how good it is, and what of it can be resumed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ArtifactError, FitInterrupted, HoneyguideError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import cpu_seconds
from honeyguide.data.fingerprint import fingerprint
from honeyguide.data.valid import new_on_valid
from honeyguide.metrics.holdout import drawn_users, model_ndcg
from honeyguide.metrics.stats import paired_test
from honeyguide.models.fusion import MOST_USERS, Candidates, collect
from honeyguide.models.portfolio import Arm
from honeyguide.models.registry import load_model

VALID = "events of valid"  # in the ladder
_LEAST_VALID = 20  # users on valid, below which nothing is chosen by them
_MOST = 10_000  # users whom a model is judged on
_PER_SECOND, _FEWEST = 12, 1_000  # users whom a blend is learnt on, by CPU-second of the budget; and the least
_PER_PART = 7e-4  # CPU-seconds of a blend, by user and part
_LEAST_JUDGES, _MOST_JUDGES = 300, 2_000  # users by whom a place for cold items is judged

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """A fitted arm.

    Parameters
    ----------
    arm
        What was fitted.
    model
        The fitted model.
    values
        NDCG@10 on valid of every user who is judged on.
    cpu_seconds
        Of the fit, all its rounds together.
    """

    arm: Arm
    model: Recommender
    values: Values
    cpu_seconds: float

    @property
    def value(self) -> float:
        """Mean NDCG@10 on valid; without a part valid every model is worth nothing, and the first is kept."""
        return float(self.values.mean()) if len(self.values) else 0.0

    @property
    def epochs(self) -> int:
        """Most epochs that a fit of the model takes when it is not ended before."""
        config: Any = getattr(self.model, "resolved", self.model.config)
        return int(config.epochs)

    @property
    def per_epoch(self) -> float:
        """CPU-seconds of one of its epochs; where it has not ended one, as far as can be told from its beginning."""
        report = self.model.report
        if report.curve:
            return float(report.curve[-1]["cpu_seconds"] / len(report.curve))
        return report.cpu_seconds / (report.begun or 1.0)


@dataclass
class Spending:
    """CPU-seconds of a block of work, set when it ends."""

    cpu: float = 0.0


@dataclass
class Trials:
    """Runs arms on one data set and keeps the ladder of what was tried.

    Parameters
    ----------
    data
        The parts train and valid.
    folder
        Keeps fitted arms and checkpoints, for a search that is resumed.
    options
        Of every fit.
    budget, wall
        CPU-seconds and wall seconds in all.
    seed
        Of the models and of the users who are judged on.
    """

    data: Dataset
    folder: Path
    options: FitOptions
    budget: float
    wall: float | None
    seed: int
    ladder: list[dict[str, Any]] = field(default_factory=list)
    done: list[Trial] = field(default_factory=list)
    blended: float | None = None  # NDCG@10 of the blend that was chosen last

    def __post_init__(self) -> None:
        self.began, self.began_wall, self.carried = cpu_seconds(), time.monotonic(), 0.0
        self.train, self.valid = self.data.histories("train"), new_on_valid(self.data)
        self.digest, self.begun = fingerprint(self.data)[:16], set[Path]()

    @property
    def spent(self) -> float:
        """CPU-seconds so far, those of the runs before a resumption included."""
        return cpu_seconds() - self.began + self.carried

    @property
    def left(self) -> float:
        """CPU-seconds that are left; none when the wall time is over."""
        late = self.wall is not None and time.monotonic() - self.began_wall > self.wall
        return 0.0 if late else max(0.0, self.budget - self.spent)

    @property
    def best(self) -> Trial | None:
        """The trial with the highest value, the first of equals."""
        return max(self.done, key=lambda trial: trial.value, default=None)

    def last(self, arm: Arm) -> Trial | None:
        """The last trial of an arm."""
        return next((trial for trial in self.done if trial.arm.label == arm.label), None)

    @property
    def n_judges(self) -> int:
        """Users with something new to them on valid: the others tell nothing, for what was seen is left out."""
        return int(np.count_nonzero(self.valid.lengths))

    @property
    def few(self) -> bool:
        """Whether these are too few to tell models apart: of few, chance chooses."""
        return self.n_judges < _LEAST_VALID

    @property
    def judges(self) -> int:
        """Users by whom a place for cold items is judged: as many as the budget has seconds for."""
        return self._affordable(_LEAST_JUDGES, _MOST_JUDGES)

    def _affordable(self, least: int, most: int) -> int:
        """Users that the budget has seconds for."""
        return int(np.clip(self.budget * _PER_SECOND, least, most))

    @property
    def last_blend(self) -> float:
        """CPU-seconds of the last blend."""
        costs = [float(step["cpu_seconds"]) for step in self.ladder if step["step"] == "blend"]
        return costs[-1] if costs else 0.0

    def run(self, arm: Arm, limit: float | None = None) -> Trial | None:
        """Fit an arm, for at most ``limit`` CPU-seconds in all its rounds; ``None`` where it cannot be fitted.

        An arm that was fitted before, in this search or in one that is resumed, goes on where it stood.
        """
        started, earlier = self.spent, self.last(arm)
        folder = self.folder / hashlib.sha256(f"{arm} {self.seed} {self.digest}".encode()).hexdigest()[:16]
        try:
            model, origin = self._fitted(arm, folder, limit)
            values = self._judge(model)
        except FitInterrupted:
            raise
        except HoneyguideError as error:
            self.skip(arm.label, error.message)
            return None
        cost = self.spent - started + (earlier.cpu_seconds if earlier is not None else 0.0)
        trial = Trial(arm, model, values, cost)
        self.done = [t for t in self.done if t.arm.label != arm.label] + [trial]
        if self.options.checkpoint is not None:  # before it is told: what somebody has read of is kept
            model.save(folder / "model")
            (folder / "cost.json").write_text(json.dumps({"cpu_seconds": cost}), encoding="utf-8")
        self._note(trial, origin)
        return trial

    def _fitted(self, arm: Arm, folder: Path, limit: float | None) -> tuple[Recommender, dict[str, Any]]:
        """The model of an arm, and for the ladder what of it an interrupted search had done.

        What that had cost counts as spent. Of a training without a saved model it is what the learning curve tells.
        """
        first = self.options.resume and self.last(arm) is None
        kept, before = _kept(folder) if first else (None, 0.0)
        self.carried += before
        if kept is not None and (kept.report.finished or (limit is not None and before >= limit)):
            return kept, {"taken_over": "fitted", "carried": round(before, 1)}
        options = replace(
            self.options,
            cpu_limit=limit,
            learn_valid=False,
            checkpoint=folder / "checkpoint" if arm.epochs else None,
            resume=self.options.resume or folder in self.begun,
            on_better=None,
            on_trial=None,
            progress=self.options.progress and arm.epochs,
        )
        self.begun.add(folder)
        started = self.spent
        model = arm.build(int(arm.options.get("seed", self.seed))).fit(self.data, options)
        if not (first and arm.epochs and model.report.curve):
            return model, {}
        more = max(0.0, model.report.curve[-1]["cpu_seconds"] - (self.spent - started) - before)
        self.carried += more
        return model, {"taken_over": "begun", "carried": round(before + more, 1)} if before + more > 0 else {}

    def drop(self, trial: Trial) -> None:
        """Let go of the model of a trial; what the ladder says of it stays."""
        self.done = [t for t in self.done if t is not trial]

    def skip(self, label: str, reason: str) -> None:
        """Say in the ladder why an arm or a step is not there."""
        self._tell({"step": "skipped", "label": label, "why": reason})

    def candidates(self, trials: Sequence[Trial]) -> Candidates:
        """Held-out users of valid with the best items of every trial."""
        most = self._affordable(_FEWEST, MOST_USERS)
        return collect([t.model for t in trials], self.train, self.valid, seed=self.seed, most=most)

    def blending(self, parts: int) -> float:
        """CPU-seconds that a blend of some of ``parts`` models is expected to take."""
        users = min(self.n_judges, self._affordable(_FEWEST, MOST_USERS))
        return max(self.last_blend, _PER_PART * users * parts)

    @contextmanager
    def spending(self) -> Iterator[Spending]:
        """Meter a block of work."""
        meter, started = Spending(), self.spent
        yield meter
        meter.cpu = self.spent - started

    def note_blend(
        self, parts: Sequence[Trial], adds: Sequence[Values], mixed: Values, single: Values, cpu: float, level: float
    ) -> bool:
        """Write down a blend, and whether it is better than the best single model on the same users and than the last.

        Parameters
        ----------
        parts, adds
            Its parts, and what each adds to NDCG@10 of every user.
        mixed, single
            NDCG@10 of every user under weights learnt from others, and of the best single model.
        cpu
            What making it cost.
        level
            p-value below which the difference counts.
        """
        p = float(paired_test(mixed, single).p) if len(mixed) > 1 else 1.0
        value = float(mixed.mean())
        certain, ahead = value > float(single.mean()) and p < level, self.blended is None or value > self.blended
        if certain and ahead:
            self.blended = value
        self._tell(
            {
                "step": "blend",
                "label": " + ".join(t.arm.label for t in parts),
                "ndcg@10": value,
                "best_single": float(single.mean()),
                "p": p,
                "verdict": ("better" if ahead else "not better than the one before") if certain else "within noise",
                "adds": {
                    t.arm.label: {"ndcg@10": float(a.mean()), "se": float(a.std() / np.sqrt(max(1, len(a))))}
                    for t, a in zip(parts, adds, strict=True)
                },
                "cpu_seconds": round(cpu, 1),
            }
        )
        return certain and ahead

    def note_mean(self, parts: Sequence[Trial], mean: Values, single: Values) -> bool:
        """Write down the mean of models, and whether it is not worse than the best of them beyond noise.

        That the best is the best of several raises its value, by about a standard error; the mean was not chosen.
        """
        lost = single - mean
        kept = bool(lost.mean() <= lost.std() / np.sqrt(max(1, len(lost))))
        self._tell(
            {
                "step": "mean",
                "label": "mean of " + " + ".join(t.arm.label for t in parts),
                "ndcg@10": float(mean.mean()),
                "best_single": float(single.mean()),
                "verdict": "within noise, and not chosen by luck" if kept else "worse than the best of them",
                "cpu_seconds": 0.0,
            }
        )
        return kept

    def note_cold(self, search: Sequence[dict[str, Any]], cpu: float) -> None:
        """Write down what the map for cold items cost, and what its calibration found on valid.

        Parameters
        ----------
        search
            Of :class:`~honeyguide.models.content.cold_map.ColdMap`.
        cpu
            What making it cost.
        """
        warm = [float(point["warm ndcg@10"]) for point in search if "warm_text" in point]
        cold = [float(point["cold ndcg@10"]) for point in search if point.get("kept")]
        found = f"NDCG@10 of cold items {max(cold):.4f}" if cold else "no events to choose its weights by"
        entry = {"step": "cold", "label": "cold-map", "verdict": found, "cpu_seconds": round(cpu, 1)}
        self._tell(entry | {"ndcg@10": max(warm, default=0.0)})

    def relearning(self, model: Recommender) -> float:
        """CPU-seconds that an update of ``model`` with the events of valid is expected to take, at most.

        What was learnt in closed form is solved again; a network reads all histories once.
        """
        trial = next((t for t in self.done if t.model is model), None)
        if trial is None:
            return sum(self.relearning(part) for part in model.made_of)
        return trial.per_epoch if trial.arm.epochs else trial.model.report.cpu_seconds

    def note_valid(self, cpu: float) -> None:
        """Write down that the events of valid were learnt, and at what cost."""
        n = len(self.data.histories("valid").values)
        learnt = {"step": "valid", "label": VALID, "verdict": f"{n:,}, learnt too"}
        self._tell(learnt | {"cpu_seconds": round(cpu, 1)})

    def _judge(self, model: Recommender) -> Values:
        """NDCG@10 on valid of the users who are judged on."""
        users = np.sort(drawn_users(self.valid, _MOST, self.seed))
        return model_ndcg(model, self.train.take(users), self.valid.take(users))

    def _note(self, trial: Trial, origin: dict[str, Any]) -> None:
        entry: dict[str, Any] = {"step": "model", "label": trial.arm.label, "ndcg@10": trial.value}
        if trial.arm.epochs:
            entry |= {"epochs": len(trial.model.report.curve), "finished": trial.model.report.finished}
        self._tell(entry | {"cpu_seconds": round(trial.cpu_seconds, 1)} | origin)

    def _tell(self, entry: dict[str, Any]) -> None:
        """One more step of the ladder."""
        self.ladder.append(entry | {"spent": round(self.spent, 1)})
        if self.options.on_trial is not None:
            self.options.on_trial(self.ladder[-1])


def _kept(folder: Path) -> tuple[Recommender | None, float]:
    """The model that an interrupted search had fitted and its CPU-seconds; ``None`` where it is not whole."""
    try:
        cost = json.loads((folder / "cost.json").read_text(encoding="utf-8"))["cpu_seconds"]
        return load_model(folder / "model"), float(cost)
    except (ArtifactError, OSError, ValueError, KeyError, TypeError):
        return None, 0.0
