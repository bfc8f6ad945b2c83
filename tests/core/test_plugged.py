from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, ConfigError, FitInterrupted, PluginError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.plugged import Plugged, plugged
from honeyguide.core.plugin import Plugin, PluginConfig, Receipt, Run
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.core.recommender import Lists
from honeyguide.core.requests import Requests
from honeyguide.metrics.holdout import rank_lists
from honeyguide.models.factor.mf_bpr import MFBPR
from honeyguide.models.linear.ials import IALS
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.ranking.din import DIN
from honeyguide.models.sequence.sasrec import SASRec
from honeyguide.nn.forward import Forward, LossContext, Weights

TINY = {"dim": 16, "epochs": 2}


class ScaleConfig(PluginConfig):
    by: float = 2.0


class Scale(Plugin):
    name = "scale"
    Config = ScaleConfig
    config: ScaleConfig
    needs = frozenset({"state"})

    def edit_state(self, states: FloatArray, histories: Ragged) -> FloatArray:
        return states * np.float32(self.config.by)


class Shift(Plugin):
    name = "shift"

    def adjust_scores(self, requests: Requests, states: FloatArray | None, scores: FloatArray) -> FloatArray:
        return scores + np.float32(1)


class Double(Plugin):
    name = "double"

    def adjust_scores(self, requests: Requests, states: FloatArray | None, scores: FloatArray) -> FloatArray:
        return scores * np.float32(2)


class Broken(Plugin):
    name = "broken"
    needs = frozenset({"vectors"})

    def loss_terms(self, context: LossContext) -> torch.Tensor | None:
        raise ZeroDivisionError("no luck")


class OnlyFirst(Plugin):
    """Learns from the first half of the users alone, and keeps what it saw."""

    name = "only-first"
    needs = frozenset({"weights", "vectors"})

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self.seen: list[tuple[int, int]] = []

    def weights(self, forward: Forward) -> Weights | None:
        return Weights(loss=(forward.users % 2 == 0).float())

    def loss_terms(self, context: LossContext) -> torch.Tensor | None:
        zeros = [torch.zeros_like(v) for v in context.pass_.vectors]
        torch.testing.assert_close(context.forward(zeros), context.loss)
        factor = context.weights.factor if context.weights is not None else None
        assert factor is not None
        torch.testing.assert_close((context.losses * factor).mean(), context.loss.detach())
        return None

    def on_step(self, network: torch.nn.Module, epoch: int, step: int) -> None:
        self.seen.append((epoch, step))


class Late(Plugin):
    """Ruins what it wants kept, so that the choice can be seen."""

    name = "late"

    def keeps_from(self) -> int:
        return 2

    def on_epoch(self, network: torch.nn.Module, epoch: int) -> None:
        if epoch >= 2:
            network.items.data.mul_(0.0).add_(float(epoch))  # type: ignore[operator, union-attr]


class Stages(Plugin):
    name = "stages"

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self.learnt = np.zeros(2, np.float32)

    def around_fit(self, fit: Callable[[Dataset], None], data: Dataset, run: Run) -> None:
        fit(data)
        self.learnt[0] = run.model.score_histories(data.histories("train")).mean()

    def around_recommend(self, recommend: Callable[[Requests, int], Lists], requests: Requests, k: int) -> Lists:
        items, scores = recommend(requests, k)
        return items[:, ::-1].copy(), scores[:, ::-1].copy()

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"learnt": self.learnt}, {"so": "kept"}

    def restore(self, arrays: Any, meta: dict[str, Any]) -> None:
        self.learnt = np.array(arrays["learnt"])
        assert meta == {"so": "kept"}


class Three(Plugin):
    name = "three"

    def retrieve(self, requests: Requests, n: int) -> Lists:
        items = np.full((len(requests), n), -1, np.int32)
        items[:, :3] = [5, 7, 9]
        return items, np.zeros(items.shape, np.float32)


