"""The comparison language."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.core.errors import ConfigError, DataError
from honeyguide.data.expressions import condition

FRAME = pl.DataFrame(
    {
        "label": [1.0, 4.0, None, 5.0],
        "event": ["view", "buy", "cart", None],
        "n": [1, 2, 3, 4],
        "text": ["3", "10", "x", "4.5"],
        "ok": [True, False, True, None],
        "genres": [["Crime", "Drama"], ["Comedy"], [], None],
        "title": ["The Big Sleep", "Big", "", None],
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("label >= 4", [False, True, False, True]),
        ("rating>=4", [False, True, False, True]),
        ("label < 4.5", [True, True, False, False]),
        ("event in buy,cart", [False, True, True, False]),
        ("event in (buy, 'cart')", [False, True, True, False]),
        ("event not in buy, cart", [True, False, False, False]),
        ("event == buy", [False, True, False, False]),
        ("event = 'buy'", [False, True, False, False]),
        ("event != view", [False, True, True, False]),
        ("n in 1, 3", [True, False, True, False]),
        ("label in 4, 5", [False, True, False, True]),
        ("text > 3.5", [False, True, False, True]),
        ("ok == 1", [True, False, True, False]),
        ("ok == true", [True, False, True, False]),
        ("label >= 4 and n != 4", [False, True, False, False]),
        ("label >= 4 or n == 1", [True, True, False, True]),
        ("n == 1 or n == 2 and ok == true", [True, False, False, False]),
        ("(n == 1 or n == 2) and ok == true", [True, False, False, False]),
        ("not n in 1, 2", [False, False, True, True]),
        ("not (n in 1, 2 or n = 4)", [False, False, True, False]),
        ("not label >= 4", [True, False, False, False]),
        ("not not label >= 4", [False, True, False, True]),
        ("label is missing", [False, False, True, False]),
        ("label is not missing and n > 1", [False, True, False, True]),
        ("genres contains crime", [True, False, False, False]),
        ("genres not contains crime", [False, True, True, False]),
        ("genres in Comedy, Crime", [True, True, False, False]),
        ("genres == Drama", [True, False, False, False]),
        ("genres != Drama", [False, True, True, False]),
        ("title contains BIG", [True, True, False, False]),
        ("title == The Big Sleep", [True, False, False, False]),
        ("title in 'The Big Sleep', Big", [True, True, False, False]),
        ("title contains 'p and'", [False, False, False, False]),
        (r"title == 'it\'s'", [False, False, False, False]),
    ],
)
def test_conditions(text, expected):
    assert FRAME.select(condition(text, FRAME.schema, {"rating": "label"})).to_series().to_list() == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "label",
        "label >=",
        ">= 4",
        "__import__('os').system('true')",
        "label >= 4 or",
        "(n == 1",
        "n == 1)",
        "not",
        "n == 1 n == 2",
        "n is",
        "n is not",
        "n in",
        "n in (1",
        "title contains",
        "'n",
        "n == 'a",
        "and n == 1",
        "(" * 200 + "n == 1" + ")" * 200,
        "n == 1 or " * 1000 + "n == 1",
    ],
)
def test_what_is_no_condition(text):
    with pytest.raises((ConfigError, DataError)):
        condition(text, FRAME.schema)


@given(st.text(alphabet=" ()[],'\"=<>!\\andornti1.labeltescgmisu", max_size=60))
def test_any_text_is_a_condition_or_a_typed_error(text):
    try:
        found = FRAME.select(condition(text, FRAME.schema)).to_series()
    except (ConfigError, DataError):
        return
    assert found.dtype == pl.Boolean and found.null_count() == 0 and len(found) == len(FRAME)


def test_lists_have_no_order():
    with pytest.raises(DataError, match="column 'genres': the column holds lists"):
        condition("genres > 3", FRAME.schema)


def test_faults_name_the_column():
    with pytest.raises(DataError, match=r"names a column 'stars' that is not there. Columns: label, event"):
        condition("stars > 3", FRAME.schema)
    with pytest.raises(DataError, match="column 'event': 'b' is not a number"):
        condition("event > b", FRAME.schema)
    with pytest.raises(DataError, match="'x' is not a number"):
        condition("label in 4, x", FRAME.schema)


@pytest.mark.parametrize("text", ["rating == title", "rating != five"])
def test_numbers_are_not_compared_with_words(text: str) -> None:
    with pytest.raises(DataError, match="is not a number, and the column holds numbers"):
        condition(text, {"rating": pl.Float64()})
