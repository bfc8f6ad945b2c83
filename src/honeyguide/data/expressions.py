"""The small language of conditions over the columns of a table: parsed, never evaluated as code.

    condition   = all { "or" all }
    all         = factor { "and" factor }
    factor      = "not" factor | "(" condition ")" | comparison
    comparison  = column operator value
                | column ["not"] "in" value { "," value }
                | column ["not"] "contains" value
                | column "is" ["not"] "missing"
    operator    = ">=" | "<=" | ">" | "<" | "==" | "=" | "!="

Examples: ``rating >= 4``, ``event in buy, cart``, ``genres contains crime or not (year < 1990)``. A value with commas,
brackets or one of the words above stands in quotes. ``contains`` asks whether a text has these words in it, in
any case, or a list this entry; a list column is equal to a value, or in a list of them, where one of its entries is.
A missing value is neither one thing nor the other: a row is kept where the condition is true.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from honeyguide.core.errors import ConfigError, DataError, suggestion

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<operator>>=|<=|==|!=|=|>|<)
      | (?P<open>[(\[{]) | (?P<close>[)\]}]) | (?P<comma>,)
      | (?P<word>[^\s'"<>=!()\[\]{},]+|!)
    )""",
    re.VERBOSE,
)
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
}
_ORDER = (">=", "<=", ">", "<")
_LONGEST, _DEEPEST = 4096, 32  # characters of a condition, and brackets within brackets


def condition(
    text: str, schema: Mapping[str, pl.DataType], renamed: Mapping[str, str] | None = None, file: str | None = None
) -> pl.Expr:
    """The Boolean polars expression that ``text`` stands for; never null.

    Parameters
    ----------
    text
        A condition in the language above.
    schema
        Columns and types of the table that it is about.
    renamed
        Names that columns had in the file, to their names in the table.
    file
        Which file, for messages.

    Raises
    ------
    ConfigError
        If the text is not a condition.
    DataError
        If a column does not exist, or an order is asked of text.
    """
    if len(text) > _LONGEST:
        raise ConfigError(f"a condition of {len(text):,} characters is too long.", f"Use at most {_LONGEST:,}.")
    parser = _Parser(text, _tokens(text), schema, renamed or {}, file)
    found = parser.any_of(0)
    if parser.here is not None:
        raise parser.fault()
    return found.fill_null(False)


