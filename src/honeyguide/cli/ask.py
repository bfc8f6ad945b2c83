"""``honeyguide ask``: one question to a language model."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli import console, options


def ask(
    question: Annotated[str, typer.Argument(metavar="TEXT", help="The question; - for standard input.")],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="smollm2, FILE.gguf, a folder, transformers:NAME, MODEL@URL or replay:FILE."
        ),
    ] = "smollm2",
    system: Annotated[str | None, typer.Option("--system", help="What the model is told first.")] = None,
    schema: Annotated[Path | None, typer.Option("--schema", help="File with the JSON schema of the answer.")] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.")] = 256,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 for the likeliest answer.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")] = 0,
    json: options.Json = False,
) -> None:
    """Ask a language model; the answer goes to standard output."""
    from honeyguide.lm.port import Prompt
    from honeyguide.lm.registry import language_model

    text = sys.stdin.read() if question == "-" else question
    prompt = Prompt.of(
        text,
        system=system,
        schema=_schema(schema) if schema is not None else None,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
    )
    lm = language_model(model)
    if prompt.schema is not None:
        lm.require("schema")
    (answer,) = lm.generate([prompt])
    if json:
        console.emit(asdict(answer))
        return
    typer.echo(answer.text)
    usage = answer.usage
    console.notes().print(
        f"{answer.model}: {usage.prompt_tokens} tokens read, {usage.answer_tokens} written, {usage.seconds:.1f} s"
        + ("; cut at --max-tokens" if answer.finish == "length" else "")
    )


def _schema(file: Path) -> dict[str, object]:
    import json

    from honeyguide.core.errors import ConfigError

    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} holds no JSON schema: {error}.", "Give a file with a JSON object.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file} holds no JSON schema.", "Give a file with a JSON object.")
    return found
