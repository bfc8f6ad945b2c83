"""Search the options of several models with the same budget each, and test the best of each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError
from honeyguide.data.fingerprint import fingerprint
from honeyguide.experiment.bundle import save_bundle
from honeyguide.experiment.compare import ALWAYS, Options, Progress, as_dataset, compare, frozen, slug
from honeyguide.experiment.comparison import Comparison
from honeyguide.experiment.parts import with_test
from honeyguide.experiment.records import write_json, write_text
from honeyguide.experiment.search import JUDGE, Search, Task
from honeyguide.experiment.settings import Settings, build_model, check_by_model
from honeyguide.models.registry import load_model

MOST_TRIALS = 500
PROTOCOL = (
    f"options chosen by {JUDGE} on valid; the same budget of CPU-seconds for every model, the floors included, "
    "counting everything that a trial's process uses; the first trial has the defaults; "
    "test read once, for the best of each model"
)


@dataclass(frozen=True)
class Tuning:
    """A finished search.

    Parameters
    ----------
    document
        ``{"dataset", "protocol", "budget", "seed", "rows": [...], "winner", "test"}``, as written to ``--json``.
    comparison
        The best configuration of every model, on test.
    """

    document: dict[str, Any]
    comparison: Comparison

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per model: best settings, score on valid, trials, cost, history."""
        rows: list[dict[str, Any]] = self.document["rows"]
        return rows


def tune(
    data: Dataset | str,
    models: Sequence[str],
    *,
    budget: float,
    trials: int = MOST_TRIALS,
    seed: int = 0,
    settings: Mapping[str, Settings] | None = None,
    html: str | Path | None = None,
    json: str | Path | None = None,
    out: str | Path | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Tuning:
    """Search the options of ``models`` on valid, then compare the best of each on test.

    Popularity and the linear floor are searched too, with the same budget: a tuned model beside an
    untuned floor proves nothing. What is searched is the ``space`` of each model; a model without
    one runs its defaults. An interrupted search goes on where it stopped.

    Parameters
    ----------
    data
        As for :func:`honeyguide.compare`.
    models
        Registered names.
    budget
        CPU-seconds for each model.
    trials
        Most trials of each model.
    seed
        Of the search and of the models.
    settings
        Options by model name that are set and not searched.
    html, json, out
        Files for the report and the results, and a folder for the best model with the histories.
    options, progress
        As for :func:`honeyguide.compare`.

    Raises
    ------
    MissingExtraError
        If Optuna is not installed.
    UnknownNameError, ConfigError
        If a model, an option or the budget is wrong, before anything is fitted.
    DataError
        If there is nothing to choose or to test on.
    """
    options, settings = options or Options(), settings or {}
    names = list(dict.fromkeys([*(n for n in ALWAYS if n not in models), *models]))
    _check(names, budget, settings)
    data = with_test(as_dataset(data))
    if not len(data.histories("valid").values):
        raise DataError("there is no part valid to choose on.", "Give more events, or a split that has one.")
    searches = _search(data, names, budget, trials, seed, settings, options, progress)
    found = {name: search.best for name, search in searches.items()}
    chosen = [build_model(name, best.user_attrs["settings"]) for name, best in found.items() if best is not None]
    tested = Options(
        runs=options.runs,
        keep_models=out is not None,
        device=options.device,
        precision=options.precision,
        memory_limit=options.memory_limit,
    )
    comparison = compare(data, chosen, seeds=[seed], options=tested, progress=progress)
    rows = [_row(search) for search in searches.values()]
    winner = max((r for r in rows if r["valid"] is not None), key=lambda r: float(r["valid"]), default=None)
    document = {
        "dataset": comparison.document["dataset"],
        "protocol": PROTOCOL,
        "judge": JUDGE,
        "budget": budget,
        "seed": seed,
        "rows": rows,
        "winner": winner["model"] if winner is not None else None,
        "test": comparison.document,
    }
    tuning = Tuning(document, comparison)
    _write(tuning, data, html, json, out)
    return tuning


def _check(names: Sequence[str], budget: float, settings: Mapping[str, Settings]) -> None:
    if budget <= 0:
        raise ConfigError(f"a budget of {budget:g} seconds is no budget.", "Give for example 10m.")
    check_by_model(settings, names, "tuned")
    for name in names:
        build_model(name, settings.get(name, {}))


def _search(
    data: Dataset,
    names: Sequence[str],
    budget: float,
    trials: int,
    seed: int,
    settings: Mapping[str, Settings],
    options: Options,
    progress: Progress | None,
) -> dict[str, Search]:
    """Run every search; what the trials read holds no test part."""
    visible = data.select("train", "valid")
    content = fingerprint(visible)
    folder = Path(options.runs) / f"{slug(data.name)}-{content[:12]}"
    searches = {}
    with frozen(visible, folder) as snapshot:
        for number, name in enumerate(names, start=1):
            task = Task(
                model=name,
                fixed=dict(settings.get(name, {})),
                snapshot=snapshot,
                content=content,
                folder=folder,
                budget=budget,
                trials=trials,
                seed=seed,
                device=options.device,
                precision=options.precision,
                memory_limit=options.memory_limit,
            )
            searches[name] = Search(task, fresh=options.fresh)
            searches[name].run(None if progress is None else lambda what, n=number: progress(what, n, len(names)))  # type: ignore[misc]
    return searches


def _row(search: Search) -> dict[str, Any]:
    """What the search of one model came to."""
    tried = [t for t in search.trials if not t.user_attrs.get("repeated")]
    best, history, spent, highest = search.best, [], 0.0, None
    for trial in tried:
        spent += float(trial.user_attrs["cost"])
        value = trial.value if trial.state.name == "COMPLETE" else None
        highest = value if highest is None or (value is not None and value > highest) else highest
        history.append(
            {
                "settings": trial.user_attrs["settings"],
                "valid": value,
                "best": highest,
                "cpu_seconds": float(trial.user_attrs["cost"]),
                "spent": spent,
                "ended": trial.user_attrs.get("stopped") or ("failed" if "error" in trial.user_attrs else "finished"),
            }
        )
    errors = [t.user_attrs["error"] for t in tried if "error" in t.user_attrs]
    error = None
    if best is None:
        error = errors[0] if errors else "no trial came to an end within the budget; give more"
    return {
        "model": search.task.model,
        "settings": best.user_attrs["settings"] if best is not None else None,
        "valid": best.value if best is not None else None,
        "valid_of_defaults": history[0]["valid"] if history else None,
        "trials": len(tried),
        "ended": {how: sum(h["ended"] == how for h in history) for how in ("finished", "pruned", "budget", "failed")},
        "cpu_seconds": spent,
        "searched": sorted(search.space),
        "history": history,
        "error": error,
    }


def _write(
    tuning: Tuning, data: Dataset, html: str | Path | None, json: str | Path | None, out: str | Path | None
) -> None:
    if json is not None:
        write_json(Path(json), tuning.document)
    if html is not None:
        from honeyguide.experiment.pages import tuning_page

        write_text(Path(html), tuning_page(tuning))
    winner = tuning.document["winner"]
    if out is not None and winner is not None:
        cell = next(c for c in tuning.comparison.cells if c.model == winner and not c.failed)
        save_bundle(Path(out), load_model(cell.record["model_out"]), data)
