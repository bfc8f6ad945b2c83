from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import Ragged
from honeyguide.metrics.predictive import auc, gauc, log_loss
from honeyguide.models.ranking.clicks import EventBatches, Examples
from honeyguide.models.ranking.din import DIN
from honeyguide.models.ranking.din_network import Dice
from honeyguide.models.ranking.examples import later_events, train_events
from honeyguide.models.ranking.features import Features
from honeyguide.models.ranking.itemrate import ItemRate
from honeyguide.models.ranking.logistic import Logistic

QUICK = {"dim": 8, "attention": 8, "layers": (32, 16), "epochs": 40, "lr": 5e-3, "batch": 128, "patience": 8}


def likes(data: Dataset, part: str = "test") -> np.ndarray:
    return data.select(part).interactions["positive"].to_numpy()


@pytest.fixture(scope="module")
def model(taste: Dataset) -> DIN:
    torch.set_num_threads(1)
    return DIN(**QUICK, context=("shelf",)).fit(taste)


@pytest.fixture(scope="module")
def examples(model: DIN, taste: Dataset) -> Examples:
    return Examples.of(later_events(taste, "test"), taste, "test", model.features, model.config.max_len)


def everything(examples: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = len(examples.events)
    return np.arange(n), np.zeros(n, bool), np.zeros(n, bool)


# -- the published formulas ----------------------------------------------------------------------


def test_dice_is_the_formula_of_the_paper() -> None:
    torch.manual_seed(0)
    dice, s = Dice(3, momentum=1.0), torch.randn(50, 3) * 4 + 2
    dice.alpha.data[:] = torch.tensor([0.0, 0.5, 1.0])
    p = 1 / (1 + torch.exp(-(s - s.mean(0)) / (s.var(0, unbiased=False) + 1e-8).sqrt()))
    expected = p * s + (1 - p) * dice.alpha * s
    assert_allclose(dice(s).detach(), expected.detach(), rtol=1e-5, atol=1e-6)
    dice.eval()  # a single row later is judged by the batch's statistics
    assert_allclose(dice(s[:1]).detach(), expected[:1].detach(), rtol=1e-5, atol=1e-6)


def test_the_activation_unit_is_the_papers_on_h_t_difference_and_product(model: DIN) -> None:
    network = model.network
    h, x = network.item_vectors(torch.tensor([3, 7])), network.item_vectors(torch.tensor([11, 11]))
    of_h, of_x, of_difference = torch.randn(3, *network.key.weight.shape)
    paper = torch.cat([of_h, of_x, of_difference, network.cross.weight], 1)  # weights on [h, x, h - x, h * x]
    published = torch.cat([h, x, h - x, h * x], 1) @ paper.T + network.query.bias
    ours = x @ (of_x - of_difference).T + h @ (of_h + of_difference).T + network.cross(h * x) + network.query.bias
    assert_allclose(ours.detach(), published.detach(), rtol=1e-4, atol=1e-5)


def test_pooling_is_the_weighted_sum_over_the_history_and_not_normalised(model: DIN, examples: Examples) -> None:
    """One example by hand, from the parts of the network."""
    network, batch = model.network, examples.batch(*(a[:1] for a in everything(examples)))
    x, h = network.item_vectors(batch.items)[0], network.item_vectors(batch.history[0])
    v = torch.zeros_like(x)
    for age, event in enumerate(h.flip(0)):
        unit = network.unit(network.query(x) + network.key(event) + network.cross(event * x))
        v = v + network.weigh(unit) * torch.exp(network.age[min(15, int(np.log2(age + 1)))]) * event
    u, c = network.users(*batch.users)[0], network.context(*batch.context)[0]
    z = torch.cat([u, v, x, v * x, c, batch.derived[0]])[None]
    for layer, activation in zip(network.layers, network.activations, strict=True):
        z = activation(layer(z))
    logit, hidden = network(batch)
    assert_allclose(hidden.detach(), z.detach(), rtol=1e-4, atol=1e-5)
    assert_allclose(logit.detach(), network.out(z)[0].detach(), rtol=1e-4, atol=1e-5)


# -- what it learns ------------------------------------------------------------------------------


def test_it_learns_taste_from_the_history_which_the_linear_floor_cannot(model: DIN, taste: Dataset) -> None:
    truth, users = likes(taste), taste.select("test").interactions["user"].to_numpy()
    ours, linear, rate = (m.score_events(taste) for m in (model, Logistic().fit(taste), ItemRate().fit(taste)))
    assert auc(truth, ours) > 0.85
    assert gauc(truth, ours, users) > 0.85
    assert max(auc(truth, linear), auc(truth, rate)) < 0.65
    assert log_loss(truth, ours) < 0.8 * log_loss(truth, linear)


def test_probabilities_are_calibrated_on_valid(model: DIN, taste: Dataset) -> None:
    assert model.score_events(taste, "valid").mean() == pytest.approx(likes(taste, "valid").mean(), abs=0.03)


def test_with_positives_alone_the_catalogue_adds_up_to_one_next_event(books: Dataset) -> None:
    some = replace(books, interactions=books.interactions.filter(pl.col("user") < 80))
    model = DIN(dim=8, layers=(16,), epochs=2, max_len=20).fit(some)
    sums = model.score_histories(some.histories("train"))[:80].sum(1)
    assert sums.mean() == pytest.approx(1, abs=0.4)
    uncorrected = replace(model.calibration, correction=0.0)
    assert uncorrected.shift == model.calibration.shift
    assert model.calibration.correction == pytest.approx(np.log(4 / (books.n_items - 1)))


# -- traps ---------------------------------------------------------------------------------------


def test_the_catalogue_in_one_go_gives_what_the_network_gives_pair_by_pair(model: DIN, taste: Dataset) -> None:
    bare = replace(taste, users=taste.users.select("user_id"))
    events = later_events(bare.select("train", "valid", "test"), "test")
    examples = Examples.of(events, bare, "test", model.features, model.config.max_len)
    index, nothing, _ = everything(examples)
    with torch.inference_mode():
        logits, _ = model.network(examples.batch(index, ~nothing, ~nothing))
    expected = model.calibration.probabilities(logits.numpy())
    scores = model.score_histories(bare.histories("train", "valid"))
    assert_allclose(scores[events.users, events.items], expected, rtol=2e-4, atol=1e-6)


def test_outcomes_of_the_scored_part_are_not_read(model: DIN, taste: Dataset) -> None:
    test = pl.col("split") == "test"
    flipped = taste.interactions.with_columns(positive=pl.col("positive") ^ test, label=pl.lit(0.0))
    assert_array_equal(model.score_events(replace(taste, interactions=flipped)), model.score_events(taste))


def test_features_of_users_and_context_reach_events_and_are_unknown_elsewhere(model: DIN, taste: Dataset) -> None:
    moved = replace(taste, users=taste.users.with_columns(town=pl.lit("Bra")))
    other = replace(taste, interactions=taste.interactions.with_columns(shelf=pl.lit("top")))
    for changed in (moved, other):
        assert not np.array_equal(model.score_events(changed), model.score_events(taste))
    histories = taste.histories("train")
    assert_array_equal(model.score_histories(histories), model.score_histories(histories, np.arange(len(histories))))


def test_padding_and_other_examples_of_a_batch_play_no_part(model: DIN, examples: Examples) -> None:
    index, nothing, _ = everything(examples)
    short = index[np.argsort(examples.events.before)[:3]]
    with torch.inference_mode():
        together = model.network(examples.batch(index, nothing, nothing))[0].numpy()
        alone = model.network(examples.batch(short, nothing[:3], nothing[:3]))[0].numpy()
    assert_allclose(alone, together[short], rtol=1e-4, atol=1e-5)


def test_an_item_without_train_events_is_an_unknown_item_with_its_features(model: DIN, taste: Dataset) -> None:
    kept = taste.interactions.filter(pl.col("item") != 39)
    cold = DIN(**QUICK | {"epochs": 1}).fit(replace(taste, interactions=kept))
    before = cold.score_histories(taste.histories("train"))[:, 39]
    with torch.no_grad():
        cold.network.ids.weight[39] += 100.0
    cold._tables = None
    assert_array_equal(cold.score_histories(taste.histories("train"))[:, 39], before)


def test_the_hidden_layer_is_the_one_below_the_score(model: DIN, taste: Dataset) -> None:
    scores, hidden = model.hidden(taste)
    assert hidden.shape == (len(scores), 16)
    logits = hidden @ model.network.out.weight.detach().numpy()[0] + model.network.out.bias.item()
    assert_allclose(model.calibration.probabilities(logits), scores, rtol=1e-4)
    assert_array_equal(scores, model.score_events(taste))


def test_an_epoch_is_a_function_of_its_number_and_no_two_are_alike(books: Dataset) -> None:
    features = Features.fit(books, train_events(books, np.random.default_rng(0)).before)
    batches = EventBatches(books, features, 20, 4, 256, 0.1, seed=0)
    first, again, second = batches.epoch(0)[3], batches.epoch(0)[3], batches.epoch(1)[3]
    assert_array_equal(first.items, again.items)
    assert_array_equal(first.users[0], again.users[0])
    assert not np.array_equal(first.items, second.items)
    assert first.labels.mean().item() == pytest.approx(0.2, abs=0.08)


def test_a_fit_resumed_from_its_checkpoint_is_the_uninterrupted_one(
    taste: Dataset, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**QUICK, "epochs": 4}
    whole = DIN(**options).fit(taste)
    stopped = DIN(**options)
    steps = iter(range(30))

    def loss(batch: object, usual: object = stopped._forward) -> object:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return usual(batch)  # type: ignore[operator]

    monkeypatch.setattr(stopped, "_forward", loss)
    with pytest.raises(Exception, match="interrupted"):
        stopped.fit(taste, FitOptions(checkpoint=tmp_path))  # type: ignore[arg-type]
    resumed = DIN(**options).fit(taste, FitOptions(checkpoint=tmp_path, resume=True))  # type: ignore[arg-type]
    histories = taste.histories("train")
    assert_array_equal(resumed.score_histories(histories), whole.score_histories(histories))
    with pytest.raises(Exception, match="checkpoint"):
        DIN(**options, negatives=2).fit(taste, FitOptions(checkpoint=tmp_path, resume=True))  # type: ignore[arg-type]


def test_an_empty_history_is_served(model: DIN) -> None:
    scores = model.score_histories(Ragged.from_lists([[], [-1, -1], [1]]))
    assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_fine_tuning_moves_the_model_towards_the_new_outcomes(taste: Dataset) -> None:
    model = DIN(**{**QUICK, "epochs": 4}).fit(taste)
    truth = taste.select("test").interactions["positive"].to_numpy()
    lists = model.score_histories(taste.histories("train")).copy()
    before = log_loss(truth, model.score_events(taste, "test"))
    model.learn_events(taste, "test", epochs=5)
    assert log_loss(truth, model.score_events(taste, "test")) < before
    assert np.abs(model.score_histories(taste.histories("train")) - lists).max() > 0
    with pytest.raises(DataError, match="not labelled"):
        model.learn_events(replace(taste, interactions=taste.interactions.drop("positive")))


def test_the_hidden_layer_of_the_catalogue_is_that_of_its_scores(taste: Dataset) -> None:
    model = DIN(**{**QUICK, "epochs": 4}).fit(taste)
    histories = taste.histories("train")
    hidden = model.catalogue_hidden(histories[0])
    with torch.no_grad():
        logits = model.network.out(torch.from_numpy(hidden))[:, 0].numpy()
    found = model.calibration.probabilities(logits)
    np.testing.assert_allclose(found, model.score_histories(histories)[0], rtol=1e-5)
