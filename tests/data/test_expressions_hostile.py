"""Conditions that nobody would write: an error of ours or a mask, in little time, and never code."""

from __future__ import annotations

import random
import string
import time

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from honeyguide.core.errors import ConfigError, DataError
from honeyguide.data.expressions import condition

TABLE = pl.DataFrame(
    {
        "title": ["It", "The Shining", None],
        "year": [1986, 1977, None],
        "rating": [4.5, float("nan"), None],
        "genres": [["horror", "long"], [], None],
        "seen": [True, False, None],
        "day": [None, None, None],
        "or": ["a", "b", None],
        "x y": ["1", "inf", None],
    },
    schema_overrides={"day": pl.Date},
)
COLUMNS = [*TABLE.columns, "'x y'", '"or"', "missing", "__class__", "title.str", "none", ""]
WORDS = ["and", "or", "not", "in", "contains", "is", "missing", "(", ")", "[", "]", "{", "}", ",", "'", '"', "\\"]
OPERATORS = [">=", "<=", "==", "=", "!=", ">", "<", "!", "=>", "<>"]
VALUES = ["1", "-1", "1e999", "nan", "inf", "0x10", "1_000", "true", "''", "' or 1=1 --", "{{7*7}}", "$(id)", "ü"]
VALUES += ["__import__('os').system('x')", "\u202e", "\x00", "'a, b'", "(a+)+$", ".*" * 20, "9" * 400, "2020-01-01"]
TOKENS = st.sampled_from([*COLUMNS, *WORDS, *OPERATORS, *VALUES])
SENTENCES = st.lists(TOKENS, max_size=30).map(" ".join) | st.lists(TOKENS, max_size=12).map("".join)
BOUNDED = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
_SECONDS = 2.0  # of CPU, for one; a hundred times what the worst takes


def judge(text: str) -> bool:
    """Whether it is a condition; anything but a mask or an error of ours fails."""
    started = time.process_time()
    try:
        mask = TABLE.select(condition(text, dict(TABLE.schema))).to_series()
    except (ConfigError, DataError) as error:
        assert len(str(error)) < 2000 and error.remedy
        return False
    finally:
        assert time.process_time() - started < _SECONDS, text[:100]
    assert mask.dtype == pl.Boolean and mask.null_count() == 0 and len(mask) in (1, TABLE.height)
    return True


@settings(max_examples=400, **BOUNDED)
@given(SENTENCES | st.text(max_size=200))
@example("year contains '19'")
@example("genres in ''")
@example("genres == 1")
@example("seen > 0 and day < 3")
@example("rating == nan")
@example("day == '2020-01-01'")
def test_a_condition_is_a_mask_or_an_error_of_ours(text: str) -> None:
    judge(text)


@pytest.mark.full
@settings(max_examples=12_000, **BOUNDED)
@given(SENTENCES | st.text(max_size=300) | st.binary(max_size=300).map(lambda b: b.decode("latin-1")))
def test_ten_thousand_conditions(text: str) -> None:
    judge(text)


def test_random_bytes_and_true_conditions_with_a_byte_changed() -> None:
    dice, good = random.Random(0), "genres contains horror or not (year < 1990) and title in 'It', 'b'"
    assert judge(good)
    kept = 0
    for _ in range(400):
        place, sign = dice.randrange(len(good)), dice.choice(string.printable)
        kept += judge(good[:place] + sign + good[place + dice.randrange(2) :])
        judge(bytes(dice.randrange(256) for _ in range(dice.randrange(60))).decode("utf-8", "replace"))
    assert 0 < kept < 400, "some are still conditions, and some are not"


LONG = {
    "brackets": "(" * 4096,
    "closed": "(" * 2000 + "year > 1" + ")" * 2000,
    "nots": "not " * 1000 + "year > 1",
    "ands": " and ".join(["year > 1"] * 300),
    "ors": " or ".join(["title == a"] * 300),
    "a list": "title in " + ",".join("a" * 3 for _ in range(900)),
    "quotes": "title == '" + "\\'" * 2000,
    "open quote": "'" + "a" * 4000,
    "backslashes": "title == '" + "\\\\" * 2000,
    "spaces": " " * 4096,
    "words": "title == " + "a " * 2000,
    "signs": "=" * 4096,
    "too long": "year > 1 and " * 400 + "year > 1",
    "digits": "year > " + "9" * 4000,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_and_deep_conditions_take_little_time(text: str) -> None:
    judge(text)


def test_depth_and_length_are_bounded() -> None:
    with pytest.raises(ConfigError, match="too long"):
        condition("year > 1 and " * 400 + "year > 1", dict(TABLE.schema))
    for deep in ("(" * 100 + "year > 1" + ")" * 100, "not " * 100 + "year > 1"):
        with pytest.raises(ConfigError, match="brackets"):
            condition(deep, dict(TABLE.schema))


def test_a_value_is_never_a_pattern_or_code() -> None:
    for text, kept in (
        ("title contains '.*'", 0),
        ("title contains '(a+)+$'", 0),
        ("title == \"It' or 'a' == 'a\"", 0),
    ):
        assert TABLE.select(condition(text, dict(TABLE.schema))).to_series().sum() == kept