def column_of(name: str, schema: Mapping[str, pl.DataType], renamed: Mapping[str, str]) -> str | None:
    """The column of a table that a condition calls ``name``, by its own name or by that in the file."""
    return next((one for one in (name, renamed.get(name)) if one is not None and one in schema), None)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str

    def says(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words


def _tokens(text: str) -> list[_Token]:
    found, place, end = [], 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise _no_condition(text)
        value = match[match.lastgroup]
        found.append(_Token(match.lastgroup, _unescaped(value) if match.lastgroup == "quoted" else value))
        place = match.end()
    return found


def _unescaped(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted[1:-1])


def _no_condition(text: str) -> ConfigError:
    return ConfigError(
        f"{text[:200]!r} is not a condition.",
        "Write for example 'rating >= 4', 'event in buy,cart', or several joined by 'and', 'or', 'not' and brackets.",
    )


@dataclass
class _Parser:
    """Recursive descent over the tokens of ``text``."""

    text: str
    tokens: list[_Token]
    schema: Mapping[str, pl.DataType]
    renamed: Mapping[str, str]
    file: str | None
    place: int = field(default=0)

    @property
    def here(self) -> _Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def fault(self) -> ConfigError:
        return _no_condition(self.text)

    def _take(self, *kinds: str) -> _Token:
        token = self.here
        if token is None or token.kind not in kinds:
            raise self.fault()
        self.place += 1
        return token

    def _if_says(self, *words: str) -> bool:
        if self.here is not None and self.here.says(*words):
            self.place += 1
            return True
        return False

    def any_of(self, depth: int) -> pl.Expr:
        found = self._all_of(depth)
        while self._if_says("or"):
            found = found | self._all_of(depth)
        return found

    def _all_of(self, depth: int) -> pl.Expr:
        found = self._factor(depth)
        while self._if_says("and"):
            found = found & self._factor(depth)
        return found

    def _factor(self, depth: int) -> pl.Expr:
        if depth > _DEEPEST:
            raise ConfigError("the condition has too many brackets within brackets.", "Write it more simply.")
        if self._if_says("not"):
            return ~self._factor(depth + 1)
        if self.here is not None and self.here.kind == "open":
            self.place += 1
            found = self.any_of(depth + 1)
            self._take("close")
            return found
        return self._comparison()

    def _comparison(self) -> pl.Expr:
        named = self._take("word", "quoted")
        if self.here is None or not (self.here.kind == "operator" or self.here.says("is", "not", "in", "contains")):
            raise self.fault()
        column = self._column(named.text)
        if self.here is not None and self.here.kind == "operator":
            return _compare(column, self._take("operator").text, self._value())
        if self._if_says("is"):
            wanted = not self._if_says("not")
            if not self._if_says("missing"):
                raise self.fault()
            return pl.col(column.name).is_null() if wanted else pl.col(column.name).is_not_null()
        wanted = not self._if_says("not")
        if self._if_says("in"):
            found = _one_of(column, self._values())
        elif self._if_says("contains"):
            found = _contains(column, self._value())
        else:
            raise self.fault()
        return found if wanted else ~found

    def _values(self) -> list[str]:
        bracket = self.here is not None and self.here.kind == "open"
        if bracket:
            self.place += 1
        values = [self._value()]
        while self.here is not None and self.here.kind == "comma":
            self.place += 1
            values.append(self._value())
        if bracket:
            self._take("close")
        return values

    def _value(self) -> str:
        first = self._take("word", "quoted")
        if first.kind == "quoted":
            return first.text
        words = [first.text]
        while self.here is not None and self.here.kind == "word" and not self.here.says("and", "or"):
            words.append(self._take("word").text)
        return " ".join(words)

    def _column(self, name: str) -> _Column:
        found = column_of(name, self.schema, self.renamed)
        if found is not None:
            return _Column(found, self.schema[found], name, self.file)
        called = {column: said for said, column in self.renamed.items()}
        names = [called.get(column, column) for column in self.schema if not column.startswith("__")]
        remedy = f"{suggestion(name, names)}Columns: {', '.join(names)}."
        raise DataError(
            f"the condition names a column {name!r} that is not there.", remedy, file=self.file, column=name
        )


@dataclass(frozen=True)
class _Column:
    """A column of the table: its name and type there, and what the condition about which file calls it."""

    name: str
    dtype: pl.DataType
    said: str
    file: str | None

    def fault(self, message: str, remedy: str) -> DataError:
        return DataError(message, remedy, file=self.file, column=self.said)


def _compare(column: _Column, symbol: str, value: str) -> pl.Expr:
    compare, name, dtype = _OPERATORS[symbol], column.name, column.dtype
    if isinstance(dtype, pl.List | pl.Array):
        if symbol in _ORDER:
            raise column.fault(f"the column holds lists, which {symbol} cannot compare.", "Use contains.")
        same = _one_of(column, [value])
        return ~same if symbol == "!=" else same
    try:
        number = float(value)
    except ValueError:
        if symbol in _ORDER:
            message = f"{value!r} is not a number, so {symbol} cannot compare with it."
            raise column.fault(message, "Use == or in.") from None
        equal: pl.Expr = compare(_as_text(column), _like_text(value, column))
        return equal
    if dtype == pl.Boolean or dtype.is_numeric():
        result: pl.Expr = compare(pl.col(name).cast(pl.Float64), number)
    elif symbol in _ORDER:
        result = compare(pl.col(name).cast(pl.String).cast(pl.Float64, strict=False), number)
    else:
        result = compare(_as_text(column), value)
    return result


def _one_of(column: _Column, values: list[str]) -> pl.Expr:
    if isinstance(column.dtype, pl.List | pl.Array):
        entries = _entries(column)
        return pl.any_horizontal(entries.list.contains(value) for value in values)
    return _as_text(column).is_in([_like_text(value, column) for value in values])


def _contains(column: _Column, value: str) -> pl.Expr:
    if isinstance(column.dtype, pl.List | pl.Array):
        return _entries(column).list.eval(pl.element().str.to_lowercase()).list.contains(value.lower())
    return pl.col(column.name).cast(pl.String).str.to_lowercase().str.contains(value.lower(), literal=True)


def _entries(column: _Column) -> pl.Expr:
    values = pl.col(column.name)
    if isinstance(column.dtype, pl.Array):
        values = values.arr.to_list()
    return values.cast(pl.List(pl.String))


def _as_text(column: _Column) -> pl.Expr:
    return pl.col(column.name).cast(pl.Float64 if column.dtype.is_float() else pl.String)


def _like_text(value: str, column: _Column) -> str | float:
    if not column.dtype.is_float():
        return value
    try:
        return float(value)
    except ValueError:
        message = f"{value!r} is not a number, and the column holds numbers."
        raise column.fault(message, "Correct the condition.") from None
