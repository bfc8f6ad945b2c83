from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.data.build import build
from honeyguide.models.sequence.sasrec import SASRec
from honeyguide.models.sequence.tim4rec import TiM4Rec, TiM4RecConfig, TiM4RecNetwork
from honeyguide.nn.tissd import SSDShape, TiSSD

SMALL = {"dim": 16, "max_len": 20, "batch_tokens": 256, "epochs": 12, "lr": 1e-2, "state": 8}
PACED = {**SMALL, "epochs": 36, "patience": 36, "warmup": 20, "average": 0.99, "dropout": 0.1, "event_dropout": 0.0}
SECOND = 1_000_000
YEAR = 365 * 86_400 * SECOND


def forks(seed: int) -> Dataset:
    """300 users on a ring of 30 items, who take one step after a short pause and eleven after a long one.

    The pause that tells the next step lies before the event, so that order alone leaves it open.
    """
    rng = np.random.default_rng(seed)
    long = rng.random((300, 10)) < 0.5
    gaps = np.where(long, 86_400, 10) * (0.5 + rng.random((300, 10)))
    steps = np.where(long, 11, 1)
    steps = np.concatenate([np.zeros((300, 1), int), steps[:, :-1]], 1)  # the pause before t rules the step after t
    items = (rng.integers(0, 30, 300)[:, None] + steps.cumsum(1)) % 30
    times = pl.from_epoch((1_500_000_000 + gaps.cumsum(1)).astype(int).ravel(), "s").dt.cast_time_unit("us")
    split = np.where(np.arange(10) == 9, "test", np.where(np.arange(10) == 8, "valid", "train"))
    columns = {"user_id": np.repeat(np.arange(300), 10), "item_id": items.ravel(), "timestamp": times}
    return build("forks", pl.DataFrame({**columns, "split": np.tile(split, 300)}))


@pytest.fixture(scope="module")
def timed() -> Dataset:
    return forks(0)


@pytest.fixture(scope="module")
def model(timed: Dataset) -> TiM4Rec:
    return TiM4Rec(**PACED, time_dropout=0.0).fit(timed)


@pytest.fixture(scope="module")
def released(timed: Dataset) -> TiM4Rec:
    return TiM4Rec(**{**SMALL, "epochs": 2}, faithful=True).fit(timed)


def shifted(histories: Ragged, by: int) -> Ragged:
    assert histories.times is not None
    return replace(histories, times=histories.times + by)


def test_ndcg_without_times(data: Dataset, ndcg: Callable[[Recommender, Dataset], float]) -> None:
    plain = TiM4Rec(**SMALL).fit(data)
    assert plain.resolved.time == "none"
    assert ndcg(plain, data) > 0.95


def test_gaps_tell_what_order_leaves_open(
    model: TiM4Rec, timed: Dataset, ndcg: Callable[[Recommender, Dataset], float]
) -> None:
    blind = TiM4Rec(**{**PACED, "epochs": 12}, time="none").fit(timed)
    assert ndcg(model, timed) > 0.93
    assert ndcg(blind, timed) < 0.85


def test_only_gaps_count_not_the_date(model: TiM4Rec, timed: Dataset) -> None:
    histories = timed.histories("train", "valid")
    before = model.score_histories(histories)
    assert np.array_equal(before, model.score_histories(shifted(histories, 20 * YEAR)))
    assert histories.times is not None
    slower = replace(histories, times=histories.times + 3_600 * SECOND * np.arange(len(histories.times)))
    assert np.abs(model.score_histories(slower) - before).max() > 0.1


def strong(faithful: bool) -> TiM4RecNetwork:
    """A network in which time has a say from the start."""
    torch.manual_seed(0)
    options = TiM4RecConfig(dim=16, state=8, max_len=12, faithful=faithful).resolve(np.full(100, 9))
    network = TiM4RecNetwork(30, options).eval()
    for parameter in (*network.stream.parameters(), *(layer.block.project.weight for layer in network.layers)):
        torch.nn.init.normal_(parameter, std=0.5)
    return network


def test_padding_changes_nothing_but_in_the_released_form(timed: Dataset) -> None:
    one = timed.histories("train").take(np.array([0]))
    items, times = torch.from_numpy(one.values.astype(np.int64))[None], torch.from_numpy(one.times)[None]
    longer = [torch.nn.functional.pad(x, (0, 4)) for x in (items, times)]
    for faithful in (False, True):
        network = strong(faithful)
        short, padded = network.hidden(items, times), network.hidden(*longer)[:, : items.shape[1]]
        assert torch.allclose(short, padded, atol=1e-5) != faithful


def test_the_released_form_learns(released: TiM4Rec, timed: Dataset) -> None:
    losses = [entry["loss"] for entry in released.report.curve]
    assert losses[-1] < losses[0]
    histories = timed.histories("train")
    alone = released.score_histories(histories.take(np.array([7])))  # padded to its full length, whoever is beside it
    np.testing.assert_allclose(alone[0], released.score_histories(histories)[7], atol=1e-5)


def test_no_position_reads_what_comes_after_it(model: TiM4Rec) -> None:
    times = SECOND * torch.tensor([[0, 10, 90_000, 90_010]])
    moved = SECOND * torch.tensor([[0, 10, 90_000, 900_010]])
    before, after = (model.network.hidden(torch.tensor([row]), times) for row in ([1, 2, 3, 4], [1, 2, 9, 9]))
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2:], after[:, 2:])
    later = model.network.hidden(torch.tensor([[1, 2, 3, 4]]), moved)
    torch.testing.assert_close(before[:, :3], later[:, :3])
    assert not torch.allclose(before[:, 3], later[:, 3])