class Two(Plugin):
    name = "two"

    def retrieve(self, requests: Requests, n: int) -> Lists:
        items = np.full((len(requests), n), -1, np.int32)
        items[:, :2] = [7, 11]
        return items, np.zeros(items.shape, np.float32)


class Correct(Plugin):
    name = "correct"
    needs = frozenset({"events"})

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self.error = 0.0

    def adjust_events(self, receipt: Receipt) -> FloatArray:
        return receipt.scores + np.float32(self.error)

    def observe(self, labels: FloatArray, receipt: Receipt) -> None:
        self.error = float((labels - receipt.scores).mean())

    def renewed(self) -> None:
        self.error = 0.0


def test_options_stand_under_the_name_of_the_plug_in(books: Dataset) -> None:
    model = IALS(factors=8, iterations=2).plug(Scale(by=3.0))
    assert model.name == "ials+scale" and isinstance(model, Plugged)
    assert model.config.model_dump()["scale"] == {"enabled": True, "by": 3.0}
    again = plugged(IALS, (Scale,))(factors=8, iterations=2, scale={"by": 3.0})
    assert again.config == model.config
    with pytest.raises(ConfigError, match="scale"):
        plugged(IALS, (Scale,))(scale={"of": 1})
    with pytest.raises(ConfigError, match="option 'of'"):
        Scale(of=1)


def test_a_state_is_edited_before_it_is_scored(books: Dataset) -> None:
    plain = IALS(factors=8, iterations=2).fit(books)
    scaled = IALS(factors=8, iterations=2).plug(Scale()).fit(books)
    histories = books.histories("train")
    np.testing.assert_array_equal(scaled.score_histories(histories), 2 * plain.score_histories(histories))
    assert "inner_product" in scaled.capabilities and "update" not in scaled.capabilities
    off = IALS(factors=8, iterations=2).plug(Scale(enabled=False)).fit(books)
    np.testing.assert_array_equal(off.score_histories(histories), plain.score_histories(histories))


def test_requests_may_bring_the_states_to_score_with(books: Dataset) -> None:
    model = IALS(factors=8, iterations=2).plug(Scale(), Shift()).fit(books)
    histories = books.histories("train").take(slice(0, 9))
    states = -model.user_vectors(histories)
    asked = Requests(histories, states=states, exclude=Ragged.from_lists([[3]] * 9))
    np.testing.assert_array_equal(model.score(asked), states @ model.item_vectors().T + np.float32(1))
    found = model.recommend(asked, 5).items
    expected = model.score(asked)
    expected[:, 3] = -np.inf
    np.testing.assert_array_equal(found, np.argsort(-expected, axis=1, kind="stable")[:, :5])
    np.testing.assert_array_equal(model.recommend(asked.take(slice(4, 9)), 5).items, found[4:])
    with pytest.raises(CapabilityError, match="vectors of users"):
        ItemKNN().fit(books).recommend(asked, 5)


def test_plug_ins_are_applied_in_the_order_in_which_they_are_listed(books: Dataset) -> None:
    plain, histories = ItemKNN().fit(books), books.histories("train")
    scores = plain.score_histories(histories)
    first = ItemKNN().plug(Shift(), Double()).fit(books)
    second = ItemKNN().plug(Double()).plug(Shift()).fit(books)
    assert (first.name, second.name) == ("itemknn+shift+double", "itemknn+double+shift")
    np.testing.assert_array_equal(first.score_histories(histories), (scores + 1) * 2)
    np.testing.assert_array_equal(second.score_histories(histories), scores * 2 + 1)
    assert "inner_product" not in first.capabilities


def test_a_model_without_the_state_is_refused_before_training() -> None:
    with pytest.raises(CapabilityError, match=r"'scale' needs the state 'state'.*itemknn") as caught:
        ItemKNN().plug(Scale())
    assert "honeyguide models" in str(caught.value)
    with pytest.raises(ConfigError, match="twice"):
        ItemKNN().plug(Shift(), Shift())


