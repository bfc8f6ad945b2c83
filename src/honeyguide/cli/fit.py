"""``honeyguide fit``: from an event log to a saved recommender."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli import answers, console, ladder, options

if TYPE_CHECKING:
    from honeyguide.core.dataset import Dataset
    from honeyguide.core.recommender import Recommender
    from honeyguide.data.report import CheckReport

DEFAULT_MODEL = "auto"


@options.reads_data
def fit(
    ctx: typer.Context,
    data: options.DataRef,
    read: dict[str, Any],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model and the histories.")],
    model: options.Model = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="CPU time of the search without --model: 90s, 10m, 2h; default 10m.")
    ] = None,
    pictures: options.Pictures = None,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file of 'honeyguide config init'.")] = None,
    setting: options.Set = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the model.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Folder for checkpoints; default: OUT/checkpoint.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint of an interrupted fit.")] = False,
    learn_valid: Annotated[
        bool | None,
        typer.Option(
            "--learn-valid/--hold-valid",
            help="At the end, learn valid too, or hold it out; default: a search learns it.",
            show_default=False,
        ),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    memory_limit: options.MemoryLimit = None,
    json: options.Json = False,
) -> None:
    """Fit a model and save it with the histories it serves from; without --model, find the best within --budget.

    A search saves an answer within seconds and better ones as it finds them; interrupted, it goes on with
    --resume, and what it saved last can be used meanwhile.

    A published split is obeyed and its test part is never fitted on; without one, everything is
    training data but for a small seeded part by which options are chosen. When all is chosen, a search learns
    that part too.

    Started by torchrun, several processes fit one model together; the first of them prints and saves it.
    """
    from honeyguide.core.errors import FitInterrupted
    from honeyguide.core.fitting import FitOptions
    from honeyguide.core.processes import this_process
    from honeyguide.data.load import read_with_report
    from honeyguide.experiment.bundle import save_bundle
    from honeyguide.experiment.parts import what_is_learnt, with_valid

    first = this_process().rank == 0
    if not first:
        console.mute()
    recommender = build(model, config, setting, seed, budget)
    read["pictures"] = pictures
    dataset, found = read_with_report(data, **read)
    dataset = with_valid(dataset)
    say = console.report(json)
    if first:
        tell_what_is_replaced(out)
    little = what_is_learnt(dataset, found.reading)
    announce(recommender, dataset, found, say)
    if little is not None:
        console.notes().print(little, style="yellow")
    folder, best = checkpoint or out / "checkpoint", None
    digest = answers.digest_of(dataset) if first else ""
    begun = answers.begin(folder, dataset, digest, recommender, resume=resume) if first else None
    if first and recommender.name == DEFAULT_MODEL:
        seed = recommender.config.seed
        best = answers.Answers(out, folder, dataset, digest, found.reading, seed=seed, resume=resume)
    how = FitOptions(
        progress=not console.is_quiet(),
        checkpoint=folder,
        resume=resume,
        memory_limit=options.parse_bytes(memory_limit),
        device=device,
        precision=precision,
        learn_valid=recommender.name == DEFAULT_MODEL if learn_valid is None else learn_valid,
        on_better=best.publish if best is not None else None,
        on_trial=partial(tell, best, begun),
        on_epoch=(lambda _: begun()) if begun is not None else None,
    )
    try:
        recommender.fit(dataset, how)
    except (KeyboardInterrupt, FitInterrupted) as error:
        raise answers.interrupted(error, folder, best, ctx) from None
    if not first:
        return
    save_bundle(out, recommender, dataset, found.reading)
    if checkpoint is None:
        shutil.rmtree(out / "checkpoint", ignore_errors=True)
    summarise(recommender, out, say, json)


def tell_what_is_replaced(out: Path) -> None:
    """Warn where a model with updates stands in ``out``: a fit knows what they brought only if its data does."""
    from honeyguide.core.errors import HoneyguideError
    from honeyguide.models.registry import load_model

    try:
        updates = len(load_model(out).report.updates)
    except HoneyguideError:  # none is there, or none that can be used
        return
    if updates:
        console.notes().print(
            f"{out} holds a model that was updated {updates} time{'s' if updates > 1 else ''} since its fit: what that "
            "brought, users and histories too, is in the new one only if the data given here has it.",
            style="yellow",
        )


def tell(best: answers.Answers | None, begun: Callable[[], None] | None, entry: dict[str, Any]) -> None:
    """Print a step of the search, of which a better answer may follow."""
    if begun is not None:
        begun()
    if best is not None:
        best.follow(entry)
    console.notes().print(ladder.line(entry) + answers.from_checkpoint(entry))


def build(
    model: str | None, config: Path | None, setting: list[str] | None, seed: int | None, budget: str | None = None
) -> Recommender:
    """The model that the options describe; flags win over the file."""
    from honeyguide.core.errors import ConfigError
    from honeyguide.experiment.settings import build_model, from_toml, merge, parse_settings

    named, settings = from_toml(config) if config is not None else (None, {})
    if model is not None and named is not None and model != named:
        raise ConfigError(f"{config} is for {named!r}, and --model says {model!r}.", "Give one of the two.")
    settings = merge(settings, parse_settings(setting or []))
    if seed is not None:
        settings["seed"] = seed
    chosen = model or named or DEFAULT_MODEL
    if budget is not None:
        if chosen != DEFAULT_MODEL:
            raise ConfigError(f"{chosen} has no budget.", "Leave out --model to search within one.")
        settings["budget"] = options.parse_seconds(budget)
    return build_model(chosen, settings)


def announce(model: Recommender, data: Dataset, found: CheckReport, say: Any) -> None:
    """Print what was read and set aside, what the data holds and what the fit is expected to need."""
    import numpy as np

    from honeyguide.data.describe import describe
    from honeyguide.data.valid import new_on_valid

    say.print(str(found))
    say.print(str(describe(data)))
    if model.name == DEFAULT_MODEL:
        judges, some = (np.count_nonzero(lists.lengths) for lists in (new_on_valid(data), data.histories("valid")))
        rest = f"; the other {some - judges:,} have only what they had before" if judges < some else ""
        say.print(f"Chosen by the {judges:,} users who have something new on valid{rest}.")
    say.print(f"Fitting {model.name}: needs {model.estimate(data.select('train', 'valid'))}.")


def summarise(model: Recommender, out: Path, say: Any, as_json: bool) -> None:
    """Print what the fit cost, what was chosen, and what to do next."""
    from dataclasses import asdict

    ladder.evidence(model, say)
    say.print(f"Saved to {out}. Next: honeyguide recommend {out} --user ID --why")
    if as_json:
        console.emit(
            {
                "model": model.name,
                "out": str(out),
                "params": model.config.model_dump(mode="json"),
                "chosen": model.stands_for,
            }
            | asdict(model.report)
        )
