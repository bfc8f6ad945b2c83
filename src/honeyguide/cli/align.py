"""``honeyguide align``: tune a text encoder on what people did, so that users' and items' texts meet in one space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options


def align(
    data: Annotated[
        list[str], typer.Argument(metavar="DATA...", help="Data sets with texts of items, one or several.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the tuned encoder.")],
    setting: options.Set = None,
    together: Annotated[
        int, typer.Option("--together", min=0, help="Titles taken by the same people, named in an item's profile.")
    ] = 0,
    lm: Annotated[
        str | None, typer.Option("--lm", metavar="LM", help="A language model words the profiles; default: rules.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="Folder for checkpoints.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    device: options.Device = "auto",
    positive: options.Positive = None,
    json: options.Json = False,
) -> None:
    """Tune a text encoder on users' and items' profiles (EasyRec); models take it by --set encoder=OUT.

    Profiles are made of the item tables by rule, or worded by a language model. Only training parts are read.
    """
    from honeyguide.core.fitting import FitOptions, configured
    from honeyguide.data.load import load_data
    from honeyguide.data.splits import auto_split
    from honeyguide.encode.aligning import AlignConfig
    from honeyguide.encode.aligning import align as tune
    from honeyguide.experiment.settings import parse_settings
    from honeyguide.lm.profiles import corpus_of
    from honeyguide.lm.registry import language_model

    config = configured("align", AlignConfig, None, parse_settings(setting or []))
    speaker = language_model(lm) if lm is not None else None
    corpora = [corpus_of(auto_split(load_data(ref, positive=positive)), together=together, lm=speaker) for ref in data]
    fit = FitOptions(progress=not json, checkpoint=checkpoint, resume=resume, device=device)
    curve = tune(corpora, out, config, fit)
    if json:
        console.emit({"encoder": str(out), "curve": curve})
        return
    console.results().print(f"Tuned {config.encoder} on {sum(len(c.users) for c in corpora):,} users into {out}.")
    console.notes().print(f"Next: honeyguide fit DATA --model text-profile --set encoder={out} --out model")
