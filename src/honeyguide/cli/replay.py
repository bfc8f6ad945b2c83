"""``honeyguide replay``: a labelled log served again in the order of time."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from honeyguide.cli import console, options
from honeyguide.cli.compare import progress


@options.reads_data
def replay(
    data: options.DataRef,
    read: dict[str, Any],
    models: Annotated[str, typer.Option("--models", "-m", help="Names, separated by commas.")] = "din,din+reloop2",
    chunk: Annotated[int, typer.Option("--chunk", min=1, help="Events after which outcomes are known.")] = 500,
    learn_every: Annotated[
        int, typer.Option("--learn-every", min=0, help="Chunks after which models are fine-tuned; 0 for never.")
    ] = 0,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="MODEL.OPTION=VALUE", help="An option of one model.")
    ] = None,
    json: options.Json = False,
    device: options.Device = "auto",
) -> None:
    """Predict, then learn how it turned out: labelled events in the order of time.

    Half of the events fit the models, a tenth is valid, the rest is replayed, whatever split the data has. Needs
    labels (--positive 'rating>=4') and times.
    """
    from honeyguide.core.fitting import FitOptions
    from honeyguide.data.load import load_data
    from honeyguide.experiment.replay import replay_models
    from honeyguide.experiment.settings import parse_settings

    read["split"] = "none"
    with progress() as tell:
        found = replay_models(
            load_data(data, **read),
            [name.strip() for name in models.split(",") if name.strip()],
            chunk=chunk,
            learn_every=learn_every,
            settings=parse_settings(setting or []),
            options=FitOptions(device=device),
            progress=lambda name, number, total: tell(name, number + 1, total),
        )
    if json:
        console.emit(found)
        return
    head = ["model", "fine-tuned", "AUC", "GAUC", "log-loss", "AUC without plug-ins", "log-loss without"]
    rows = [
        [
            row["model"],
            f"every {learn_every} chunks" if row["learns"] else "never",
            *(f"{row['metrics'][name]:.4f}" for name in ("auc", "gauc", "log_loss")),
            *(f"{row['plain'][name]:.4f}" for name in ("auc", "log_loss")),
        ]
        for row in found["rows"]
    ]
    title = f"{found['dataset']}: {found['n_events']:,} events replayed, outcomes known after {chunk}"
    console.report(False).print(console.table(title, head, rows, numeric=5))
