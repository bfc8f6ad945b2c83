from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, FitInterrupted, NotFittedError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.plugged import Plugged
from honeyguide.core.plugin import Plugin
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.core.requests import Requests
from honeyguide.metrics.holdout import model_ndcg
from honeyguide.models.linear.ials import IALS
from honeyguide.models.registry import model_class
from honeyguide.models.sequence.sasrec import SASRec
from honeyguide.plugins import recsae
from honeyguide.plugins.recsae import RecSAE

TINY: dict[str, Any] = {"dim": 16, "blocks": 1, "heads": 1, "max_len": 20, "epochs": 2}
SMALL: dict[str, Any] = {"expansion": 8, "k": 4, "epochs": 4, "batch": 256}
SEQUENCES: dict[str, dict[str, Any]] = {
    "sasrec": TINY,
    "gru4rec": {"dim": 16, "max_len": 20, "epochs": 1},
    "hstu": TINY,
    "two-tower": {"encoder": "use", "dim": 16, "max_len": 20, "epochs": 1, "negatives": 32},
}


@pytest.fixture(scope="module")
def fitted(books: Dataset) -> Plugged:
    return SASRec(**TINY).plug(RecSAE(**SMALL)).fit(books)


def plugin_of(model: Plugged) -> RecSAE:
    plugin = model.plugins[-1]
    assert isinstance(plugin, RecSAE)
    return plugin


def active_latent(plugin: RecSAE, states: FloatArray) -> int:
    codes = plugin.codes(states)
    return int(np.bincount(codes.latents[codes.values > 0]).argmax())


@pytest.mark.parametrize("name", SEQUENCES)
def test_states_at_all_positions_are_those_of_the_prefixes(name: str, books: Dataset) -> None:
    model: Any = model_class(name)(**SEQUENCES[name]).fit(books)
    histories = books.histories("train").take(np.arange(12))
    states, read = model.position_states(histories)
    assert len(states) == len(read.values) and read.lengths.max() <= 20
    assert {"positions", "state"} <= model.states
    for row in range(12):
        for end in {1, int(read.lengths[row])}:
            own = model.user_vectors(Ragged.from_lists([read[row][:end]]))[0]
            np.testing.assert_allclose(states[read.offsets[row] + end - 1], own, atol=1e-5)


def test_a_sequence_model_gives_every_position_and_others_every_user(fitted: Plugged, books: Dataset) -> None:
    lengths = books.histories("train").lengths
    assert plugin_of(fitted).report["vectors"] == np.minimum(lengths, 20).sum()
    users = IALS(factors=8, iterations=2).plug(RecSAE(**SMALL)).fit(books)
    assert plugin_of(users).report["vectors"] == (lengths > 0).sum()
    fewer = IALS(factors=8, iterations=2).plug(RecSAE(**SMALL, vectors=50)).fit(books)
    assert plugin_of(fewer).report["vectors"] == 50


def test_the_model_is_left_as_it_was(fitted: Plugged, books: Dataset) -> None:
    histories = books.histories("train", "valid")
    plain = SASRec(**TINY).fit(books)
    np.testing.assert_array_equal(fitted.score_histories(histories), plain.score_histories(histories))


def test_most_of_the_variance_and_of_the_accuracy_are_kept(books: Dataset) -> None:
    options = {**SMALL, "k": 8, "epochs": 25, "lr": 3e-3, "patience": 25}
    model = SASRec(**{**TINY, "epochs": 6, "lr": 5e-3}).plug(RecSAE(**options)).fit(books)
    plugin = plugin_of(model)
    assert plugin.report["fvu"] < 0.15 and plugin.report["dead"] < 0.4
    histories, truth = books.histories("train", "valid"), books.histories("test")
    before = model_ndcg(model, histories, truth).mean()
    with plugin.reconstructing():
        after = model_ndcg(model, histories, truth).mean()
    assert 0.8 * before < after < before / 0.8 and after != before


