"""A command cut into clauses, and a clause read from the left."""

from __future__ import annotations

import re
from dataclasses import dataclass

from honeyguide.agent.phrases import NUMBERS, OR_MORE

TOKEN = re.compile(r"\$?\d+(?:[.,]\d+)*(?:st|nd|rd|th|s)?\b|#\d+|[^\W_]+(?:['-][^\W_]+)*|[,;.!?:]")


@dataclass
class Clause:
    """The tokens of a clause, read from the left."""

    tokens: list[str]
    place: int = 0

    def at(self, *phrases: tuple[str, ...]) -> tuple[str, ...] | None:
        """The first of ``phrases`` that stands here."""
        rest = self.tokens[self.place :]
        return next((p for p in phrases if tuple(rest[: len(p)]) == p), None)

    @property
    def word(self) -> str:
        """The token that stands here; empty behind the end."""
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def peek(self, n: int = 1) -> str:
        """The token ``n`` further on."""
        place = self.place + n
        return self.tokens[place] if place < len(self.tokens) else ""


def clauses(tokens: list[str]) -> list[tuple[list[str], bool]]:
    """Cut at commas, *but*, *and*, *or*; with every clause, whether it begins anew rather than going on a list."""
    found: list[tuple[list[str], bool]] = []
    clause: list[str] = []
    resets = True
    for i, token in enumerate(tokens):
        numbers = token in ("and", "or") and _within_bound(clause, tokens[i + 1 : i + 2])
        if token in (",", ";", ".", "!", "?", ":", "but", "and", "or", "nor", "then", "also", "though") and not numbers:
            if token in ("but",) and clause and clause[-1] in ("anything", "everything", "nothing"):
                clause.append(token)
                continue
            if clause:
                found.append((clause, resets))
                clause, resets = [], False
            resets = resets or token in (";", ".", "!", "?", "but", "then", "though")
        else:
            clause.append(token)
    if clause:
        found.append((clause, resets))
    return found


def _within_bound(clause: list[str], following: list[str]) -> bool:
    """Whether *and* or *or* belongs to a bound: *between 3 and 5*, *4 stars or more*."""
    if "between" in clause[-3:]:
        return True
    ends_in_number = any(number_of(token) is not None for token in clause[-2:])
    return ends_in_number and bool(following) and following[0] in OR_MORE


def number_of(token: str) -> float | None:
    """*300*, *1,200*, *$20*, *4.5*, *three*."""
    if token in NUMBERS:
        return float(NUMBERS[token])
    plain = token.lstrip("$").replace(",", "")
    try:
        return float(plain) if plain[:1].isdigit() else None
    except ValueError:
        return None