@pytest.mark.parametrize("with_times", [True, False])
def test_one_event_at_a_time_equals_the_whole_history(model: TiM4Rec, timed: Dataset, with_times: bool) -> None:
    rng = np.random.default_rng(0)
    items = rng.integers(0, 30, (3, 120)).astype(np.int32)
    times = SECOND * rng.integers(0, 90_000, (3, 120)).cumsum(1)
    memory, sizes = None, []
    for t in range(120):
        states, memory = model.step(items[:, t], times[:, t] if with_times else None, memory)
        sizes.append(sum(part.numel() for block in memory.blocks for part in block))
    assert len(set(sizes)) == 1  # it does not grow
    model.network.eval()
    with torch.inference_mode():
        when = torch.from_numpy(times) if with_times else None
        whole = model.network.hidden(torch.from_numpy(items.astype(np.int64)), when)[:, -1].numpy()
    np.testing.assert_allclose(states, whole, atol=1e-4)


def test_the_released_form_takes_no_single_events(released: TiM4Rec) -> None:
    with pytest.raises(DataError, match="faithful = false"):
        released.step(np.zeros(1, np.int32))


def test_histories_without_times_are_read_as_evenly_paced(model: TiM4Rec, timed: Dataset) -> None:
    histories = replace(timed.histories("train"), times=None)
    scores = model.score_histories(histories)
    assert np.isfinite(scores).all()
    assert np.abs(scores - model.score_histories(timed.histories("train"))).max() > 0.1


def test_times_are_demanded_where_they_are_asked_for(data: Dataset) -> None:
    with pytest.raises(DataError, match="not every event has one"):
        TiM4Rec(**SMALL, time="gaps").fit(data)
    with pytest.raises(ConfigError, match="faithful"):
        TiM4Rec(time="none", faithful=True)
    with pytest.raises(ConfigError, match="head"):
        TiM4Rec(dim=10, head=8)
    resolved = TiM4RecConfig(dim=10).resolve(np.full(100, 90))
    assert (resolved.head, resolved.blocks, resolved.state) == (5, 2, 32)
    assert TiM4RecConfig().resolve(np.full(100, 90)).head == 32


def test_gaps_of_the_training_part_are_what_gaps_are_measured_by(model: TiM4Rec, timed: Dataset) -> None:
    rows = timed.histories("train")
    gaps = np.concatenate([np.diff(rows.times[a:b]) for a, b in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)])
    logs = np.log1p(gaps / SECOND)
    assert model.resolved.gap_mean == pytest.approx(logs.mean(), rel=1e-5)
    assert model.resolved.gap_std == pytest.approx(logs.std(), rel=1e-5)


def test_models_that_read_no_times_are_the_same_with_them(timed: Dataset) -> None:
    untimed = replace(timed, interactions=timed.interactions.drop("timestamp"))
    options = {"dim": 16, "max_len": 20, "epochs": 2, "batch_tokens": 256}
    one, other = SASRec(**options).fit(timed), SASRec(**options).fit(untimed)
    histories = timed.histories("train")
    assert histories.times is not None
    assert np.array_equal(one.score_histories(histories), other.score_histories(replace(histories, times=None)))


def test_the_block_equals_its_equations() -> None:
    torch.manual_seed(0)
    block = TiSSD(SSDShape(dim=4, head=4, state=3))
    x, factor = torch.randn(1, 6, 4), torch.rand(1, 6, 2)
    found = block(x, factor)[0].detach().numpy()[0]
    w = {name: value.double().numpy() for name, value in block.state_dict().items()}
    z, read, dt = np.split(x.double().numpy()[0] @ w["project.weight"].T, [8, 22], 1)
    padded = np.concatenate([np.zeros((3, 14)), read])
    read = np.stack([(padded[t : t + 4] * w["conv.weight"]).sum(0) for t in range(6)]) + w["conv.bias"]
    read = read * np.clip(read + 3, 0, 6) / 6
    values, b, c = read[:, :8].reshape(6, 2, 4), read[:, 8:11], read[:, 11:]
    delta = np.log1p(np.exp(dt * factor.double().numpy()[0] + w["step_bias"]))  # [t, h]
    a, state = np.exp(-np.exp(w["decay_log"]) * delta), np.zeros((2, 4, 3))
    for t in range(6):
        state = a[t][:, None, None] * state + delta[t][:, None, None] * values[t][..., None] * b[t]
        y = (state @ c[t] + w["skip"][:, None] * values[t]).ravel() * z[t] / (1 + np.exp(-z[t]))
        y = y / np.sqrt((y**2).mean() + 1e-6) * w["norm.gain"]
        np.testing.assert_allclose(found[t], w["out.weight"] @ y, atol=1e-5)


def test_decays_steps_and_skips_are_spared_weight_decay(timed: Dataset) -> None:
    still = {**SMALL, "epochs": 1, "lr": 1e-9, "average": 0.0, "warmup": 0}
    one = TiM4Rec(**still).fit(timed).network.state_dict()
    other = TiM4Rec(**still, weight_decay=1e8).fit(timed).network.state_dict()
    for name, value in one.items():
        spared = name.rpartition(".")[2] in ("step_bias", "decay_log", "skip")
        if spared:
            torch.testing.assert_close(value, other[name], atol=1e-6, rtol=0)
    assert other["layers.0.block.project.weight"].norm() < 0.9 * one["layers.0.block.project.weight"].norm()


def test_saved_and_loaded_with_times(model: TiM4Rec, timed: Dataset, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = TiM4Rec.load(tmp_path / "model")
    histories = timed.histories("train")
    assert np.array_equal(again.score_histories(histories), model.score_histories(histories))