def test_a_plug_in_that_raises_is_named(books: Dataset) -> None:
    with pytest.raises(PluginError, match=r"'broken' failed in loss_terms: ZeroDivisionError: no luck"):
        MFBPR(**TINY).plug(Broken()).fit(books)


@pytest.mark.parametrize("base", [MFBPR(**TINY), SASRec(**TINY, blocks=1, heads=1, max_len=20)])
def test_weights_and_second_passes_while_training(base: Any, books: Dataset) -> None:
    model = base.plug(OnlyFirst()).fit(books)
    (plugin,) = model.plugins
    assert plugin.seen[0] == (0, 0) and plugin.seen[-1][0] == 1  # epochs, and steps that go on
    assert [step for _, step in plugin.seen] == list(range(len(plugin.seen)))


def test_examples_of_weight_zero_teach_nothing(books: Dataset) -> None:
    half = books.histories("train")
    model = MFBPR(dim=8, epochs=1, regularization=0.0, lr=0.1).plug(OnlyFirst())
    network: list[torch.nn.Module] = []
    model.plugins[0].on_step = lambda net, epoch, step: network.append(net)  # type: ignore[method-assign]
    model.fit(books)
    users = network[0].users.detach().numpy()
    torch.manual_seed(0)
    start = 0.1 * torch.randn(books.n_users, 8).numpy()
    np.testing.assert_array_equal(users[1::2], start[1::2])
    moved = np.abs(users - start).max(axis=1)[::2][half.lengths[::2] > 0]
    assert (moved > 0).all()


def test_epochs_before_a_plug_in_has_done_its_work_are_not_kept(books: Dataset) -> None:
    model = MFBPR(dim=8, epochs=4, patience=2).plug(Late()).fit(books)
    curve = [entry["valid_ndcg@10"] for entry in model.report.curve]
    assert max(curve[:2]) > max(curve[2:])
    assert set(np.unique(model.item_vectors())) <= {2.0, 3.0}


def test_stages_and_rounds_and_what_was_learnt_is_saved(books: Dataset, tmp_path: Path) -> None:
    plain = ItemKNN().fit(books)
    model = ItemKNN().plug(Stages()).fit(books)
    histories = books.histories("train")
    assert model.plugins[0].learnt[0] == pytest.approx(plain.score_histories(histories).mean())
    asked = Requests(histories)
    items = plain.recommend(asked, 5).items
    np.testing.assert_array_equal(model.recommend(asked, 5).items, items[:, ::-1])
    lists = rank_lists(model, histories, books.histories("valid"), 5)  # what evaluation sees
    np.testing.assert_array_equal(lists, model.recommend(asked, 5).items)
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model")
    assert loaded.plugins[0].learnt[0] == model.plugins[0].learnt[0]
    np.testing.assert_array_equal(loaded.recommend(asked, 5).items, items[:, ::-1])


def test_candidates_unite(books: Dataset) -> None:
    model = ItemKNN().plug(Three(), Two()).fit(books)
    asked = Requests(books.histories("train"), exclude=Ragged.empty(books.n_users))
    found = model.recommend(asked, 4).items
    assert set(found.ravel()) == {5, 7, 9, 11}
    some = Requests(asked.histories, exclude=asked.exclude, candidates=Ragged.from_lists([[7, 8]] * books.n_users))
    assert set(model.recommend(some, 4).items.ravel()) == {7, -1}


def test_events_are_corrected_by_what_is_observed(books: Dataset) -> None:
    model = DIN(epochs=1, layers=(8,), dim=4, negatives=1).plug(Correct()).fit(books)
    before = model.score_events(books, "valid")
    receipt = model.receipt(books, "valid")
    np.testing.assert_array_equal(before, receipt.scores)
    assert receipt.hidden.shape == (len(before), 8)
    model.observe(np.ones(len(before), np.float32), receipt)
    np.testing.assert_allclose(model.score_events(books, "valid").mean(), 1.0, rtol=1e-5)


