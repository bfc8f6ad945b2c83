"""How a table of events was read, so that more of the same kind can be read in the same way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from honeyguide.data.columns import ALIASES
from honeyguide.data.report import Audit

_OF_ONE_LOG = "split"  # what is held out of one log says nothing of the next


@dataclass(frozen=True)
class Reading:
    """Which columns were what, and which events counted; nothing of the data, and not where it was.

    Parameters
    ----------
    columns
        Meaning to column of the file, declared and guessed ones.
    positive
        The rule by which events counted, or ``None`` where all did or a column said it.
    order
        ``"rows"`` if the rows of a user stood in order.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    positive: str | None = None
    order: Literal["rows"] | None = None

    @classmethod
    def of(cls, renamed: Mapping[str, str], positive: str | None, order: Literal["rows"] | None) -> Reading:
        """The reading by which columns of a file got the names ``renamed``."""
        meanings = {meaning: name for name, meaning in renamed.items() if meaning in ALIASES}
        return cls({m: name for m, name in meanings.items() if m != _OF_ONE_LOG}, positive, order)

    def to_meta(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {"columns": dict(self.columns), "positive": self.positive, "order": self.order}

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Reading:
        """Undo :meth:`to_meta`; what is missing or not understood is left out."""
        columns, positive = meta.get("columns"), meta.get("positive")
        kept = {str(m): str(name) for m, name in columns.items() if m in ALIASES} if isinstance(columns, dict) else {}
        order: Literal["rows"] | None = "rows" if meta.get("order") == "rows" else None
        return cls(kept, positive if isinstance(positive, str) else None, order)

    def columns_in(
        self, names: Collection[str], settled: Collection[str], claimed: Collection[str], file: str, audit: Audit
    ) -> dict[str, str]:
        """Meaning to column, for the columns of before that the file ``names`` has too.

        Parameters
        ----------
        names
            Columns of the file.
        settled, claimed
            Meanings, and columns, of which somebody else has said what they are.
        file
            For messages.
        audit
            Is told what was taken over, and what is not there and has to be guessed.
        """
        due = {m: name for m, name in self.columns.items() if m not in settled and name not in claimed}
        found = {m: name for m, name in due.items() if name in names}
        told = [f"{name} as {m}" for m, name in found.items() if name != m]
        lacking = [f"{name} ({m})" for m, name in due.items() if name not in found.values()]
        if told:
            audit.note(f"{file}: read column {', '.join(told)}, as in the data of the fit")
        if lacking:
            audit.note(f"{file}: has no column {', '.join(lacking)}, as the data of the fit had; it is guessed")
        return found
