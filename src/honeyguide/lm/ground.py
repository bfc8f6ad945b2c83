"""From free text to items of a catalogue, with how it was found.

A text is looked for as it is (*exact*); then by its names (*normalised*: no case, accents, punctuation or articles;
"Matrix, The" is "The Matrix", "Part II" is "Part 2"; titles in brackets are names too; what stands behind "by" may be
the author); then by the closest name (*fuzzy*); then, where an encoder is given, by meaning (*vector*). Years must
agree: a remake is another film. Numbers must agree: "Toy Story 4" is not "Toy Story 3". What is not found is
*none*: a model made it up, or the catalogue lacks it, and no item is put in its place.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from honeyguide.core.errors import DataError, MissingExtraError
from honeyguide.core.ragged import FloatArray
from honeyguide.encode.encoder import Encoder

Outcome = Literal["exact", "normalised", "fuzzy", "vector", "none"]
OUTCOMES: tuple[Outcome, ...] = ("exact", "normalised", "fuzzy", "vector", "none")

_YEAR = re.compile(r"\((\d{4})(?:\s?[-–]\s?(?:\d{4})?)?\)?\s*$")
_BRACKETS = re.compile(r"\(([^()]*)\)")
_AKA = re.compile(r"^\s*(?:a\.?k\.?a\.?|aka|also known as|original title:?)\s+", re.IGNORECASE)
_ARTICLE = r"the|a|an|le|la|les|l|un|une|el|los|las|il|lo|gli|i|der|die|das|det|den|o|os"
_BEHIND = re.compile(rf"^(?P<title>.+),\s+(?P<article>{_ARTICLE}|l')\s*$", re.IGNORECASE)
_FRONT = re.compile(r"^(?:(?:the|a|an) +)+(?=.)")
_LONGEST = 300  # characters of what can be a title
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
_LONE_ROMAN = {"i": "1", "v": "5", "x": "10"}
_COUNTED = {"episode", "part", "vol", "volume", "chapter", "book"}
_BY = re.compile(r"\s+by\s+(?=[A-ZÀ-Þ])|\s+[-–—]\s+")
_AUTHOR = re.compile(r"^(?P<title>.+?)\s+by\s+(?P<author>[A-ZÀ-Þ]\S*\s.+)$")
_LETTERS = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "ł": "l", "Ł": "L", "đ": "d", "·": "-"}
)
_SUBTITLE = re.compile(r":\s+|\s+[-–—]\s+")


@dataclass(frozen=True)
class Grounded:
    """What a text means.

    Parameters
    ----------
    item
        Place in the catalogue; -1 for none.
    outcome
        How it was found.
    score
        Similarity of names or vectors, 1 where they are equal and 0 for none.
    """

    item: int
    outcome: Outcome
    score: float


NOTHING = Grounded(-1, "none", 0.0)


class Grounder:
    """Finds the items of one catalogue in free text.

    Parameters
    ----------
    titles
        Of the items, by place.
    creators
        Authors or artists of each item, if they are known: ``TITLE by AUTHOR`` is then checked against them.
    years
        Of each item, where the titles do not end in one; 0 for unknown.
    popularity
        Of each item: which of equal names is meant when no year says; by default the last of them, as the
        released lists of arXiv 2309.03613 have it.
    similarity
        Least similarity of a name that is close, from 0 to 1.
    gap
        Most years between a text and an item of the same name, and no more than the name has words. Models err by
        a few, remakes are further apart, and short names are those that come again.
    encoder
        Text encoder for what no name was found for.
    cosine
        Least similarity of its vectors.

    Raises
    ------
    MissingExtraError
        If rapidfuzz is not installed.
    DataError
        If what is given is not of one length.
    """

    def __init__(
        self,
        titles: Sequence[str],
        creators: Sequence[str] | None = None,
        years: Sequence[int] | None = None,
        popularity: Sequence[float] | None = None,
        *,
        similarity: float = 0.9,
        gap: int = 5,
        encoder: Encoder[str] | None = None,
        cosine: float = 0.85,
    ) -> None:
        try:
            import rapidfuzz  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtraError("Finding items in free text", "lm") from error
        n = len(titles)
        if any(given is not None and len(given) != n for given in (creators, years, popularity)):
            raise DataError("titles, creators, years and popularity are not of one length.", "Give one for each item.")
        self.similarity, self.gap, self.encoder, self.cosine = similarity, gap, encoder, cosine
        self.titles = [str(title) for title in titles]
        authors = [
            _AUTHOR.match(_YEAR.sub("", title).strip()) for title in self.titles
        ]  # of catalogues that write TITLE by AUTHOR
        made_by = creators if creators is not None else [m["author"] if m else "" for m in authors]
        self._creators = [_plain(creator) for creator in made_by]
        stated = [_year(title) for title in self.titles]
        self._years = [y or int(given) for y, given in zip(stated, years or [0] * n, strict=True)]
        self._weight = [float(p) for p in popularity] if popularity is not None else [float(i) for i in range(n)]
        self._exact = {self.titles[i]: i for i in sorted(range(n), key=self._weight.__getitem__)}
        self._names: dict[str, list[int]] = defaultdict(list)
        self._parts: dict[str, list[int]] = defaultdict(list)
        self._heads: dict[str, list[int]] = defaultdict(list)
        for i, title in enumerate(self.titles):
            for name in names_of(title):
                self._names[name].append(i)
            self._heads[_head(title)].append(i)
            bare = authors[i]
            for part in (*_parts_of(title), *([_plain(bare["title"])] if bare else [])):
                self._parts[part].append(i)
        self._keys = list(self._names)
        self._words = [set(name.split()) for name in map(_whole, self.titles)]
        self._of_year: dict[int, list[int]] = defaultdict(list)
        for i, year in enumerate(self._years):
            self._of_year[year].append(i)
        self._known: dict[str, Grounded] = {}
        self._vectors: FloatArray | None = None

    def ground(self, text: str) -> Grounded:
        """The item that a text names."""
        found = self._known.get(text)
        if found is None:
            text = text[: _LONGEST + 1]
            found = self._known[text] = (
                NOTHING if len(text) > _LONGEST else self._by_name(text) or self._fuzzy(text) or NOTHING
            )
        return found

    def ground_all(self, texts: Iterable[str]) -> list[Grounded]:
        """The items that texts name; what has no name here is looked for by meaning, all at once."""
        asked = list(texts)
        found = [self.ground(text) for text in asked]
        missing = sorted({text for text, one in zip(asked, found, strict=True) if one is NOTHING})
        if self.encoder is not None and missing:
            self._known.update(zip(missing, self._by_meaning(missing), strict=True))
            found = [self._known[text] for text in asked]
        return found

    def _by_name(self, text: str) -> Grounded | None:
        """By the text itself, or by one of its names."""
        if (item := self._exact.get(text.strip())) is not None:
            return Grounded(item, "exact", 1.0)
        for title, creator in _readings(text):
            year = _year(title) or _year(text)
            for name in _asked(title, year):
                item = self._best(self._names.get(name, ()), year, creator, _words(name))
                if item >= 0:
                    same = not year or not self._years[item] or year == self._years[item]
                    return Grounded(item, "normalised" if same else "fuzzy", 1.0 if same else self.similarity)
        return None

    def _best(self, items: Iterable[int], year: int, creator: str = "", gap: int = 1) -> int:
        """Of items of one name, that of the nearest year, then the most popular; -1 if none is near enough."""
        most = min(self.gap, gap)
        near = [(abs(year - self._years[i]) if year and self._years[i] else 0, -self._weight[i], i) for i in items]
        near = [(apart, weight, i) for apart, weight, i in near if apart <= most and self._made_by(i, creator)]
        return min(near)[2] if near else -1

    def _made_by(self, item: int, creator: str) -> bool:
        if not creator or not self._creators[item]:
            return True
        known = set(self._creators[item].split())
        return bool(known & {word for word in _plain(creator).split() if len(word) > 2})

    def _fuzzy(self, text: str) -> Grounded | None:
        """By a name that is close, or by a subtitle."""
        from rapidfuzz import fuzz, process

        for title, creator in _readings(text):
            year = _year(title) or _year(text)
            for name in _asked(title, year):
                near = process.extract(name, self._keys, scorer=fuzz.ratio, score_cutoff=100 * self.similarity, limit=8)
                for key, score, _ in near:
                    item = self._best(self._names[key], year, creator, _words(name))
                    if item >= 0 and _numbers(key) == _numbers(name):
                        return Grounded(item, "fuzzy", score / 100)
        return self._by_part(text)

    def _by_part(self, text: str) -> Grounded | None:
        """By a subtitle; or, in the same year, by words of which only one item has all."""
        year = _year(text)
        numbers = _numbers(_plain(_YEAR.sub("", text)))
        for title, creator in _readings(text):
            begun = [i for i in self._heads.get(_head(title), ()) if self._made_by(i, creator)]
            sure = " " in _head(title) or (creator and self._creators[begun[0]] if begun else "")
            item = self._best(begun, _year(title) or year)
            if len(begun) == 1 and item >= 0 and sure:
                return Grounded(item, "fuzzy", self.similarity)
        readings = [(name, creator) for title, creator in _readings(text) for name in _asked(title, year)]
        for part, creator in (*readings, *((part, "") for part in _parts_of(text))):
            items = {*self._parts.get(part, ()), *self._names.get(part, ())}
            item = self._best(items, year, creator)
            if item >= 0 and (len(items) == 1 or year) and numbers <= _numbers(" ".join(self._words[item])):
                return Grounded(item, "fuzzy", self.similarity)
        for name in names_of(text)[:1] if year else ():
            words = set(name.split())
            having = [i for i in self._of_year.get(year, ()) if words <= self._words[i]]
            if len(words) == 1:  # one word says enough only where the title begins with it
                having = [i for i in having if _plain(_SUBTITLE.split(_YEAR.sub("", self.titles[i]))[0]) == name]
            if len(having) == 1:
                return Grounded(having[0], "fuzzy", self.similarity)
        return None

    def _by_meaning(self, texts: list[str]) -> list[Grounded]:
        """The nearest title of each text, if it is near and its year and numbers agree."""
        assert self.encoder is not None
        if self._vectors is None:
            self._vectors = self.encoder.encode([_BRACKETS.sub("", title) for title in self.titles])
        scores = self.encoder.encode([_BRACKETS.sub("", text) for text in texts]) @ self._vectors.T  # [texts, items]
        found = []
        for text, row in zip(texts, scores, strict=True):
            item = int(np.argmax(row))
            year = _year(text)
            near = not year or not self._years[item] or abs(year - self._years[item]) <= 1
            same = _numbers(_plain(_BRACKETS.sub("", text))) == _numbers(_plain(_BRACKETS.sub("", self.titles[item])))
            ok = near and same and row[item] >= self.cosine
            found.append(Grounded(item, "vector", float(row[item])) if ok else NOTHING)
        return found


class ClosestTitle:
    """Finds the closest title, however wrong, as arXiv 2309.03613 does: to compare with its figures, not to use.

    A text that is a title is that item; any other is what ``difflib.get_close_matches(text, titles, 1, 0.6)`` gives.
    "The Lion King (1994)" becomes "The Monkey King (1964)" where the catalogue has "Lion King, The (1994)".

    Parameters
    ----------
    titles
        Of the items, by place; of equal ones the last is meant.
    cutoff
        Least ratio.
    """

    def __init__(self, titles: Sequence[str], cutoff: float = 0.6) -> None:
        self._codes = {str(title): i for i, title in enumerate(titles)}
        self._titles = list(self._codes)
        self._cutoff = cutoff
        self._known: dict[str, Grounded] = {}

    def ground(self, text: str) -> Grounded:
        """The item whose title is closest."""
        if text not in self._known:
            self._known[text] = self._closest(text)
        return self._known[text]

    def ground_all(self, texts: Iterable[str]) -> list[Grounded]:
        """The items whose titles are closest."""
        return [self.ground(text) for text in texts]

    def _closest(self, text: str) -> Grounded:
        from rapidfuzz import fuzz, process

        if text in self._codes:
            return Grounded(self._codes[text], "exact", 1.0)
        matcher, best = difflib.SequenceMatcher(b=text), (self._cutoff, "")
        # fuzz.ratio counts a longest common subsequence, which is never shorter than difflib's blocks: a bound
        for title, bound, _ in process.extract(
            text, self._titles, scorer=fuzz.ratio, score_cutoff=100 * self._cutoff - 1e-6, limit=None
        ):
            if bound / 100 + 1e-9 < best[0]:
                break
            matcher.set_seq1(title)
            if matcher.quick_ratio() >= best[0]:
                best = max(best, (matcher.ratio(), title))
        return Grounded(self._codes[best[1]], "fuzzy", best[0]) if best[1] else NOTHING


def names_of(title: str) -> tuple[str, ...]:
    """The names in a title, plain, the first being the title without year: ``Seven (a.k.a. Se7en) (1995)`` has two."""
    bare = _YEAR.sub("", title).strip()
    brackets = [_AKA.sub("", inner) for inner in _BRACKETS.findall(bare)]
    main = _BRACKETS.sub(" ", bare).strip() or " ".join(brackets)
    found = [_plain(name) for name in (bare if bare.startswith("(") else main, *brackets)]
    return tuple(dict.fromkeys(name for name in found if name and (not name.isdigit() or name == found[0])))


def _asked(text: str, year: int) -> tuple[str, ...]:
    """The names that a text may mean: without a year, one word in brackets is a remark, such as a genre."""
    names = names_of(text)
    return names if year else tuple(name for i, name in enumerate(names) if i == 0 or " " in name)


def _whole(title: str) -> str:
    """All the names in a title, plain, as one."""
    return " ".join(names_of(title))


def _words(name: str) -> int:
    return name.count(" ") + 1


def _parts_of(title: str) -> list[str]:
    """Subtitles of two words or more, behind a colon or dash."""
    parts = _SUBTITLE.split(_BRACKETS.sub(" ", _YEAR.sub("", title)).strip())[1:]
    return [part for part in map(_plain, parts) if " " in part]


def _head(title: str) -> str:
    """What stands before the first colon or dash, plain."""
    return _plain(_SUBTITLE.split(_BRACKETS.sub(" ", _YEAR.sub("", title)).strip())[0])


def _readings(text: str) -> list[tuple[str, str]]:
    """A text as title and creator: the whole as a title first, then each cut at "by" or a dash, either way round."""
    found = [(text, "")]
    for m in _BY.finditer(text):
        before, behind = text[: m.start()], text[m.end() :]
        found.append((before, behind))
        if "by" not in m[0]:
            found.append((behind, before))
    return found


def _plain(text: str) -> str:
    """No case, accents, punctuation or article; numbers in one way."""
    text = text.strip()
    while (m := _BEHIND.match(text)) is not None:
        text = f"{m['article']} {m['title']}"
    text = unicodedata.normalize("NFKD", text.translate(_LETTERS)).casefold()
    text = "".join(c for c in text if not unicodedata.combining(c)).replace("&", " and ").replace("+", " and ")
    text = re.sub(r"['’`.]", "", text)
    words = re.sub(
        r"(?<![^\W_])([^\W\d_]) (?=[^\W\d_](?![^\W_]))", r"\1", " ".join(re.findall(r"[^\W_]+", text))
    ).split()
    last = len(words) - 1
    for at, word in enumerate(words):
        if word in _ROMAN:
            words[at] = _ROMAN[word]
        elif word in _LONE_ROMAN and at and (at == last or words[at - 1] in _COUNTED):
            words[at] = _LONE_ROMAN[word]
    joined = " ".join(
        word for at, word in enumerate(words) if word != "part" or at == last or not words[at + 1].isdigit()
    )
    return _FRONT.sub("", joined)


def _numbers(plain: str) -> Counter[str]:
    """The numbers in a plain name."""
    return Counter(re.findall(r"\d+", plain))


def _year(text: str) -> int:
    """The year at the end of a text, 0 if there is none."""
    m = _YEAR.search(text)
    return int(m[1]) if m else 0
