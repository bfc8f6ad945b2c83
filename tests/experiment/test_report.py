from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.experiment import plots
from honeyguide.experiment.compare import Options, compare
from honeyguide.experiment.comparison import Comparison
from honeyguide.experiment.report import render


@pytest.fixture(scope="module")
def comparison(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(books, ["ease"], options=Options(runs=tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def page(comparison: Comparison, books: Dataset) -> str:
    return render(comparison, books, reading=["read <b>boldly</b>"])


class Outline(HTMLParser):
    """Open tags with their attributes; complains about tags that are not closed in order."""

    VOID: ClassVar = {"meta", "br", "img", "hr", "input", "link", "path", "use"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_stands_alone(page: str) -> None:
    outline = Outline(page)
    assert not outline.all("script")
    assert not outline.all("link")
    assert not outline.all("img")
    assert not re.search(r"(src|href)=[\"']https?:", page)
    assert "url(http" not in page


def test_it_is_made_for_phones_dark_rooms_and_screen_readers(page: str) -> None:
    outline = Outline(page)
    assert outline.all("html")[0]["lang"] == "en"
    assert "width=device-width" in page
    assert "prefers-color-scheme: dark" in page
    pictures = [a for a in outline.all("div") if a.get("role") == "img"]
    assert len(pictures) == len(outline.all("svg")) == 3
    assert all(a["aria-label"] and "floor" in a["aria-label"] for a in pictures)
    assert all(a.get("scope") in ("col", "row") for a in outline.all("th"))
    ids = [a["id"] for _, a in outline.tags if a.get("id")]
    assert len(ids) == len(set(ids))


def test_it_shows_every_figure_of_the_table(page: str, comparison: Comparison) -> None:
    for row in comparison.rows:
        for metric in ("ndcg@10", "recall@10", "mrr@10", "ndcg@10:kept"):
            assert f"{row['metrics'][metric]:.4f}" in page
    assert "floor" in page
    assert "paired test" in page
    assert "ties pessimistic" in page
    assert "users with short histories" in page


def test_text_from_the_data_is_escaped(page: str) -> None:
    assert "read &lt;b&gt;boldly&lt;/b&gt;" in page


def test_pictures_take_their_colours_from_the_page(comparison: Comparison) -> None:
    for draw in plots.PICTURES.values():
        svg = draw(comparison.rows, 10)
        assert "var(--ink)" in svg
        assert not re.search(r"#[0-9a-f]{6}\b", svg)
        assert "font-family" not in svg


def test_learning_curves() -> None:
    curves = {
        "sasrec": [{"epoch": 1, "loss": 2.0, "valid_ndcg@10": 0.01}, {"epoch": 2, "loss": 1.0, "valid_ndcg@10": 0.03}]
    }
    svg = plots.learning(curves)
    assert svg is not None
    assert "sasrec: 0.0300" in svg
    assert plots.learning({}) is None


def test_the_report_is_written_by_compare(books: Dataset, comparison: Comparison, tmp_path: Path) -> None:
    assert comparison.winner() in ("ease", "floor")
    page = render(comparison, books)
    assert comparison.winner() in page
