from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide.cli.main import app
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.data.build import build
from honeyguide.data.export import export

pytest.importorskip("rapidfuzz", reason="pip install 'honeyguide[lm]'")
from typer.testing import CliRunner

from honeyguide.experiment.answers import evaluate_answers, grounder_of, read_answers, read_lists
from honeyguide.experiment.bench import Bench, reciprocal_rank_fusion, score
from honeyguide.experiment.settings import build_model

TITLES = [
    "Alien (1979)",
    "Heat (1995)",
    "Up (2009)",
    "Jaws (1975)",
    "Matrix, The (1999)",
    "Emma (1996)",
    "Never Rated (2001)",
]


@pytest.fixture(scope="module")
def films() -> Dataset:
    """Users 1 and 2 with ratings; the last film is in the catalogue alone."""
    rows = [
        (1, 1, 5.0, "train"), (1, 2, 4.0, "train"), (1, 3, 3.0, "test"), (1, 4, 5.0, "test"),
        (2, 3, 4.0, "train"), (2, 4, 4.0, "train"), (2, 5, 2.0, "train"), (2, 1, 5.0, "test"),
        (3, 5, 3.0, "train"), (3, 6, 3.0, "train"), (3, 2, 4.0, "train"),
    ]  # fmt: skip
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "split"], orient="row")
    items = pl.DataFrame({"item_id": range(1, 8), "title": TITLES})
    return build("films", events, items)


ANSWERS = {
    1: "Here are films:\n1. Alien (1979)\n2. Jaws (1975)\n3. The Matrix (1999)\n4. Jaws (1975)\n"
    "5. Never Rated (2001)\n6. Avatar (2009)\n7. Up (20",
    2: "I'm sorry, I cannot recommend films.",
}


def frame(**others: object) -> pl.DataFrame:
    return pl.DataFrame({"user_id": list(ANSWERS), "answer": list(ANSWERS.values()), **others})


def test_what_became_of_every_line_is_counted(films: Dataset) -> None:
    bench = Bench.of(films)
    lists, counts = read_lists(frame(), grounder_of(films), films, bench)
    assert lists.rows() == [(1, 1), (1, 4), (1, 5), (1, 4), (1, 7)]
    found = counts.to_dict()
    assert (found["answers"], found["empty"], found["refused"], found["truncated"]) == (2, 1, 1, 1)
    assert found["entries"] == 7 and found["well_formed"] == 6
    assert found["outcomes"] == {"exact": 4, "normalised": 1, "fuzzy": 0, "vector": 0, "none": 1}
    assert found["grounded_share"] == pytest.approx(5 / 6) and found["repeat_share"] == pytest.approx(1 / 7)
    assert found["seen_share"] == pytest.approx(1 / 7) and found["outside_share"] == pytest.approx(1 / 7)
    assert found["length"] == {"mean": 3.5, "min": 0, "max": 7}


def test_seen_items_are_dropped_before_the_cut_and_repeats_stay(films: Dataset) -> None:
    bench = Bench.of(films)
    lists, _ = read_lists(frame(), grounder_of(films), films, bench)
    shown = bench.unseen(bench.lists_of(lists))
    names = bench.train.items["title"].to_list()
    assert [names[i] for i in shown[0] if i >= 0] == ["Jaws (1975)", "Matrix, The (1999)", "Jaws (1975)"]
    assert (shown[1] < 0).all()
    found = score(bench, bench.lists_of(lists), (2,))
    assert found.per_user["precision@2"].tolist() == [0.5, 0.0] and found.metrics["num_retrieved@2"] == 1.0


def test_the_gain_grows_with_the_rating(films: Dataset) -> None:
    """2^(score+1) − 1 with the first hit of rating 5 (63) of possible 5 and 3 (63, 15)."""
    bench = Bench.of(films)
    lists, _ = read_lists(frame(), grounder_of(films), films, bench)
    found = score(bench, bench.lists_of(lists), (2,))
    assert found.per_user["ndcg_exp@2"][0] == pytest.approx(63 / (63 + 15 / np.log2(3)))


def test_long_profiles_keep_what_was_rated_best(films: Dataset) -> None:
    cut = Bench.of(films, profile=1)
    kept = cut.train.interactions
    names = cut.train.items["title"].to_list()
    assert [names[i] for i in kept["item"]] == ["Alien (1979)", "Up (2009)", "Heat (1995)"]
    assert cut.train.n_items == 3 and (cut.truth.values < 0).sum() == 1, "Jaws is outside now"