def test_an_edit_is_a_step_along_the_decoder_and_the_rest_keeps_every_bit(fitted: Plugged, books: Dataset) -> None:
    plugin, histories = plugin_of(fitted), books.histories("train")
    states = plugin.plain().user_vectors(histories)  # type: ignore[attr-defined]
    latent, codes = active_latent(plugin, states), plugin.codes(states)
    z = np.where(codes.latents == latent, codes.values, 0).sum(1)
    assert 0 < (z > 0).sum() < len(z) and plugin.sae is not None
    with plugin.editing({latent: 0.0}):
        off = fitted.user_vectors(histories)
    with plugin.editing({latent: 3.0}):
        more = fitted.user_vectors(histories)
    with plugin.editing({latent: 1.0}):
        same = fitted.score_histories(histories)
    row = (plugin.sae.decoder[latent] * plugin.sae.unit).numpy()
    np.testing.assert_allclose(off, states - z[:, None] * row, atol=1e-5)
    np.testing.assert_allclose(more, states + 2 * z[:, None] * row, atol=1e-5)
    np.testing.assert_array_equal(off[z == 0], states[z == 0])
    assert (off[z > 0] != states[z > 0]).any(axis=1).all()
    np.testing.assert_array_equal(same, plugin.plain().score_histories(histories))


def test_who_did_nothing_yet_is_left_alone(fitted: Plugged) -> None:
    plugin, nobody = plugin_of(fitted), Ragged.empty(1)
    before = fitted.score_histories(nobody)
    with plugin.editing(dict.fromkeys(range(plugin.n_latents), 0.0)):
        np.testing.assert_array_equal(fitted.score_histories(nobody), before)


def test_edits_stand_are_saved_and_are_undone(fitted: Plugged, books: Dataset, tmp_path: Path) -> None:
    plugin, histories = plugin_of(fitted), books.histories("train")
    plain = fitted.score_histories(histories)
    latent = active_latent(plugin, plugin.plain().user_vectors(histories))  # type: ignore[attr-defined]
    try:
        plugin.edit({latent: 0.0})
        edited = fitted.score_histories(histories)
        assert (edited != plain).any()
        fitted.save(tmp_path / "model")
        with plugin.editing({}):  # a request can ask for what is without them
            np.testing.assert_array_equal(fitted.score_histories(histories), plain)
    finally:
        plugin.edit({})
    np.testing.assert_array_equal(fitted.score_histories(histories), plain)
    loaded = type(fitted).load(tmp_path / "model")
    assert plugin_of(loaded).edits == {latent: 0.0} and plugin_of(loaded).report == plugin.report
    np.testing.assert_array_equal(loaded.score_histories(histories), edited)


def test_edits_can_be_options(fitted: Plugged, books: Dataset) -> None:
    plugin, histories = plugin_of(fitted), books.histories("train")
    latent = active_latent(plugin, plugin.plain().user_vectors(histories))  # type: ignore[attr-defined]
    with plugin.editing({latent: 0.0, latent + 1 if latent == 0 else latent - 1: 2.0}):
        expected = fitted.score_histories(histories)
    other = latent + 1 if latent == 0 else latent - 1
    again = SASRec(**TINY).plug(RecSAE(**SMALL, ablate=(latent,), scale={other: 2.0})).fit(books)
    np.testing.assert_array_equal(again.score_histories(histories), expected)


def test_a_new_fit_forgets_edits_of_other_latents(books: Dataset) -> None:
    model = IALS(factors=8, iterations=2).plug(RecSAE(**SMALL, scale={1: 2.0})).fit(books)
    plugin_of(model).edit({3: 0.0})
    assert plugin_of(model.fit(books)).edits == {1: 2.0}


