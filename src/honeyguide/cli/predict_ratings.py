"""``honeyguide predict-ratings``: a language model that tells ratings, beside the rules it has to beat."""

from __future__ import annotations

from typing import Annotated

import typer

from honeyguide.cli import console, options


def predict_ratings(
    data: options.DataRef,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="transformers:NAME, smollm2, FILE.gguf, a folder, MODEL@URL or replay:FILE."
        ),
    ] = "transformers:smollm2",
    shots: Annotated[int, typer.Option("--shots", min=0, help="Examples shown in every prompt.")] = 0,
    tune: Annotated[int, typer.Option("--tune", min=0, help="Examples to tune a local model on first.")] = 0,
    regression: Annotated[
        bool, typer.Option("--regression", help="Tune a head that answers with a number, by squared error.")
    ] = False,
    sample: Annotated[int, typer.Option("--sample", min=2, help="Test ratings to ask about.")] = 200,
    history: Annotated[int, typer.Option("--history", min=1, help="Latest ratings told in a prompt.")] = 10,
    columns: Annotated[str, typer.Option("--columns", help="Columns of the items' text, such as title,genres.")] = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")] = 0,
    json: options.Json = False,
) -> None:
    """Ask a language model for ratings of the last tenth of the events, from what each person rated before."""
    from honeyguide.data.load import load_data
    from honeyguide.experiment.ratings import predict_ratings as predict
    from honeyguide.lm.registry import language_model

    named = [name.strip() for name in columns.split(",") if name.strip()]
    found = predict(
        load_data(data),
        language_model(model, **({"reuse": True} if model.startswith("transformers:") else {})),
        shots=shots,
        tune=tune,
        regression=regression,
        sample=sample,
        history=history,
        columns=named or None,
        seed=seed,
        progress=lambda text: console.notes().print(text),
    )
    if json:
        console.emit(found)
        return
    rows = [
        [
            row["system"],
            *(f"{row[m]:.4f} [{row[f'{m}_ci'][0]:.3f}, {row[f'{m}_ci'][1]:.3f}]" for m in _SHOWN),
            str(row["unread"]),
        ]
        for row in found["rows"]
    ]
    console.results().print(console.table(found["protocol"], ["system", *_SHOWN, "unread"], rows, numeric=4))


_SHOWN = ("rmse", "mae", "auc")
