from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.plugin import Hooks
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.models.sequence.bert4rec import BERT4Rec, BERT4RecConfig, draw_gaps
from honeyguide.nn.batches import IGNORED, Batch
from honeyguide.nn.forward import batch_loss

SMALL = {"dim": 16, "blocks": 1, "max_len": 20, "batch_tokens": 256, "epochs": 40, "lr": 1e-2}


@pytest.fixture(scope="module")
def model(data: Dataset) -> BERT4Rec:
    return BERT4Rec(**SMALL).fit(data)


def test_ndcg(model: BERT4Rec, data: Dataset, ndcg: Callable[[Recommender, Dataset], float]) -> None:
    assert ndcg(model, data) > 0.9


def test_gaps_are_real_events_as_many_as_asked_and_one_at_least_in_every_row() -> None:
    torch.manual_seed(0)
    real = torch.arange(40) < torch.randint(1, 41, (2000, 1))
    gaps = draw_gaps(real, 0.3, 0.0)
    assert not gaps[~real].any()
    assert gaps.any(1).all()
    assert gaps[real].float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert draw_gaps(real, 1e-9, 0.0).sum(1).eq(1).all()


def test_in_some_rows_the_last_event_alone_is_a_gap() -> None:
    torch.manual_seed(0)
    real = torch.arange(10) < torch.randint(2, 11, (4000, 1))
    gaps = draw_gaps(real, 0.9, 0.25)
    ends = torch.arange(10) == real.sum(1, keepdim=True) - 1
    assert (gaps == ends).all(1).float().mean().item() == pytest.approx(0.25, abs=0.06)
    assert (draw_gaps(real, 0.9, 1.0) == ends).all()


def test_what_is_masked_is_not_seen_and_everything_else_is(model: BERT4Rec) -> None:
    gaps, real = torch.tensor([[False, True, False, False]]), torch.tensor([[True, True, True, False]])
    states = [model.network.fill(torch.tensor([row]), gaps, real) for row in ([1, 2, 3, 0], [1, 9, 3, 7], [1, 2, 5, 0])]
    torch.testing.assert_close(states[0][:, :3], states[1][:, :3])  # neither the masked event nor the padding
    assert not torch.allclose(states[0][:, 1], states[2][:, 1])  # the event after the gap


def test_a_gap_is_appended_to_the_history(model: BERT4Rec) -> None:
    items = torch.tensor([[4, 5, 6, 0, 0], [1, 2, 3, 4, 5]])
    states = model.network.user_state(items, torch.tensor([3, 5]))
    gaps = torch.tensor([[False, False, False, True]])
    alone = model.network.fill(torch.tensor([[4, 5, 6, 0]]), gaps, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(states[:1], alone[:, 3])


def test_the_loss_covers_the_first_event_and_the_last_target(model: BERT4Rec) -> None:
    batch = Batch(torch.tensor([[1, 2], [5, 0]]), torch.tensor([[2, 3], [6, IGNORED]]), torch.tensor([0, 1]))
    fitted = model.resolved
    model.resolved = fitted.model_copy(update={"mask": 1.0, "last": 0.0})
    found = batch_loss(model._forward(), Hooks())(batch)
    model.resolved = fitted
    events, real = torch.tensor([[1, 2, 3], [5, 6, 0]]), torch.tensor([[True] * 3, [True, True, False]])
    logits = model.network.score(model.network.fill(events, real, real)[real])
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 2, 3, 5, 6]))
    torch.testing.assert_close(found, expected)


def test_the_longest_history_leaves_room_for_the_gap(model: BERT4Rec) -> None:
    scores = model.score_histories(Ragged.from_lists([np.arange(50, dtype=np.int32) % 30]))
    assert np.isfinite(scores).all()


def test_options() -> None:
    assert BERT4RecConfig().resolve(np.full(100, 6)).mask == 0.6
    assert BERT4RecConfig().resolve(np.full(100, 90)).mask == 0.2
    with pytest.raises(ConfigError, match="mask"):
        BERT4Rec(mask=0.0)
    with pytest.raises(ConfigError, match="heads"):
        BERT4Rec(dim=10, heads=4)
