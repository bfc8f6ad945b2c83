"""``honeyguide recommend --change`` and ``--lm``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.core.dataset import Dataset
from honeyguide.experiment.bundle import save_bundle
from honeyguide.explain.words import Facts, prompt_of
from honeyguide.lm.port import Answer
from honeyguide.lm.store import AnswerStore
from honeyguide.models.linear.ease import EASE


@pytest.fixture(scope="module")
def model(books: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reasons") / "model"
    save_bundle(folder, EASE().fit(books), books)
    return folder


def run(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_what_would_change_is_told_and_holds(model: Path, books: Dataset) -> None:
    user = books.user_ids.values[4]
    (found,) = json.loads(run("recommend", model, "--user", user, "-k", 5, "--change", "--json").stdout)
    told = [entry for entry in found["items"] if entry["change"] is not None]
    assert told
    for entry in told:
        change = entry["change"]
        assert change["rank_without"] > change["k"] == 5
        assert len(change["items"]) == len(change["titles"]) > 0
    history = [str(i) for i in books.item_ids.decode(books.histories()[4]).to_list()]
    without = [i for i in history if i not in {str(c) for c in told[0]["change"]["items"]}]
    (after,) = json.loads(run("recommend", model, "--history", ",".join(without), "-k", 5, "--json").stdout)
    assert told[0]["item_id"] not in [entry["item_id"] for entry in after["items"]]
    table = run("recommend", model, "--user", user, "-k", 5, "--change").stdout
    assert "What would change it" in table and "leaves the list without" in table


def test_a_language_model_says_what_stands_the_check(model: Path, books: Dataset, tmp_path: Path) -> None:
    user = books.user_ids.values[4]
    (plain,) = json.loads(run("recommend", model, "--user", user, "-k", 2, "--why", "--json").stdout)
    titles = dict(zip(books.items["item_id"], books.items["title"], strict=True))
    store = AnswerStore(tmp_path / "answers.db")
    answers = ("Since you liked [1], you may enjoy [0].", "Read Mansfield Park because of [1].")
    for entry, text in zip(plain["items"], answers, strict=True):
        evidence = tuple(titles[i] for i in entry["evidence"])
        prompt = prompt_of(Facts(entry["title"], evidence, entry["why"], "read"))
        store.put(prompt, Answer(text, "small", prompt.key()))
    lm = f"replay:{tmp_path / 'answers.db'}"
    found = run("recommend", model, "--user", user, "-k", 2, "--lm", lm, "--json")
    first, second = json.loads(found.stdout)[0]["items"]
    assert first["said_by"] == "small"
    assert first["why"] == f"Since you liked {titles[first['evidence'][0]]}, you may enjoy {first['title']}."
    assert (second["said_by"], second["why"]) == ("template", plain["items"][1]["why"])
    assert "mansfield" in found.stderr
