"""dataset.toml: shapes, templates, and faults in it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import polars as pl
import pytest

from honeyguide.core.errors import DataError
from honeyguide.data.load import load_data, read_with_report
from honeyguide.data.spec import dtype_name, parse_dtype, read_spec

KNOWN = sorted(Path(str(resources.files("honeyguide.data") / "known")).glob("*.toml"))


def folder(tmp_path: Path, toml: str, **tables: pl.DataFrame) -> Path:
    for name, frame in tables.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    (tmp_path / "dataset.toml").write_text(toml)
    return tmp_path


@pytest.mark.parametrize("path", KNOWN, ids=lambda p: p.stem)
def test_shipped_descriptions_are_valid_and_name_a_licence(path):
    spec = read_spec(path)
    assert spec.description
    assert spec.source
    assert spec.licence


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("name = ", "is not valid TOML"),
        ("nmae = 'x'", "nmae: Extra inputs are not permitted"),
        ("[interactions]\nduplicates = 'keep'", r"interactions.duplicates: Extra"),
        ("duplicates = 'some'", "duplicates: Input should be 'keep', 'drop' or 'error'"),
        ("[items.dtypes]\nx = 'int7'", "unknown type 'int7'"),
        ("[interactions]\nfile = 'gone.csv'", "names it as the table interactions, but it is not there"),
        ("[interactions.columns]\nuser_id = 'who'", "there is no column 'who'"),
        ("[interactions.shape]\nkind = 'lists'\nitems = 'n'", "needs a column of lists"),
        ("[interactions.templates]\nitem_id = '{lat}'", "there is no column 'lat'"),
    ],
)
def test_faults_are_named(tmp_path, toml, message):
    path = folder(tmp_path, toml, interactions=pl.DataFrame({"user_id": [1], "item_id": [1], "n": [1]}))
    with pytest.raises(DataError, match=message):
        load_data(path)


def test_columns_constants_templates_times_and_filters(tmp_path):
    toml = """
        name = "places"
        positive = "stay >= 10"
        [interactions]
        file = "visits.parquet"
        where = "kind != test-account"
        columns = { user_id = "who" }
        constants = { event = "visit" }
        templates = { item_id = "{lat}/{lon}" }
        times = { day = "d", minute = "min" }
    """
    visits = pl.DataFrame(
        {
            "who": [1, 1, 1],
            "lat": [1, 1, 2],
            "lon": [5, 5, 6],
            "day": [0, 1, 0],
            "minute": [7, 0, 9],
            "stay": [5, 10, 15],
            "kind": ["a", "a", "test-account"],
        }
    )
    data, report = read_with_report(folder(tmp_path, toml, visits=visits))
    assert data.name == "places"
    assert data.item_ids.values.to_list() == ["1/5"]
    assert data.times().tolist() == [86400 * 10**6]  # of the positive event
    assert data.interactions["event"].to_list() == ["visit", "visit"]
    assert data.positives().height == 1
    assert any("1 rows are not part of the data set" in note for note in report.notes)


def test_lists_become_events(tmp_path):
    toml = "[interactions.shape]\nkind = 'lists'\nitems = 'basket'\nalong = ['price']"
    frame = pl.DataFrame({"user_id": [1, 2, 3], "basket": [["a", "b"], [], ["c"]], "price": [[1, 2], [], [3]]})
    data = load_data(folder(tmp_path, toml, interactions=frame))
    assert data.interactions.select("user", "item", "price", "position").rows() == [
        (0, 0, 1, 0),
        (0, 1, 2, 1),
        (1, 2, 3, 0),
    ]


def test_windows_are_put_together_again(tmp_path):
    toml = "[interactions.shape]\nkind = 'windows'\nhistory = 'before'"
    frame = pl.DataFrame(
        {
            "user_id": ["u", "u", "u", "v"],
            "before": [[1, 2], [3, 5], [9, 4, 4], [7]],
            "item_id": [3, 4, 4, 8],
            "split": ["valid", "test", "test", "train"],
        }
    )
    data, report = read_with_report(folder(tmp_path, toml, interactions=frame))
    by_user = data.interactions.group_by("user", maintain_order=True).agg("item", "split")
    items = [data.item_ids.decode(codes.to_numpy()).to_list() for codes in by_user["item"]]
    assert items == [[1, 2, 3, 5, 4, 4], [7, 8]]
    assert by_user["split"].to_list() == [["train", "train", "valid", "valid", "test", "test"], ["train", "train"]]
    assert any("3 items of histories come after a test target" in note for note in report.notes)


def test_text_files_without_header_and_with_types(tmp_path):
    toml = """
        ids = { user = "string" }
        [interactions]
        file = "u.data"
        separator = "\\t"
        header = ["user_id", "item_id", "rating", "timestamp", "tags"]
        dtypes = { tags = "list[int64]", timestamp = "int64" }
    """
    (tmp_path / "u.data").write_text("1\t10\t5\t881250949\t[1, 2]\n2\t20\t3\t881250950\t[]\n")
    data = load_data(folder(tmp_path, toml))
    assert data.user_ids.values.to_list() == ["1", "2"]
    assert data.interactions["tags"].to_list() == [[1, 2], []]
    assert data.ordered


def test_the_file_in_the_folder_wins_over_the_shipped_one(tmp_path):
    coat = tmp_path / "coat"
    coat.mkdir()
    frame = pl.DataFrame({"user_id": [1], "item_id": [1], "rating": [5]})
    data = load_data(folder(coat, "name = 'mine'\n[interactions]\nfile = 'mine.parquet'", mine=frame))
    assert data.name == "mine"
    assert "positive" not in data.interactions.columns


def test_the_example_of_the_documentation_is_valid(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "data.md"
    example = page.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "dataset.toml").write_text(example, encoding="utf-8")
    spec = read_spec(tmp_path / "dataset.toml")
    assert spec.items.columns == {"item_id": "article"}
    assert spec.tables.keys() == {"reviews"}


def test_names_of_types_go_both_ways():
    for name in ("int8", "float32", "bool", "string", "datetime", "list[string]", "list[list[int64]]"):
        assert dtype_name(parse_dtype(name)) == name
