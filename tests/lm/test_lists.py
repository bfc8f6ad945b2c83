from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lm.malformed import CASES

from honeyguide.lm.lists import parse_list


@pytest.mark.parametrize(("answer", "entries", "also"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_entries_of_an_answer_are_found(answer: str, entries: list[str], also: str) -> None:
    found = parse_list(answer)
    assert [entry.text for entry in found.entries] == entries
    assert (found.refused, found.truncated) == (also == "refused", also == "truncated")


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) >= 60 and len({case[0] for case in CASES}) == len(CASES)


def test_an_entry_that_was_cut_is_marked() -> None:
    found = parse_list("1. Alien (1979)\n2. Heat (1995)\n3. Up (20")
    assert [entry.truncated for entry in found.entries] == [False, False, True]
    assert not parse_list("1. Alien\n2. Heat").truncated


def test_what_the_back_end_says_of_the_end_counts_more_than_how_it_looks() -> None:
    assert parse_list("1. Alien\n2. Heat", cut=True).entries[-1].truncated
    assert not parse_list("1. Alien (1979)\n2. Heat (19", cut=False).truncated
    closed = parse_list("1. Alien\n2. Heat\n\nI chose these because they", cut=True)
    assert closed.truncated and not closed.entries[-1].truncated


@given(st.text(max_size=300))
def test_no_text_breaks_it(answer: str) -> None:
    found = parse_list(answer)
    assert all(entry.text.strip() for entry in found.entries)
    assert not (found.refused and found.entries)