class Twice(Plugin):
    """Fits two times, the second from where the first ended."""

    name = "twice"
    needs = frozenset({"vectors"})

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self.started: list[torch.Tensor] = []
        self.end: torch.Tensor | None = None
        self.network: torch.nn.Module | None = None

    def on_start(self, network: torch.nn.Module) -> None:
        if self.end is not None:
            with torch.no_grad():
                network.items.copy_(self.end)  # type: ignore[operator, union-attr]
        self.network = network
        self.started.append(network.items.detach().clone())  # type: ignore[operator, union-attr]

    def around_fit(self, fit: Callable[[Dataset], None], data: Dataset, run: Run) -> None:
        self.end = None
        for stage in ("first", "second"):
            run.model.hooks.stage = stage
            fit(data)
            assert self.network is not None
            self.end = self.network.items.detach().clone()  # type: ignore[operator, union-attr]
        run.model.hooks.stage = ""


def test_stages_start_where_the_plug_in_says_and_have_checkpoints_of_their_own(books: Dataset, tmp_path: Path) -> None:
    model = MFBPR(dim=8, epochs=1).plug(Twice())
    model.fit(books, FitOptions(checkpoint=tmp_path))
    (plugin,) = model.plugins
    first, second = plugin.started
    assert not torch.equal(first, second)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]
    resumed = MFBPR(dim=8, epochs=1).plug(Twice()).fit(books, FitOptions(checkpoint=tmp_path, resume=True))
    np.testing.assert_array_equal(resumed.item_vectors(), model.item_vectors())
    assert torch.equal(resumed.plugins[0].started[1], second)


def test_plug_ins_are_told_when_the_model_inside_was_fine_tuned(books: Dataset) -> None:
    labelled = replace(books, interactions=books.interactions.with_columns(positive=pl.col("item") % 2 == 0))
    model = DIN(epochs=1, layers=(8,), dim=4).plug(Correct()).fit(labelled)
    receipt = model.receipt(labelled, "valid")
    model.observe(np.ones(len(receipt.scores), np.float32), receipt)
    assert model.plugins[0].error > 0
    model.learn_events(labelled, "valid")
    assert model.plugins[0].error == 0.0
    assert np.abs(model.receipt(labelled, "valid").scores - receipt.scores).max() > 0


class Finish(Plugin):
    """Keeps what the finished model scores, and how often it was asked to learn."""

    name = "finish"
    learnt: list[float]

    def around_fit(self, fit: Callable[[Dataset], None], data: Dataset, run: Run) -> None:
        self.learnt = []
        fit(data)

    def after_fit(self, data: Dataset, run: Run) -> None:
        self.learnt.append(float(run.model.score_histories(data.histories("train")).sum()))


