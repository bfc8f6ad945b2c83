from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, FitInterrupted
from honeyguide.core.fitting import FitOptions
from honeyguide.core.plugged import Plugged
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.metrics.holdout import rank_lists
from honeyguide.models.registry import model_class
from honeyguide.models.sequence.next_item import NextItemModel
from honeyguide.models.sequence.sasrec import SASRec
from honeyguide.nn import losses
from honeyguide.nn.batches import PackedWindows
from honeyguide.nn.forward import batch_loss
from honeyguide.nn.rounds import retrieve
from honeyguide.nn.trainer import Trainer
from honeyguide.plugins.ada_retrieval import AdaRetrieval, AdaRetrievalConfig, round_loss

TINY: dict[str, Any] = {"dim": 16, "blocks": 1, "heads": 1, "max_len": 20, "epochs": 2, "batch_tokens": 512, "lr": 5e-3}
ROUNDS: dict[str, Any] = {"k": 12, "rounds": 3, "epochs": 2}


@pytest.fixture(scope="module")
def plain(books: Dataset) -> SASRec:
    return SASRec(**TINY).fit(books)


@pytest.fixture(scope="module")
def ada(books: Dataset) -> Plugged:
    return SASRec(**TINY).plug(AdaRetrieval(**ROUNDS)).fit(books)


@pytest.fixture(scope="module")
def asked(books: Dataset) -> Requests:
    return Requests(books.histories("train", "valid"))


def backbone(model: Plugged) -> NextItemModel:
    assert isinstance(model.base, NextItemModel)
    return model.base


# -- one round, and rounds without adapters -----------------------------------------------------


def test_one_round_is_the_backbone_bit_for_bit(plain: SASRec, books: Dataset, asked: Requests) -> None:
    one = SASRec(**TINY).plug(AdaRetrieval(**{**ROUNDS, "rounds": 1})).fit(books)
    ours, theirs = one.recommend(asked, 30), plain.recommend(asked, 30)
    np.testing.assert_array_equal(ours.items, theirs.items)
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert one.plugins[0].state()[0] == {} and len(one.report.curve) == len(plain.report.curve)


def test_without_adapters_the_backbone_trains_as_long_and_rounds_are_slices(books: Dataset, asked: Requests) -> None:
    control = SASRec(**TINY).plug(AdaRetrieval(**ROUNDS, items=False, users=False)).fit(books)
    assert [entry["epoch"] for entry in control.report.curve] == [1, 2, 3, 4]  # two of each stage
    np.testing.assert_array_equal(control.recommend(asked, 12).items, control.base.recommend(asked, 12).items)


# -- trap: later rounds must use adapted vectors, not the next slice of the first ranking -------------


def test_later_rounds_are_not_the_next_slice(ada: Plugged, asked: Requests) -> None:
    first = ada.base.recommend(asked, 12).items
    lists = ada.recommend(asked, 12).items
    np.testing.assert_array_equal(lists[:, :4], first[:, :4])
    assert (np.sort(lists[:, 4:], axis=1) != np.sort(first[:, 4:], axis=1)).any(axis=1).mean() > 0.2


# -- trap: one list for context and delivery; neither holds the history or earlier rounds ---------------


