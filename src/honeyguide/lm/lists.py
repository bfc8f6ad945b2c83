"""Lists as language models write them, read into their entries.

Models number, bullet, bold, quote, rate, comment, repeat, apologise and stop in the middle of a title, whatever they
were asked. :func:`parse_list` finds the entries of an answer; what they mean is for :mod:`honeyguide.lm.ground`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_NUMBER = r"(?:\#\s?\d{1,3}[.):]?|\d{1,3}\s?[.):\]]|\(\d{1,3}\)|\[\d{1,3}\]|\d{1,3}\s[-–—]\s)"
_MARK = re.compile(rf"^\s*(?:>\s*)?(?:[*_]{{1,3}})?(?P<mark>{_NUMBER})(?P<rest>.*)$")
_BULLET = re.compile(r"^\s*(?:>\s*)?(?P<mark>[-*+•·‣▪◦–—]|\[[ xX]\])(?P<rest>\s+\S.*)$")
_INLINE = re.compile(r"(?:^|(?<=[\s,;]))(?=\(?\d{1,2}[.)]\s+[^\s\d])")
_RATING = r"(?:\d+(?:\.\d+)?\s*/\s*(?:5|10)(?:\s*stars?)?|\d(?:\.\d)?\s*stars?|[★⭐☆]+(?:\s*\d/5)?)"
_RATED = re.compile(rf"[\s,:;–—-]*[(\[]?(?:rating:?\s*)?{_RATING}[)\]]?[\s,.;]*$", re.IGNORECASE)
_RATES = re.compile(r"/\s*(?:5|10)|star|[★⭐☆]", re.IGNORECASE)
_ONLY_RATING = re.compile(rf"^\W*{_RATING}\W*$", re.IGNORECASE)
_YEAR = re.compile(r"\((?:\d{4})(?:\s?[-–]\s?(?:\d{4})?)?\)")
_COMMENTED = re.compile(r"^(?P<title>.*?\((?:\d{4})(?:\s?[-–]\s?(?:\d{4})?)?\))\**\s*(?:\s[-–—]\s?|:\s|,\s|\.\s).*$")
_BETWEEN = re.compile(rf"(?<=\d\))(?:\s*{_RATING})?\s*(?:,\s*and\b|,|;|\band\b|&)\s*")
_BOLD = re.compile(r"^(?P<mark>[*_]{1,3})(?P<title>[^\s*_].*?)(?P=mark)(?P<rest>.*)$")
_QUOTED = re.compile(r"^[\"“«](?P<title>.+?)[\"”»](?P<rest>.*)$")
_TITLES = ("title", "name", "item", "movie", "film", "book", "artist", "product", "recommendation")
_FENCE = re.compile(r"^\s*```\w*\s*$", re.MULTILINE)
_STRING = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"')
_HEAD = re.compile(r"(?:^\s*#{1,6}\s)|(?::[\s*_]*$)|(?:\brecommend(?:ation|ed)?s?\b)", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\b(?:sorry|apologi[sz]e|as an ai|(?:can(?:not|'t|’t| not)|unable to|not able to|won't|do not have|don't have)\b)",
    re.IGNORECASE,
)
_MOSTLY = 0.8


@dataclass(frozen=True)
class Entry:
    """One entry of a list.

    Parameters
    ----------
    text
        Without number, bullet, quotes, emphasis, rating and comment.
    truncated
        Whether the answer ended in it.
    """

    text: str
    truncated: bool = False


@dataclass(frozen=True)
class Listed:
    """What was found in an answer.

    Parameters
    ----------
    entries
        In order, repeats included.
    refused
        Whether there are none because the model declined.
    truncated
        Whether the answer ended before the list did, in an entry or behind a number.
    """

    entries: tuple[Entry, ...]
    refused: bool = False
    truncated: bool = False


def parse_list(answer: str, *, cut: bool | None = None) -> Listed:
    """The entries of an answer.

    Numbered lines are entries where there are any; else lines of a table, bulleted lines, JSON strings, entries in a
    row of text, and, last, the lines as they are.

    Parameters
    ----------
    answer
        As the model gave it.
    cut
        Whether it was ended by the limit of tokens; ``None`` where that is not known: it is then judged by the last
        entry.
    """
    text = _FENCE.sub("", answer.replace("\r\n", "\n").replace("\r", "\n")).strip("\ufeff \n\t")
    found, open_end = _json(text)
    if found is None:
        found = [_clean(line) for line in _marked(text)]
    whole = [entry for entry in found if entry and not _ONLY_RATING.match(entry)]
    dangling = open_end or (bool(whole) and not found[-1])
    broken = bool(whole) and not dangling and (_broken(whole, text) if cut is None else cut and _at_end(whole, text))
    entries = tuple(Entry(entry, broken and i == len(whole) - 1) for i, entry in enumerate(whole))
    refused = not entries and bool(_REFUSAL.search(text))
    return Listed(entries, refused, dangling or broken or bool(cut))


def _marked(text: str) -> list[str]:
    """The entries of a text that is no JSON, marks taken off."""
    lines = [line for line in text.split("\n") if line.strip()]
    numbered = _numbered(lines)
    if numbered:
        return _inline(numbered[0]) or numbered if len(numbered) == 1 else numbered
    rows = [cells for line in lines if (cells := _cells(line)) is not None]
    if rows:
        return [max(cells, key=len) for cells in rows]
    bulleted = [m["rest"] for line in lines if (m := _BULLET.match(line))]
    if bulleted:
        return bulleted
    plain = [line for line in lines if not _HEAD.search(line) or _YEAR.search(line)]
    if len(plain) == 1:
        return _in_a_row(plain[0])
    if len(lines) == 1:
        return _in_a_row(lines[0].partition(":")[2])
    rows = [_in_a_row(line) if len(_YEAR.findall(line)) > 2 else [line] for line in plain if not _prose(line)]
    return [entry for row in rows for entry in row]


def _numbered(lines: list[str]) -> list[str]:
    """What stands behind the numbers; a number alone on its line is that of the next line."""
    found: list[str] = []
    waiting = False
    for line in lines:
        m = _MARK.match(line)
        if m and not _is_title(m):
            found.append(m["rest"])
            waiting = not m["rest"].strip(" *_")
        elif waiting:
            found[-1], waiting = line, False
    return found


def _is_title(m: re.Match[str]) -> bool:
    """Whether what looks like a number begins a title: ``(500) Days of Summer``, ``300: Rise of an Empire``."""
    mark, rest = m["mark"], m["rest"]
    number = int(re.sub(r"\D", "", mark))
    if rest[:1].isalnum() and not mark.endswith((")", "]")):  # 2.0, 9/11 do not get here; 3:10 does
        return mark.endswith(":") or rest[:1].isdigit()
    return number > 200 and not mark.endswith(".")


def _inline(text: str) -> list[str]:
    """Entries numbered within one line: ``A, 2. B, 3. C``; empty if there are none."""
    parts = _INLINE.split(text)
    if len(parts) < 2:
        return []
    marks = [_MARK.match(part) for part in parts[1:]]
    return [part.strip(" ,;") for part in (parts[0], *(m["rest"] if m else "" for m in marks))]


def _in_a_row(line: str) -> list[str]:
    """Entries in one line: between years, semicolons, or commas."""
    parts = _INLINE.split(line)
    if len(parts) > 2:
        return [m["rest"].strip(" ,;") for part in parts if (m := _MARK.match(part))]
    body = line.partition(":")[2] if _HEAD.search(line.partition(":")[0] + ":") and ": " in line else line
    if len(_YEAR.findall(body)) > 1:
        return [part.strip(" ,;&") for part in _BETWEEN.split(body)]
    if body.count(";") > 0:
        return [part.strip() for part in body.split(";")]
    quoted = re.findall(r"[\"“](.+?),?[\"”]", body)
    if len(quoted) > 1:
        return quoted
    if _REFUSAL.search(body) or _prose(body):
        return []
    parts = re.split(r",\s+(?:and\s+)?(?!(?:The|A|An|Le|La|Les|Il|El|Der|Die|Das)\b\s*(?:\(|,|$))", body)
    return parts if len(parts) > 2 else [body]


def _cells(line: str) -> list[str] | None:
    """The cells with letters of a row of a table, or ``None``."""
    if not re.match(r"^\s*\|.*\|\s*$", line) or re.fullmatch(r"[\s|:-]+", line):
        return None
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    named = [cell for cell in cells if re.search(r"[^\W\d_]", cell)]
    heading = {cell.strip("*# ").lower() for cell in cells} <= {
        *_TITLES,
        "rank",
        "year",
        "no",
        "no.",
        "",
        "author",
        "genre",
    }
    return named if named and not heading else None


def _json(text: str) -> tuple[list[str] | None, bool]:
    """The strings of a JSON list, or of one under any name, and whether it was cut; ``None`` if the text is no JSON."""
    start = min((at for at in (text.find("["), text.find("{")) if at >= 0), default=-1)
    if start < 0 or not re.match(r"[\[{]\s*(?:[\[{\"]|[\]}]\s*$)", text[start:]):
        return None, False
    try:
        loaded, _ = json.JSONDecoder().raw_decode(text[start:])
    except json.JSONDecodeError:
        return _cut_json(text[start:]), True
    return list(_strings(loaded)), False


def _strings(value: Any) -> Iterator[str]:
    """The titles in a JSON value, in order."""
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, list):
        for entry in value:
            yield from _strings(entry)
    elif isinstance(value, dict):
        named = {str(key).lower(): entry for key, entry in value.items()}
        title = next((named[key] for key in _TITLES if isinstance(named.get(key), str)), None)
        if title is not None:
            year = str(named.get("year", ""))
            yield f"{title.strip()} ({year})" if re.fullmatch(r"\d{4}", year) and year not in title else title.strip()
        else:
            for entry in value.values():
                if isinstance(entry, list | dict):
                    yield from _strings(entry)
                elif isinstance(entry, str) and all(isinstance(key, str) and key.isdigit() for key in value):
                    yield entry.strip()


def _cut_json(text: str) -> list[str]:
    """The whole strings of a list that was cut: all of them, or those under a name for titles."""
    keyed = re.findall(rf'"(?:{"|".join(_TITLES)})"\s*:\s*"((?:[^"\\]|\\.)*)"', text, re.IGNORECASE)
    if keyed:
        return [_unescaped(entry) for entry in keyed]
    return [_unescaped(m["text"]) for m in _STRING.finditer(text) if not text[m.end() :].lstrip().startswith(":")]


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"')).strip()
    except json.JSONDecodeError:
        return text.strip()


def _clean(line: str) -> str:
    """An entry without what models put around titles."""
    text = line.strip().strip("|").strip()
    text = re.sub(r"^\[(.+?)\]\(https?://[^)]*\)", r"\1", text)  # a link
    for pattern in (_BOLD, _QUOTED):
        if (m := pattern.match(text)) is not None:
            text = _joined(m["title"].strip().rstrip(":,"), m["rest"])
    text = text.strip().strip("*_`").strip()
    if (m := _QUOTED.match(text)) is not None:
        text = _joined(m["title"].strip().rstrip(":,"), m["rest"])
    while _RATES.search(text) and (shorter := _RATED.sub("", text)) != text and shorter:
        text = shorter
    if (m := _COMMENTED.match(text)) is not None:
        text = m["title"]
    text = re.sub(r"\)\.$", ")", text.strip(' \t*_`"“”').rstrip(",;"))
    return " ".join(text.split())


def _joined(title: str, rest: str) -> str:
    """A title in quotes or bold, with the year or author behind it, without a comment."""
    year = re.match(r"^\**\s*(\(\d{4}\))", rest)
    author = re.match(r"^\**\s*(by\s+[^,;:(–—]+?)\s*(?:$|[,;:(–—]|\s-\s)", rest)
    return f"{title} {year[1] if year else author[1] if author else ''}".strip()


def _prose(line: str) -> bool:
    """Whether a line talks instead of naming."""
    words = line.split()
    if len(_YEAR.findall(line)) > 2:
        return False
    return len(words) > 14 or bool(re.search(r"[.!?]\s*$", line) and len(words) > 6 and not _YEAR.search(line))


def _broken(entries: list[str], text: str) -> bool:
    """Whether the last entry looks cut: an open bracket or quote, or no year where nearly all others have one."""
    last, others = entries[-1], entries[:-1]
    if not _at_end(entries, text):
        return False
    if last.count("(") > last.count(")"):
        return True
    dated = sum(bool(_YEAR.search(entry)) for entry in others)
    return len(others) > 4 and dated >= _MOSTLY * len(others) and not _YEAR.search(last)


def _at_end(entries: list[str], text: str) -> bool:
    """Whether nothing follows the last entry."""
    return text.rstrip(' *_"”`]}').endswith(entries[-1].rstrip(' *_"”`]}'))