def test_one_report_has_all_metrics_and_tests_for_answers_and_models(films: Dataset) -> None:
    found = evaluate_answers(frame(model="m"), films, models={"popularity": build_model("popularity")}, cutoffs=(2,))
    models, answers = found["rows"]
    assert found["reference"] == "popularity" and found["n_users"] == 2
    for row in (models, answers):
        assert len(row["metrics"]) == 21
    assert set(answers["vs_reference"]["tests"]["ndcg_exp@2"]) == {"difference", "t", "wilcoxon"}
    assert models["vs_reference"] is None and models["answers"] is None
    assert answers["experiment"] == "all" and answers["closest"]["answers"]["outcomes"]["exact"] == 4


def test_fusion_by_reciprocal_ranks() -> None:
    a, b = np.array([[0, 1, 2]], np.int32), np.array([[2, 3, -1]], np.int32)
    assert reciprocal_rank_fusion([a, b], 4).tolist() == [[2, 0, 1, 3]]
    assert reciprocal_rank_fusion([a, b], 4, weights=(1.0, 0.0)).tolist()[0][:3] == [0, 1, 2]
    repeated = np.array([[5, 5, 5, 1]], np.int32)
    assert reciprocal_rank_fusion([repeated], 3).tolist() == [[5, 1, -1]], "an item counts once"


def test_books_are_found_by_their_columns() -> None:
    events = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "split": ["train", "test"]})
    items = pl.DataFrame(
        {"item_id": ["a", "b"], "title": ["Emma", "Dune"], "authors": [["Jane Austen"], ["Frank Herbert"]]}
    )
    data = build("books", events, items)
    bench = Bench.of(data)
    answers = pl.DataFrame({"user_id": ["u"], "answer": ["1. Dune by Frank Herbert\n2. Emma by Stephen King"]})
    lists, counts = read_lists(answers, grounder_of(data), data, bench)
    assert lists.rows() == [("u", "b")] and counts.outcomes["none"] == 1
    assert bench.grades.tolist() == [1.0], "without ratings every hit counts the same"


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_answers_are_read_from_files(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"answers{suffix}"
    given = frame(protocol="E1").rename({"answer": "response"})
    {".parquet": given.write_parquet, ".csv": given.write_csv, ".jsonl": given.write_ndjson}[suffix](path)
    found = read_answers(path)
    assert found.columns == ["model", "experiment", "user_id", "answer"]
    assert found["answer"].to_list() == list(ANSWERS.values()) and found["experiment"][0] == "E1"


def test_files_without_answers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_answers(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text("user_id,text\n1,a\n")
    with pytest.raises(DataError, match="column 'answer'"):
        read_answers(tmp_path / "x.csv")
    (tmp_path / "x.doc").write_text("x")
    with pytest.raises(DataError, match="kind of file"):
        read_answers(tmp_path / "x.doc")
    (tmp_path / "x.parquet").write_bytes(b"PAR1nothing")
    with pytest.raises(DataError, match="cannot be read"):
        read_answers(tmp_path / "x.parquet")


def test_data_without_titles_or_test_part_are_refused(films: Dataset) -> None:
    with pytest.raises(DataError, match="no titles under that name"):
        grounder_of(films, title="nom")
    with pytest.raises(DataError, match="no test part"):
        Bench.of(films.select("train"))


def test_the_command_reports_as_text_and_as_json(films: Dataset, tmp_path: Path) -> None:
    export(films, tmp_path / "films", "csv")
    frame(model="m", experiment="E1").write_csv(tmp_path / "answers.csv")
    line = ["evaluate-answers", str(tmp_path / "answers.csv"), "--data", str(tmp_path / "films"), "-m", "popularity"]
    shown = CliRunner().invoke(app, line)
    assert shown.exit_code == 0, shown.output
    assert "m E1" in shown.stdout and "83.3%" in shown.stdout
    found = json.loads(CliRunner().invoke(app, [*line, "--json"]).stdout)
    assert [row["model"] for row in found["rows"]] == ["popularity", "m"]
    alone = CliRunner().invoke(app, ["evaluate-answers", "--data", str(tmp_path / "films")])
    assert alone.exit_code == 2 and "nothing to evaluate" in alone.output
