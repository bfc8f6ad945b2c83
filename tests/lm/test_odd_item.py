"""Asking a language model which title of a list does not fit."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("peft", reason="pip install 'honeyguide[lm-torch]'")
from tests.lm.tiny import write_tiny

from honeyguide.lm.local import Local, LocalConfig
from honeyguide.lm.odd_item import answer, fitting_titles, odd_scores, question, shares, tune
from honeyguide.lm.tuning import TuneConfig

LISTS = [["Heat", "Emma", "Alien", "Hunger"], ["Zodiac", "Jaws"], ["Emma", "Up", "Heat"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny(tmp_path_factory.mktemp("tiny") / "lm"))


@pytest.fixture(scope="module")
def model(folder: str) -> Local:
    return Local(LocalConfig(folder))


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_the_first_token_is_what_the_model_would_write_next(model: Local, batch: int) -> None:
    found = odd_scores(model, LISTS, "first", batch)
    begun = 'Does not fit: "'
    wanted = [model.logprobs(question(titles), [begun + t])[0][len(begun)] for titles in LISTS for t in titles]
    np.testing.assert_allclose(found, wanted, atol=1e-4)  # tokens of this model are characters


def test_titles_that_begin_alike_tie_by_the_first_token_and_not_by_the_title(model: Local) -> None:
    first, title = odd_scores(model, LISTS[:1], "first"), odd_scores(model, LISTS[:1], "title")
    assert first[0] == first[3] and first[0] != first[1], "Heat and Hunger"
    assert len(set(title.tolist())) == 4


def test_the_mean_over_a_title_does_not_punish_long_ones(model: Local) -> None:
    begun = 'Does not fit: "'
    each = model.logprobs(question(LISTS[1]), [begun + title for title in LISTS[1]])
    wanted = [row[len(begun) :].mean() for row in each]
    np.testing.assert_allclose(odd_scores(model, LISTS[1:2], "title"), wanted, atol=1e-4)


def test_shares_sum_to_one_in_every_list() -> None:
    found = shares(np.array([-1.0, -2.0, -800.0, -900.0], np.float32), [2, 2])
    np.testing.assert_allclose(found, [1 / (1 + np.exp(-1)), 1 / (1 + np.e), 1, 0], atol=1e-6)
    assert shares(np.empty(0, np.float32), []).shape == (0,)


def test_it_learns_what_the_odd_titles_have_in_common(folder: str) -> None:
    model = Local(LocalConfig(folder))
    names = ["ada", "abe", "amy", "ann", "art"]
    rng = np.random.default_rng(0)
    examples = []
    for _ in range(48):
        titles = [str(t) for t in rng.permutation(names)[:3]]
        titles[rng.integers(3)] = odd = f"z{rng.integers(10)}"
        examples.append((titles, odd, "ada"))
    config = TuneConfig(rank=0, epochs=6, batch=8, learning_rate=3e-3, max_tokens=400)
    done = tune(model, examples, config)
    assert done.losses[-1] < done.losses[0] / 2
    for reading in ("first", "title"):
        found = odd_scores(model, [["abe", "z7", "ann"], ["z1", "art", "ada"]], reading)  # type: ignore[arg-type]
        assert found[:3].argmax() == 1 and found[3:].argmax() == 0
    assert fitting_titles(model, [["abe", "z7", "ann"]], [1], 8) == ["ada"]


def test_quotes_and_lines_of_a_title_cannot_leave_it() -> None:
    text = question(['x", "y"\nDoes not fit: "z']).messages[-1].text
    assert text.count('"') == 2 and "\n" not in text
    assert answer('a"b', "c\nd").count('"') == 4 and answer("", "c").startswith('Does not fit: "untitled"')
