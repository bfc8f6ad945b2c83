"""The words of a catalogue: which of its fields are numbers, and what its values are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from honeyguide.encode.items import title_column

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_SUBTITLE = re.compile(r"[:;]|,? or,? |\s[-–—]\s", re.IGNORECASE)
_MOST_VALUES = 50_000  # of a column: beyond, its words are no names
_LONGEST_NAME = 6  # words
_YEARS = (1800, 2100)  # whole numbers between these are years, whatever their column is called
PEOPLE = ("authors", "author", "director", "directors", "cast", "actors")  # several people in one text, by commas

# What fields are called, by words that a column's name has in it: nouns, then what is less and what is more of it.
_MEASURES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "price": (
        ("price", "cost", "dollars", "dollar", "euros", "euro", "bucks"),
        ("cheaper", "cheap"),
        ("dearer", "pricier"),
    ),
    "page": (("pages", "page", "long", "length"), ("shorter", "short"), ("longer", "long")),
    "runtime": (("minutes", "minute", "min", "runtime", "length"), ("shorter", "short"), ("longer", "long")),
    "duration": (("minutes", "minute", "seconds", "duration"), ("shorter", "short"), ("longer", "long")),
    "length": (("length",), ("shorter", "short"), ("longer", "long")),
    "year": (
        ("year", "years"),
        ("older", "old", "classic", "classics", "vintage"),
        ("newer", "new", "recent", "modern"),
    ),
    "count": (("ratings",), ("obscure", "lesser-known", "niche"), ("famous", "popular", "well-known")),
    "rating": (("stars", "star", "rating", "rated"), ("worse",), ("better", "acclaimed")),
    "popular": (("popular", "popularity"), ("obscure", "lesser-known", "niche"), ("famous", "popular", "well-known")),
}
COMPARED = frozenset(word for _, less, more in _MEASURES.values() for word in (*less, *more))
_ALIASES: dict[tuple[str, ...], list[tuple[str, ...]]] = {  # what values are called beside their own words, by stems
    ("sci", "fi"): [("science", "fiction"), ("scifi",)],
    ("science", "fiction"): [("sci", "fi"), ("scifi",)],
    ("romance",): [("romantic",)],
    ("children",): [("kid",)],
    ("comedy",): [("comedic",)],
    ("nonfiction",): [("non", "fiction")],
}
_LANGUAGES = {
    "english": ("eng", "en", "en-us", "en-gb", "english"),
    "french": ("fre", "fra", "fr", "french"),
    "german": ("ger", "deu", "de", "german"),
    "spanish": ("spa", "es", "spanish"),
    "italian": ("ita", "it", "italian"),
    "japanese": ("jpn", "ja", "japanese"),
}


def words_of(text: str) -> list[str]:
    """Small words of a text; hyphens part them."""
    return _WORD.findall(text.lower().replace("’", "'"))


def stem(word: str) -> str:
    """A word without its plural, so that *thrillers* is *thriller* and *mysteries* is *mystery*."""
    word = word.removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


@dataclass(frozen=True)
class Measure:
    """A field of numbers.

    Parameters
    ----------
    field
        Its column.
    nouns, less, more
        Words that mean it, a lower and a higher value of it.
    low, middle, high
        First, second and third quarter of its values.
    """

    field: str
    nouns: tuple[str, ...]
    less: tuple[str, ...]
    more: tuple[str, ...]
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Lexicon:
    """What a grammar must know of a catalogue.

    Parameters
    ----------
    measures
        Fields of numbers.
    names
        From the stems of a value's words to (field, value) pairs, the most frequent first.
    titles
        From the words of a title to the external id of the item.
    fields
        All columns.
    titled
        The one that items are called by, if there is one.
    """

    measures: tuple[Measure, ...]
    names: dict[tuple[str, ...], tuple[str, str]]
    titles: dict[tuple[str, ...], str]
    fields: tuple[str, ...]
    titled: str | None

    @classmethod
    def of(cls, items: pl.DataFrame, title: str | None = None) -> Lexicon:
        """The lexicon of an item table, with ``title`` the column that items are called by, or what looks like it."""
        title = title_column(items) if title is None else title
        names: dict[tuple[str, ...], tuple[str, str]] = {}
        weight: Counter[tuple[str, ...]] = Counter()
        measures, titles = [], {}
        for column, dtype in items.schema.items():
            if column == "item_id":
                continue
            if dtype.is_numeric():
                measure = _measure(column, items[column])
                measures += [measure] if measure is not None else []
            elif column == title:
                titles = _titles(items, column)
            elif column not in ("title", "name"):
                for value, n in _values(items[column]).items():
                    for key, name in _keys(column, value):
                        if n > weight[key]:
                            weight[key], names[key] = n, (column, name)
        return cls(tuple(measures), names, titles, tuple(items.columns), title)

    def grown(self, items: pl.DataFrame) -> Lexicon:
        """With the titles and values of more items; what is low and high of a number stays."""
        more = Lexicon.of(items, self.titled)
        return replace(self, names={**more.names, **self.names}, titles={**more.titles, **self.titles})

    def measure(self, word: str) -> tuple[Measure, int] | None:
        """The field that a comparative or adjective is about, and -1 for less of it or 1 for more."""
        for found in self.measures:
            if word in found.less:
                return found, -1
            if word in found.more:
                return found, 1
        return None

    def measured_by(self, noun: str) -> Measure | None:
        """The field that a noun or unit means."""
        return next((m for m in self.measures if noun in m.nouns), None)

    def name(self, words: list[str], start: int) -> tuple[int, str, str] | None:
        """The longest value that is called by the words from ``start`` on: how many words, field, value."""
        stems = [stem(w) for w in words[start : start + _LONGEST_NAME]]
        for n in range(len(stems), 0, -1):
            found = self.names.get(tuple(stems[:n]))
            if found is not None:
                return n, *found
        return None

    def title(self, words: list[str], start: int) -> tuple[int, str] | None:
        """The longest title that the words from ``start`` on are: how many words, item id."""
        for n in range(min(12, len(words) - start), 0, -1):
            found = self.titles.get(tuple(words[start : start + n]))
            if found is not None:
                return n, found
        return None


def _measure(column: str, values: pl.Series) -> Measure | None:
    known = values.drop_nulls().cast(pl.Float64).drop_nans()
    key = next((k for k in _MEASURES if k in column.lower()), None)
    if not len(known):
        return None
    if key is None and known.is_between(*_YEARS).all() and (known % 1 == 0).all():
        key = "year"
    quarters = [float(q) for q in np.quantile(known.to_numpy(), [0.25, 0.5, 0.75])]
    own = tuple(words_of(column.replace("_", " ")))
    nouns, less, more = _MEASURES[key] if key is not None else ((), (), ())
    return Measure(column, (*own, *nouns) if len(own) == 1 else nouns, less, more, *quarters)


def _values(series: pl.Series) -> dict[str, int]:
    """The values of a column and how many items have each; none where they are too many to be names."""
    flat = series.explode() if isinstance(series.dtype, pl.List) else series
    if flat.dtype != pl.String:
        return {}
    counts = flat.drop_nulls().value_counts()
    if counts.height > _MOST_VALUES:
        return {}
    return {str(value): int(n) for value, n in counts.iter_rows() if value.strip()}


def _keys(column: str, value: str) -> Iterable[tuple[tuple[str, ...], str]]:
    """What a value is called, by stems, and what it then is: itself, or one of several people, or a language."""
    people = column in PEOPLE
    for part in [part.strip() for part in value.split(",")] if people else [value]:
        words = words_of(part)
        if not 0 < len(words) <= _LONGEST_NAME or (len(words) == 1 and len(words[0]) < 3):
            continue
        own = tuple(stem(w) for w in words)
        for key in (own, *_ALIASES.get(own, ())):
            yield key, part
        if people and len(words) > 1:
            yield (stem(words[-1]),), part
    if "language" in column:
        for name, codes in _LANGUAGES.items():
            if value.lower() in codes:
                yield (name,), value


def _titles(items: pl.DataFrame, column: str) -> dict[tuple[str, ...], str]:
    """The words of every title, and of the part before a subtitle where one item alone is called so."""
    found: dict[tuple[str, ...], str] = {}
    short: dict[tuple[str, ...], set[str]] = {}
    rows: Iterable[tuple[Any, Any]] = items.select("item_id", column).iter_rows()
    for item_id, title in rows:
        whole = str(title or "").split("(")[0]
        for words in _called(whole):
            found.setdefault(words, str(item_id))
        for words in _called(_SUBTITLE.split(whole, maxsplit=1)[0]):
            if len(words) > 1:  # one may be a genre
                short.setdefault(words, set()).add(str(item_id))
    return {words: next(iter(of)) for words, of in short.items() if len(of) == 1} | found


def _called(title: str) -> list[tuple[str, ...]]:
    """The words of a title, with and without its article; nothing of one that is a short word."""
    words = tuple(words_of(title))
    if len(words) < 2 and not (words and len(words[0]) > 3):
        return []
    return [words, words[1:]] if words[0] in ("the", "a", "an") and len(words) > 2 else [words]
