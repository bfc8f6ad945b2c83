"""What is printed fits where it is printed."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from honeyguide.cli import console

HEAD = ["model", "vs floor, p", "ndcg@10", "recall@10", "fit s"]
ROWS = [
    ["popularity", "worse <.001", ".1942 [.1412, .2503]", ".5000", "0.0"],
    ["ease", "better .012", ".3", ".6", "0.1"],
]


def printed(width: int, head: list[str] = HEAD, rows: list[list[str]] = ROWS) -> list[str]:
    out = StringIO()
    console.print_wide(Console(file=out, width=width), "Books", head, rows, numeric=3)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return lines


def test_what_fits_is_one_table() -> None:
    text = "\n".join(printed(80))
    assert text.count("popularity") == 1 and text.count("Books") == 1


@pytest.mark.parametrize("width", [40, 60])
def test_what_is_wider_is_several_tables_with_the_first_column_and_nothing_cut(width: int) -> None:
    text = "\n".join(printed(width))
    assert text.count("popularity") > 1
    assert text.count("Books") == 1, "the title stands above the first"
    assert "…" not in text
    for column in range(1, len(HEAD)):
        for row in [HEAD, *ROWS]:
            assert row[column] in text
    assert re.search(r"ease {20,}\.3", "\n".join(printed(40))), "numbers stay to the right"


def test_a_cell_wider_than_the_console_is_folded() -> None:
    long = "sasrec+" * 8
    lines = printed(30, ["model", "score"], [[long, "1"]])
    assert "".join(line.split()[0] for line in lines if "sasrec" in line or "rec+" in line).count("sasrec+") >= 7