def test_wrong_latents_and_factors_are_refused(fitted: Plugged, books: Dataset) -> None:
    plugin = plugin_of(fitted)
    with pytest.raises(ConfigError, match="no latent 128"):
        plugin.edit({128: 0.0})
    with pytest.raises(ConfigError, match="not a number"), plugin.editing({1: float("nan")}):
        pass
    with pytest.raises(ConfigError, match="no latent 5000"):
        IALS(factors=8, iterations=2).plug(RecSAE(**SMALL, ablate=(5000,)))
    with pytest.raises(ConfigError, match="no latent 5000"):  # the width of this one follows from the data
        SASRec(epochs=1, max_len=5, blocks=1, heads=1).plug(RecSAE(k=4, epochs=1, ablate=(5000,))).fit(books)
    with pytest.raises(NotFittedError):
        RecSAE().codes(np.zeros((1, 2), np.float32))


class Tripled(Plugin):
    name = "tripled"
    needs = frozenset({"state"})

    def edit_state(self, states: FloatArray, histories: Ragged) -> FloatArray:
        return states * np.float32(3)


def test_it_sees_what_plug_ins_before_it_made_and_not_what_later_ones_do(books: Dataset) -> None:
    before = SASRec(**TINY).plug(Tripled(), RecSAE(**SMALL)).fit(books)
    after = SASRec(**TINY).plug(RecSAE(**SMALL), Tripled()).fit(books)
    first, second = before.plugins[1], after.plugins[0]
    assert isinstance(first, RecSAE) and isinstance(second, RecSAE) and first.sae and second.sae
    assert float(first.sae.unit) == pytest.approx(3 * float(second.sae.unit), rel=1e-5)
    asked = Requests(books.histories("train"))
    assert before.recommend(asked, 5).items.shape == after.recommend(asked, 5).items.shape


def test_interrupted_and_resumed_it_is_what_it_would_have_been(
    fitted: Plugged, books: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The autoencoder has a checkpoint of its own, with what fired so far in it."""
    judged = recsae.holdout_ndcg
    calls = iter(range(100))

    def interrupted(*arguments: Any) -> Any:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return judged(*arguments)

    monkeypatch.setattr(recsae, "holdout_ndcg", interrupted)
    with pytest.raises(FitInterrupted):
        SASRec(**TINY).plug(RecSAE(**SMALL)).fit(books, FitOptions(checkpoint=tmp_path))
    monkeypatch.undo()
    resumed = SASRec(**TINY).plug(RecSAE(**SMALL)).fit(books, FitOptions(checkpoint=tmp_path, resume=True))
    for name, array in plugin_of(fitted).state()[0].items():
        np.testing.assert_array_equal(plugin_of(resumed).state()[0][name], array)


def test_the_states_of_an_unfinished_model_leave_no_checkpoint(books: Dataset, tmp_path: Path) -> None:
    model = SASRec(**TINY).plug(RecSAE(**SMALL)).fit(books, FitOptions(checkpoint=tmp_path, cpu_limit=0.0))
    assert not model.report.finished and (tmp_path / "model").is_dir() and not (tmp_path / "recsae").exists()
    SASRec(**TINY).plug(RecSAE(**SMALL)).fit(books, FitOptions(checkpoint=tmp_path, resume=True))
    assert (tmp_path / "recsae").is_dir()


def test_the_estimate_grows_with_the_latents_and_with_what_is_read(books: Dataset) -> None:
    plain, small, large = (
        model.estimate(books)
        for model in (SASRec(**TINY), SASRec(**TINY).plug(RecSAE(**SMALL)), SASRec(**TINY).plug(RecSAE(expansion=256)))
    )
    assert plain.cpu_seconds < small.cpu_seconds < large.cpu_seconds
    assert small.memory_bytes <= large.memory_bytes
    longer = SASRec(**{**TINY, "max_len": 40}).plug(RecSAE(expansion=256)).estimate(books)
    plain_longer = SASRec(**{**TINY, "max_len": 40}).estimate(books)
    assert longer.cpu_seconds - plain_longer.cpu_seconds > large.cpu_seconds - plain.cpu_seconds
