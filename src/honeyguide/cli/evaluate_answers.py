"""``honeyguide evaluate-answers``: raw answers of language models, and models, in one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options

_SHOWN = ("ndcg_exp", "recall", "hit", "item_coverage", "gini", "epc")


def evaluate_answers(
    data: Annotated[
        str, typer.Option("--data", "-d", metavar="DATA", help="Data set with a test part and titles of its items.")
    ],
    answers: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Parquet, CSV or JSON lines: user_id, answer, and model, experiment."),
    ] = None,
    models: Annotated[
        str, typer.Option("--models", "-m", help="Models to fit beside them; the first is the reference of the tests.")
    ] = "",
    profile: Annotated[
        int | None, typer.Option("--profile", min=1, help="Longest training profile, best rated items first.")
    ] = None,
    title_col: Annotated[str | None, typer.Option("--title-col", help="Column of the items' titles.")] = None,
    creator_col: Annotated[str | None, typer.Option("--creator-col", help="Column of authors or artists.")] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Text encoder for titles that no name fits, such as minilm.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Parse answers, find what they name in the catalogue, count what went wrong, and measure the lists.

    21 metrics at 10, 20 and 50, paired t and Wilcoxon tests against the reference, and agreement with it.
    """
    from honeyguide.core.errors import ConfigError
    from honeyguide.data.load import load_data
    from honeyguide.encode.text import text_encoder
    from honeyguide.experiment.answers import evaluate_answers as evaluate
    from honeyguide.experiment.answers import grounder_of, read_answers
    from honeyguide.experiment.settings import build_model

    named = [name.strip() for name in models.split(",") if name.strip()]
    if answers is None and not named:
        raise ConfigError("There is nothing to evaluate.", "Name a file of answers, or --models.")
    loaded = load_data(data)
    grounder = None
    if answers is not None:
        with_meaning = {"encoder": text_encoder(encoder)} if encoder is not None else {}
        grounder = grounder_of(loaded, title_col, creator_col, **with_meaning)
    found = evaluate(
        read_answers(answers) if answers is not None else None,
        loaded,
        models={name: build_model(name) for name in named},
        profile=profile,
        grounder=grounder,
        progress=lambda text: console.notes().print(text),
    )
    if json:
        console.emit(found)
        return
    rows = [
        [
            " ".join(filter(None, (row["model"], row["experiment"]))),
            *(f"{row['metrics'][f'{name}@10']:.4g}" for name in _SHOWN),
            *(_counts(row["answers"])),
            f"{row['closest']['metrics']['ndcg_exp@10']:.4g}" if row["closest"] is not None else "",
            _tests(row["vs_reference"]),
        ]
        for row in found["rows"]
    ]
    heads = [
        "system",
        *(f"{name}@10" for name in _SHOWN),
        "grounded",
        "repeats",
        "seen",
        "ndcg by closest title",
        "p of ndcg: t, Wilcoxon",
    ]
    console.results().print(console.table(f"{found['dataset']}: {found['n_users']} users", heads, rows, numeric=11))
    console.notes().print(f"{found['protocol']}. Tested against {found['reference']}. All 21 metrics: --json.")


def _counts(answers: dict[str, float] | None) -> list[str]:
    if answers is None:
        return ["", "", ""]
    return [f"{answers[name]:.1%}" for name in ("grounded_share", "repeat_share", "seen_share")]


def _tests(found: dict[str, dict[str, dict[str, float]]] | None) -> str:
    if found is None:
        return ""
    test = found["tests"]["ndcg_exp@10"]
    return f"{test['t']:.2g}, {test['wilcoxon']:.2g}"
