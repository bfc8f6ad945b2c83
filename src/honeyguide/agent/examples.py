"""Commands to begin with, in the words of a catalogue; each of them is one that the grammar understands."""

from __future__ import annotations

from collections import Counter

import polars as pl

from honeyguide.agent.grammar import Grammar
from honeyguide.agent.lexicon import PEOPLE
from honeyguide.agent.preferences import Preferences

_MOST = 6
_TRIED = 8  # values of a field
_SHORTEST, _LONGEST = 3, 24  # characters of a value that reads well in a command


def examples(grammar: Grammar, items: pl.DataFrame, most: int = _MOST) -> list[str]:
    """A few commands over ``items`` that are wholly understood, each about another field.

    Parameters
    ----------
    grammar
        Over the same items.
    items
        Item table.
    most
        At most so many.
    """
    chosen = [next((text for text in group if _understood(grammar, text)), None) for group in _drafts(grammar, items)]
    return [*dict.fromkeys(text for text in chosen if text is not None)][:most]


def _drafts(grammar: Grammar, items: pl.DataFrame) -> list[list[str]]:
    """Commands by what they are about, those about the most items first."""
    lists = [c for c, dtype in items.schema.items() if dtype == pl.List(pl.String)]
    words = [c for c, dtype in items.schema.items() if dtype == pl.String and c not in PEOPLE]
    groups: list[list[str]] = []
    for column in [*lists, *[c for c in words if "genre" in c or "categor" in c]][:1]:
        common = [value.lower() for value in _common(items[column])[:_TRIED]]
        groups += [[f"more {value}" for value in common[::2]], [f"no {value}" for value in common[1::2]]]
    for measure in grammar.lexicon.measures:
        if "year" in measure.field.lower():
            groups.append([f"before {round(measure.middle):d}"])
        elif measure.less and measure.less[0].endswith("er"):
            groups.append([measure.less[0]])
        else:
            groups.append([word for word in measure.more if word.endswith("er")] or list(measure.more))
    for column in [c for c in items.columns if c in PEOPLE][:1]:
        groups.append([f"only by {name}" for name in _common(items[column].str.split(", "))[:_TRIED]])
    return groups


def _common(values: pl.Series) -> list[str]:
    """The values that most items have, those that read well."""
    flat = values.explode() if isinstance(values.dtype, pl.List) else values
    counts = Counter(str(value).split(" > ")[-1].strip() for value in flat.drop_nulls())
    readable = [(n, v) for v, n in counts.items() if _SHORTEST <= len(v) <= _LONGEST and not {",", ";"} & set(v)]
    return [value for n, value in sorted(readable, key=lambda pair: (-pair[0], pair[1])) if n > 1]


def _understood(grammar: Grammar, text: str) -> bool:
    """Whether nothing of a command is left to be sought as text."""
    delta = grammar.parse(text, Preferences())
    return delta.heard and bool(delta.add) and all(want.relation != "about" for want in delta.add)
