"""Typed errors: every one says what happened, where, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str]) -> str:
    """``Did you mean ...?`` where one of the known names is like ``name``, else nothing."""
    plain = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), plain, n=1, cutoff=0.5)
    return f"Did you mean {plain[near[0]]!r}? " if near else ""


class HoneyguideError(Exception):
    """Base of all errors that honeyguide raises on purpose.

    Parameters
    ----------
    message
        What happened, naming the file, row or option concerned.
    remedy
        What the caller can do about it; printed on a line of its own by the CLI.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}" if self.remedy else self.message


def column_place(column: str, meaning: str | None) -> str:
    """A column as messages name it: as in the file, and what it means where that is another word."""
    return f"column {column!r}" + (f" ({meaning})" if meaning not in (None, column) else "")


class DataError(HoneyguideError):
    """The input data cannot be used as it is.

    Parameters
    ----------
    message, remedy
        As in :class:`HoneyguideError`.
    file, row, column
        Where the fault is. ``row`` counts data rows from 1, as a spreadsheet
        would without its header line; ``column`` is called as in the file.
    meaning
        What honeyguide calls the column; said where it differs.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        remedy: str | None = None,
        *,
        file: str | None = None,
        row: int | None = None,
        column: str | None = None,
        meaning: str | None = None,
    ) -> None:
        place = column and column_place(column, meaning)
        places = [text for text in (file, f"row {row}" if row is not None else None, place) if text]
        super().__init__(f"{', '.join(places)}: {message}" if places else message, remedy)
        self.file = file
        self.row = row
        self.column = column
        self.meaning = meaning


class ConfigError(HoneyguideError):
    """An option or a configuration value is wrong."""

    exit_code = 2


class UnknownNameError(ConfigError):
    """A name (model, data set, metric, paper) is not known.

    Parameters
    ----------
    kind
        What the name should have been, for example ``"model"``.
    name
        The name as given.
    known
        The names that exist; close matches are suggested.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.known = sorted(known)
        close = difflib.get_close_matches(name.lower(), self.known, n=3, cutoff=0.5)
        remedy = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(self.known)}."
        super().__init__(f"There is no {kind} named {name!r}.", remedy)


class CapabilityError(HoneyguideError):
    """The model cannot do what was asked; the remedy names one that can."""

    exit_code = 2


class NotFittedError(HoneyguideError):
    """A model was used before ``fit`` or ``load``."""


class ArtifactError(HoneyguideError):
    """A saved artifact is missing, incomplete, corrupt or from another format version."""

    exit_code = 4


class MemoryLimitError(HoneyguideError):
    """A fit was refused because its estimate exceeds the memory that may be used."""

    exit_code = 5


class MissingExtraError(HoneyguideError):
    """An optional dependency is not installed.

    Parameters
    ----------
    feature
        What needs it.
    extra
        Name of the extra, for example ``"torch"``.
    *others
        Extras that would do as well.
    """

    exit_code = 2

    def __init__(self, feature: str, extra: str, *others: str) -> None:
        names = (extra, *others)
        extras = " or ".join(f"[{name}]" for name in names)
        commands = " or ".join(f"pip install 'honeyguide[{name}]'" for name in names)
        super().__init__(f"{feature} needs the optional dependencies {extras}.", f"Install them with: {commands}")
        self.extra = extra


class EncoderError(HoneyguideError):
    """An encoder does not exist, cannot be fetched, was altered, or is another version than a model was made with."""

    exit_code = 4


class PluginError(HoneyguideError):
    """A plug-in failed.

    Parameters
    ----------
    plugin, hook
        Which one, and where.
    message
        What happened.
    """

    def __init__(self, plugin: str, hook: str, message: str) -> None:
        super().__init__(
            f"The plug-in {plugin!r} failed in {hook}: {message}",
            f"Leave it out, or switch it off: {plugin.replace('-', '_')}.enabled=false (--set on the command line).",
        )
        self.plugin, self.hook = plugin, hook


class StorageError(HoneyguideError):
    """The database of the service could not be read or written.

    Parameters
    ----------
    message
        What happened.
    full
        Whether the disk is full.
    """

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(
            message, "Make room on the disk." if full else "Look at the database; the request may be sent again."
        )
        self.full = full


class TrainingError(HoneyguideError):
    """Training went wrong: the loss is not a finite number."""


class FitInterrupted(HoneyguideError):
    """A fit was stopped by the person who started it."""

    exit_code = 130
