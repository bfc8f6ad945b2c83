"""The ``honeyguide`` command: its commands, its global flags and how it reports errors."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from honeyguide import __version__
from honeyguide.cli import (
    add_items,
    align,
    ask,
    backtest,
    backup,
    compare,
    concepts,
    config,
    console,
    corrections,
    data,
    evaluate_answers,
    experiment,
    exposures,
    fit,
    forget,
    keys,
    mcp,
    metrics,
    models,
    papers,
    predict_ratings,
    quickstart,
    recommend,
    refit,
    replay,
    reproduce,
    serve,
    show,
    similar,
    tune,
    update,
    version,
)
from honeyguide.core.errors import ConfigError, HoneyguideError
from honeyguide.core.processes import this_process

_GLOBAL_FLAGS = ("--debug", "--verbose", "-v", "-vv", "--quiet", "-q")
_THREADS = ("OMP_WAIT_POLICY", "PASSIVE")  # those without work sleep: to spin costs CPU-seconds, most on a busy machine
INTERRUPTED = 130
UNEXPECTED = 70


class HoneyguideGroup(TyperGroup):
    """Global flags may stand anywhere on the line; errors are one line, a remedy and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Move the global flags to the front, where they belong to this group."""
        end = args.index("--") if "--" in args else len(args)
        front = [a for a in args[:end] if a in _GLOBAL_FLAGS]
        rest = [a for a in args[:end] if a not in _GLOBAL_FLAGS]
        parsed: list[str] = super().parse_args(ctx, [*front, *rest, *args[end:]])
        return parsed

    def invoke(self, ctx: Any) -> Any:
        """Run the command; typed errors and failures of the system end it without a traceback."""
        try:
            return super().invoke(ctx)
        except HoneyguideError as error:
            _report(ctx, error, error.message, error.remedy)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            console.notes().print("Interrupted.", style="yellow")
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _report(ctx, error, f"{where}{error.strerror or error}.", None)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=HoneyguideGroup,
    name="honeyguide",
    help="From a log of what people did to a recommender one can question, command and trust.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log more; -vv for everything.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no progress, only results.")] = False,
    show_version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
) -> None:
    """Set up logging and what is shown."""
    ctx.obj = {"debug": debug}
    if this_process().size > 1 and ctx.invoked_subcommand != "fit":
        raise ConfigError("Only 'fit' runs in several processes.", "Start this command without torchrun.")
    console.set_quiet(quiet)
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s: %(message)s", force=True)
    logging.getLogger("matplotlib").setLevel(max(level, logging.INFO))


def _report(ctx: Any, error: Exception, message: str, remedy: str | None) -> None:
    if (ctx.find_root().obj or {}).get("debug"):
        import traceback

        traceback.print_exception(error)
    console.error(message, remedy)


for _panel, _commands in {
    "Use": (
        quickstart.quickstart,
        fit.fit,
        recommend.recommend,
        similar.similar,
        compare.compare,
        evaluate_answers.evaluate_answers,
        ask.ask,
        predict_ratings.predict_ratings,
        forget.forget,
        add_items.add_items,
        align.align,
    ),
    "Look": (show.show, models.models, concepts.concepts, corrections.corrections, metrics.metrics, version.version),
    "Keep fresh": (update.update, refit.refit),
    "Serve": (serve.serve, mcp.mcp, experiment.experiment, exposures.exposures, backup.backup, backup.restore),
    "Choose": (tune.tune, backtest.backtest, replay.replay),
    "Evidence": (papers.papers, reproduce.reproduce),
}.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(data.app, name="data", rich_help_panel="Look")
app.add_typer(keys.app, name="keys", rich_help_panel="Serve")
app.add_typer(config.app, name="config", rich_help_panel="Look")


def main() -> None:
    """Entry point of the ``honeyguide`` script: even a fault of honeyguide's own ends in one line."""
    os.environ.setdefault(*_THREADS)  # read when PyTorch is first imported
    try:
        app()
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        console.error(
            f"{type(error).__name__}: {error}",
            "This is a fault in honeyguide. Run the command again with --debug and report what it prints.",
        )
        sys.exit(UNEXPECTED)


if __name__ == "__main__":
    main()
