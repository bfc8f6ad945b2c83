"""Errors say what happened, where, and what to do."""

from __future__ import annotations

import pytest

from honeyguide.core import errors
from honeyguide.core.errors import DataError, HoneyguideError, MissingExtraError, UnknownNameError


def test_the_text_is_the_message_and_the_remedy() -> None:
    error = HoneyguideError("The file is empty.", "Export it again.")
    assert str(error) == "The file is empty. Export it again."
    assert (error.message, error.remedy) == ("The file is empty.", "Export it again.")
    assert str(HoneyguideError("The file is empty.")) == "The file is empty."


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({}, "bad time."),
        ({"file": "a.csv"}, "a.csv: bad time."),
        ({"file": "a.csv", "row": 0}, "a.csv, row 0: bad time."),
        ({"row": 7, "column": "timestamp"}, "row 7, column 'timestamp': bad time."),
        ({"file": "a.csv", "row": 7, "column": "t"}, "a.csv, row 7, column 't': bad time."),
        ({"column": "bought", "meaning": "timestamp"}, "column 'bought' (timestamp): bad time."),
        ({"column": "timestamp", "meaning": "timestamp"}, "column 'timestamp': bad time."),
    ],
)
def test_a_data_error_names_the_place(place: dict[str, object], expected: str) -> None:
    error = DataError("bad time.", "Correct it.", **place)
    assert error.message == expected
    assert error.remedy == "Correct it."
    assert {name: getattr(error, name) for name in place} == place


@pytest.mark.parametrize(
    ("typed", "meant"), [("sasrek", "sasrec"), ("EASE", "ease"), ("item-knn", "itemknn"), ("poplarity", "popularity")]
)
def test_a_misspelt_name_is_answered_with_the_close_one(typed: str, meant: str) -> None:
    error = UnknownNameError("model", typed, ["sasrec", "ease", "itemknn", "popularity"])
    assert error.message == f"There is no model named {typed!r}."
    assert error.remedy.startswith(f"Did you mean {meant}")


def test_a_name_like_no_other_is_answered_with_the_list() -> None:
    assert UnknownNameError("metric", "qqqq", {"ndcg": 1, "recall": 2}).remedy == "Known: ndcg, recall."


def test_a_missing_extra_names_the_command() -> None:
    error = MissingExtraError("The model 'sasrec'", "torch")
    assert error.remedy == "Install them with: pip install 'honeyguide[torch]'"
    assert error.extra == "torch"


def test_every_error_is_one_of_ours_and_ends_a_command_with_its_own_code() -> None:
    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert all(issubclass(error, HoneyguideError) for error in found)
    assert all(error.exit_code > 0 for error in found)
    distinct = [errors.ConfigError, errors.DataError, errors.ArtifactError, errors.MemoryLimitError]
    assert len({error.exit_code for error in distinct}) == len(distinct)


def test_a_suggestion_is_made_only_where_a_name_is_alike() -> None:
    assert errors.suggestion("star", ["user", "Stars"]) == "Did you mean 'Stars'? "
    assert errors.suggestion("price", ["user", "stars"]) == ""