def test_the_context_is_what_was_delivered(ada: Plugged, asked: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = ada.plugins[0]
    assert isinstance(plugin, AdaRetrieval)
    seen: list[Any] = []
    make = plugin._next

    def spy(unrolled: Any, codes: Any) -> Any:
        seen.append(codes.copy())
        return make(unrolled, codes)

    monkeypatch.setattr(plugin, "_next", spy)
    lists = ada.recommend(asked, 12).items
    np.testing.assert_array_equal(np.concatenate(seen, axis=1), lists[:, :8])
    for row, history in zip(lists, asked.histories, strict=True):
        assert len(set(row.tolist())) == 12 and not set(row.tolist()) & set(history.tolist())


def test_what_is_retrieved_while_training_has_no_history_and_nothing_twice() -> None:
    torch.manual_seed(0)
    states, table = torch.randn(5, 4, requires_grad=True), torch.randn(12, 4, requires_grad=True)
    taken = torch.zeros(5, 12, dtype=torch.bool)
    taken[:, [2, 3]] = True
    rounds = [retrieve(states, table, taken, 4) for _ in range(3)]
    best = (states @ table.T).detach()
    best[:, [2, 3]] = -torch.inf
    order = best.argsort(1, descending=True)
    assert torch.equal(torch.cat(rounds[:2], 1), order[:, :8])
    assert torch.equal(rounds[2][:, :2], order[:, 8:10]) and (rounds[2][:, 2:] == -1).all()  # nothing is left
    assert not rounds[0].requires_grad  # trap: the choice is hard, no gradient passes


# -- trap: the loss is the sum over rounds, with logits -------------------------------------------------


def _loss(model: Plugged, books: Dataset, **options: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The loss of a batch, and those of its later rounds."""
    inner, plugin = backbone(model), model.plugins[0]
    assert isinstance(plugin, AdaRetrieval) and plugin.adapters is not None
    config = AdaRetrievalConfig(**{**ROUNDS, **options})
    batch = PackedWindows(books.histories("train"), 20, 512, 0).epoch(0)[0]
    found: list[torch.Tensor] = []
    whole = losses.full_softmax

    def spy(*arguments: Any) -> Any:
        mean, each = whole(*arguments)
        found.append(mean.detach())
        return mean, each

    torch.manual_seed(1)
    losses.full_softmax = spy  # type: ignore[assignment]
    try:
        total = round_loss(inner, plugin.adapters, config)(batch)
    finally:
        losses.full_softmax = whole
    return total, found


def test_the_loss_is_that_of_the_rounds_with_falling_weights(ada: Plugged, books: Dataset) -> None:
    total, (first, second, third) = _loss(ada, books, decay=0.5)
    torch.testing.assert_close(total.detach(), first + 0.5 * second + 0.25 * third)
    batch = PackedWindows(books.histories("train"), 20, 512, 0).epoch(0)[0]
    inner = backbone(ada)
    torch.testing.assert_close(batch_loss(inner._forward(), inner.hooks)(batch).detach(), first)  # the backbone's own


def test_a_target_that_was_retrieved_stays_a_positive_unless_only_missed_ones_count(
    ada: Plugged, books: Dataset
) -> None:
    every, _ = _loss(ada, books)
    missed, found = _loss(ada, books, positives="missed")
    assert not torch.equal(every, missed) and len(found) == 3


def test_sure_mistakes_cost_a_finite_loss_with_a_gradient(books: Dataset) -> None:
    model = SASRec(**TINY, loss="bce", negatives=20).plug(AdaRetrieval(**ROUNDS)).fit(books)
    inner, plugin = backbone(model), model.plugins[0]
    assert isinstance(plugin, AdaRetrieval) and plugin.adapters is not None
    with torch.no_grad():
        inner.network.items.weight.mul_(300)  # probabilities that round to 0 and 1: a clamp would end in log(0)
    batch = PackedWindows(books.histories("train"), 20, 512, 0).epoch(0)[0]
    value = round_loss(inner, plugin.adapters, plugin.config)(batch)
    value.backward()
    gradient = inner.network.items.weight.grad
    assert value.isfinite() and value > 100 and gradient is not None and gradient.isfinite().all()


def test_all_parts_are_trained_jointly(ada: Plugged, books: Dataset) -> None:
    inner, plugin = backbone(ada), ada.plugins[0]
    assert isinstance(plugin, AdaRetrieval) and plugin.adapters is not None
    named = [*plugin.adapters.named_parameters(), *inner.network.named_parameters()]
    total, _ = _loss(ada, books)
    gradients = torch.autograd.grad(total, [p for _, p in named])
    assert all(g.abs().sum() > 0 for g in gradients), [n for (n, _), g in zip(named, gradients, strict=True)]


# -- requests of every kind -----------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 4, 5, 9, 12, 30])
def test_a_short_list_is_the_beginning_of_a_long_one(ada: Plugged, asked: Requests, k: int) -> None:
    np.testing.assert_array_equal(ada.recommend(asked, k).items, ada.recommend(asked, 30).items[:, :k])


def test_k_need_not_be_a_multiple_of_the_rounds(books: Dataset, asked: Requests) -> None:
    assert AdaRetrieval(k=100, rounds=3).config.size == 34
    model = SASRec(**TINY).plug(AdaRetrieval(k=10, rounds=4, epochs=1)).fit(books)
    items = model.recommend(asked, 10).items
    assert (items >= 0).all() and all(len(set(row.tolist())) == 10 for row in items)


def test_candidates_and_exclusions_hold_in_every_round(ada: Plugged, books: Dataset) -> None:
    histories = books.histories("train")
    n = len(histories)
    allowed = Ragged.from_lists([list(range(20, 31))] * n)
    requests = Requests(histories, exclude=Ragged.from_lists([[21, 22]] * n), candidates=allowed)
    items = ada.recommend(requests, 12).items
    assert set(items[:, :9].ravel().tolist()) == set(range(20, 31)) - {21, 22}
    assert (items[:, 9:] == -1).all()  # fewer than were asked for
    everything = ada.recommend(Requests(histories, exclude=Ragged.empty(n)), 12).items
    assert any(set(row.tolist()) & set(h.tolist()) for row, h in zip(everything, histories, strict=True))


def test_empty_and_unknown_histories_get_the_list_of_the_backbone(ada: Plugged) -> None:
    histories = Ragged.from_lists([[], [3, 4], [-1], [-1, 5, -1], []])
    mixed, inner = ada.recommend(Requests(histories), 12), ada.base.recommend(Requests(histories), 12)
    np.testing.assert_array_equal(mixed.items[[0, 2, 4]], inner.items[[0, 2, 4]])
    alone = ada.recommend(Requests(Ragged.from_lists([[3, 4], [5]])), 12).items
    np.testing.assert_array_equal(mixed.items[[1, 3]], alone)


def test_ties_go_to_the_lower_code_in_every_round(books: Dataset, asked: Requests) -> None:
    model = SASRec(**TINY).plug(AdaRetrieval(k=6, rounds=3, epochs=1)).fit(books)
    with torch.no_grad():
        backbone(model).network.items.weight.zero_()
        backbone(model).network.items.weight[:100, 0] = (
            1.0  # products with it are equal to the last bit, on any machine
        )
    items = model.recommend(replace(asked, exclude=Ragged.empty(len(asked))), 6).items
    for row in items:  # two values there are: the lowest codes of one of them come first
        assert (np.diff(row.reshape(3, 2), axis=1) > 0).all()
        assert set(row.tolist()) <= {0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 104, 105}


def test_a_catalogue_smaller_than_the_list(books: Dataset) -> None:
    model = SASRec(**TINY).plug(AdaRetrieval(k=books.n_items + 90, rounds=2, epochs=1)).fit(books)
    histories = books.histories("train").take(slice(0, 20))
    items = model.recommend(Requests(histories), books.n_items + 90).items
    for row, history in zip(items, histories, strict=True):
        assert sorted(row[row >= 0].tolist()) == sorted(set(range(books.n_items)) - set(history.tolist()))


# -- training, storing, stacking ------------------------------------------------------------------------


def test_evaluation_sees_the_lists(ada: Plugged, books: Dataset, asked: Requests) -> None:
    assert not ada.ranks_by_score and "inner_product" not in ada.capabilities
    lists = rank_lists(ada, asked.histories, books.histories("test"), 12)
    np.testing.assert_array_equal(lists, ada.recommend(asked, 12).items)


@pytest.mark.parametrize("epoch", [0, 1])
def test_interrupted_in_the_second_stage_and_resumed_it_is_the_same(
    ada: Plugged, books: Dataset, asked: Requests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    model = SASRec(**TINY).plug(AdaRetrieval(**ROUNDS))
    inner = backbone(model)
    step, steps = Trainer._step, iter(range(1000))
    stop = epoch * len(PackedWindows(books.histories("train"), 20, 512, 0).epoch(0)) + 1

    def interrupted(self: Any, batch: Any, done: float) -> None:
        if hasattr(inner.network, "rounds") and next(steps) == stop:
            raise KeyboardInterrupt
        step(self, batch, done)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        with pytest.raises(FitInterrupted, match="interrupted in epoch"):
            model.fit(books, FitOptions(checkpoint=tmp_path))
    assert "rounds" not in dict(inner.network.named_children())
    again = SASRec(**TINY).plug(AdaRetrieval(**ROUNDS)).fit(books, FitOptions(checkpoint=tmp_path, resume=True))
    np.testing.assert_array_equal(again.recommend(asked, 12).items, ada.recommend(asked, 12).items)
    np.testing.assert_array_equal(again.recommend(asked, 12).scores, ada.recommend(asked, 12).scores)


def test_without_time_for_the_second_stage_it_serves_as_the_backbone(
    plain: SASRec, books: Dataset, asked: Requests
) -> None:
    model = SASRec(**TINY).plug(AdaRetrieval(**ROUNDS))
    fit = model.base.fit

    def slow(data: Dataset, options: FitOptions) -> Any:
        found = fit(data, replace(options, cpu_limit=None))
        found.report.cpu_seconds = 1e6
        return found

    model.base.fit = slow  # type: ignore[method-assign, assignment]
    model.fit(books, FitOptions(cpu_limit=1e5))
    assert not model.report.finished and model.plugins[0].state()[0] == {}
    np.testing.assert_array_equal(model.recommend(asked, 12).items, plain.recommend(asked, 12).items)


@pytest.mark.parametrize("part", ["items", "users", "filter"])
def test_parts_that_are_left_out_have_no_weights(part: str, books: Dataset, asked: Requests, ada: Plugged) -> None:
    model = SASRec(**TINY).plug(AdaRetrieval(**{**ROUNDS, part: False})).fit(books)
    names = set(model.plugins[0].state()[0])
    assert names < set(ada.plugins[0].state()[0])
    assert not any(part in name for name in names if part != "items" or not name.startswith("users"))
    assert (model.recommend(asked, 12).items != ada.recommend(asked, 12).items).any()


@pytest.mark.parametrize("name", ["gru4rec", "hstu", "esasrec"])
def test_it_runs_over_every_backbone_whose_inputs_can_be_changed(name: str, books: Dataset, asked: Requests) -> None:
    base = model_class(name)(dim=16, max_len=20, epochs=1, batch_tokens=512)
    model = base.plug(AdaRetrieval(**ROUNDS)).fit(books)
    lists = model.recommend(asked, 12).items
    assert all(len(set(row.tolist())) == 12 for row in lists)
    assert (lists[:, 4:] != model.base.recommend(asked, 12).items[:, 4:]).any()


def test_other_models_are_refused() -> None:
    with pytest.raises(CapabilityError, match="inputs"):
        model_class("bert4rec+ada-retrieval")


def test_an_edit_of_states_holds_in_every_round(ada: Plugged, asked: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ada.recommend(asked, 12).items
    monkeypatch.setattr(ada.hooks, "edit_state", lambda states, histories: -states)
    first = ada.base.recommend(asked, 4).items
    after = ada.recommend(asked, 12).items
    np.testing.assert_array_equal(after[:, :4], first)
    assert not (after[:, 4:8] == before[:, 4:8]).all(axis=1).any()


def test_it_is_better_than_chance_by_far(ada: Plugged, books: Dataset, asked: Requests) -> None:
    lists, truth = ada.recommend(asked, 12).items, books.histories("test")
    hit = np.mean([target[0] in row for row, target in zip(lists, truth, strict=True)])
    assert hit > 3 * 12 / books.n_items


def test_the_estimate_grows_with_the_rounds(books: Dataset) -> None:
    seconds = [SASRec(**TINY).plug(AdaRetrieval(rounds=r)).estimate(books).cpu_seconds for r in (1, 2, 5)]
    assert seconds[0] == SASRec(**TINY).estimate(books).cpu_seconds and seconds[0] < seconds[1] < seconds[2]