class Again(Plugin):
    """Fits twice, the second time on half of the users."""

    name = "again"

    def around_fit(self, fit: Callable[[Dataset], None], data: Dataset, run: Run) -> None:
        fit(data)
        fit(replace(data, interactions=data.interactions.filter(pl.col("user") < data.n_users // 2)))


def test_what_is_learnt_after_the_fit_is_learnt_once_from_the_model_that_serves(books: Dataset) -> None:
    model = ItemKNN().plug(Finish(), Again()).fit(books)
    (learnt,) = model.plugins[0].learnt  # type: ignore[attr-defined]
    assert learnt == float(model.base.score_histories(books.histories("train")).sum())


class Rewrite(Plugin):
    """Puts item 3 in the place of whatever came last, and of the first event of the training part."""

    name = "rewrite"

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self.told: list[str] = []

    def before_fit(self, data: Dataset, run: Run) -> None:
        self.told.append(f"before_fit {run.seed} {int(data.histories('train').values[0] == 3)}")

    def transform(self, data: Dataset) -> Dataset:
        self.told.append("transform")
        histories = data.histories("train")
        values = histories.values.copy()
        values[0] = 3
        return data.with_histories(replace(histories, values=values), "train")

    def edit_histories(self, histories: Ragged) -> Ragged:
        values = histories.values.copy()
        values[histories.offsets[1:][histories.lengths > 0] - 1] = 3
        return replace(histories, values=values)


class Cut(Plugin):
    name = "cut"

    def edit_histories(self, histories: Ragged) -> Ragged:
        return histories.last(1)


def test_a_plug_in_learns_from_the_data_as_those_before_it_left_them(books: Dataset) -> None:
    class Then(Rewrite):
        name = "then"

    model = ItemKNN(seed=4).plug(Rewrite(), Then()).fit(books)
    first, then = model.plugins
    assert isinstance(first, Rewrite) and isinstance(then, Rewrite)
    assert first.told == ["before_fit 4 0", "transform"] and then.told == ["before_fit 4 1", "transform"]


@pytest.mark.parametrize("base", [ItemKNN(), SASRec(**TINY)])
def test_a_model_reads_edited_histories_and_excludes_what_the_request_says(base: Any, books: Dataset) -> None:
    model = base.plug(Rewrite()).fit(books)
    histories = books.histories("train").take(np.arange(6))
    edited = model.hooks.edit_histories(histories)
    np.testing.assert_array_equal(model.score_histories(histories), model.base.score_histories(edited))
    if "state" in model.states:
        np.testing.assert_array_equal(model.user_vectors(histories), model.base.user_vectors(edited))
    found = model.recommend(Requests(histories), 5)
    asked = Requests(edited, exclude=histories)
    np.testing.assert_array_equal(found.items, model.base.recommend(asked, 5).items)
    np.testing.assert_array_equal(model._rank(Requests(histories), 5)[0], model.base._rank(asked, 5)[0])


def test_events_are_scored_after_edited_histories(books: Dataset) -> None:
    model = ItemKNN().plug(Rewrite()).fit(books)
    histories = books.histories("train", "valid")
    events = books.select("test").interactions
    scores = model.base.score_histories(model.hooks.edit_histories(histories))
    wanted = scores[events["user"].to_numpy(), events["item"].to_numpy()]
    np.testing.assert_allclose(model.score_events(books), wanted, rtol=1e-5)


def test_a_history_keeps_its_events(books: Dataset) -> None:
    model = ItemKNN().plug(Cut()).fit(books)
    with pytest.raises(PluginError, match="it changed how many events a history has"):
        model.score_histories(books.histories("train"))


class Learner(Plugin):
    """Keeps a number of its own that grows with every epoch, and adds it to the table of items."""

    name = "learner"
    needs = frozenset({"vectors"})

    def on_start(self, network: torch.nn.Module) -> None:
        self.grown = torch.zeros(1)

    def on_epoch(self, network: torch.nn.Module, epoch: int) -> None:
        self.grown = self.grown + epoch + 1
        with torch.no_grad():
            network.items.add_(self.grown)  # type: ignore[operator, union-attr]

    def training_state(self) -> dict[str, torch.Tensor]:
        return {"grown": self.grown}

    def resume(self, tensors: Any) -> None:
        self.grown = tensors["grown"]


def test_what_a_plug_in_learns_beside_the_network_is_resumed(books: Dataset, tmp_path: Path) -> None:
    options, seen = {"dim": 8, "epochs": 4, "patience": 4}, list[Any]()

    def stop(entry: dict[str, float]) -> None:
        seen.append(entry)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(FitInterrupted):
        MFBPR(**options).plug(Learner()).fit(books, FitOptions(checkpoint=tmp_path, on_epoch=stop))
    resumed = MFBPR(**options).plug(Learner()).fit(books, FitOptions(checkpoint=tmp_path, resume=True))
    whole = MFBPR(**options).plug(Learner()).fit(books)
    np.testing.assert_array_equal(resumed.item_vectors(), whole.item_vectors())
    assert resumed.plugins[0].grown == whole.plugins[0].grown == 10
