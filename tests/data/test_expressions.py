"""The comparison language."""

from __future__ import annotations

import polars as pl
import pytest

from honeyguide.core.errors import ConfigError, DataError
from honeyguide.data.expressions import condition

FRAME = pl.DataFrame(
    {
        "label": [1.0, 4.0, None, 5.0],
        "event": ["view", "buy", "cart", None],
        "n": [1, 2, 3, 4],
        "text": ["3", "10", "x", "4.5"],
        "ok": [True, False, True, None],
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
    ],
)
def test_conditions(text, expected):
    assert FRAME.select(condition(text, FRAME.schema, {"rating": "label"})).to_series().to_list() == expected


@pytest.mark.parametrize("text", ["", "label", "label >=", ">= 4", "__import__('os').system('true')", "label >= 4 or"])
def test_what_is_no_condition(text):
    with pytest.raises((ConfigError, DataError)):
        condition(text, FRAME.schema)


def test_faults_name_the_column():
    with pytest.raises(DataError, match=r"names a column 'stars' that is not there. Columns: label, event"):
        condition("stars > 3", FRAME.schema)
    with pytest.raises(DataError, match="column 'event': 'b' is not a number"):
        condition("event > b", FRAME.schema)
    with pytest.raises(DataError, match="'x' is not a number"):
        condition("label in 4, x", FRAME.schema)
