"""The encoder that finds what does not belong to a window."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import Ragged
from honeyguide.data.corruptions import corrupt_one
from honeyguide.metrics.predictive import auc
from honeyguide.nn.evidence import Evidence
from honeyguide.nn.odd_item import (
    OddBatches,
    OddItemNetwork,
    cosines,
    odd_item_loss,
    odd_probabilities,
    others_mean,
    padded,
    suggested,
)
from honeyguide.nn.trainer import Trainer, TrainerSettings

M, KINDS = 60, 4  # items of four kinds, whose vectors are alike


def world(n: int = 300) -> tuple[torch.Tensor, Ragged]:
    rng = np.random.default_rng(0)
    vectors = np.eye(KINDS)[np.arange(M) % KINDS] + rng.normal(0, 0.2, (M, KINDS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    windows = [
        rng.choice(M // KINDS, rng.integers(3, 7), replace=False) * KINDS + rng.integers(KINDS) for _ in range(n)
    ]
    return torch.from_numpy(vectors.astype(np.float32)), Ragged.from_lists(windows)


def network(vectors: torch.Tensor, evidence: int = 0) -> OddItemNetwork:
    torch.manual_seed(0)
    return OddItemNetwork(vectors, 8, evidence, 16, 1, 2, 0.0)


def test_cosines_and_means_are_with_the_others_alone() -> None:
    vectors = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, 0.0]], [[1.0, 0.0]] + [[0.0, 0.0]] * 3])
    seen = torch.tensor([[True, True, True, False], [True, False, False, False]])
    found = cosines(vectors, seen)
    torch.testing.assert_close(found[0, :3], torch.tensor([[0.3, 0.6], [0.4, 0.8], [0.7, 0.8]]))
    torch.testing.assert_close(found[1, 0], torch.ones(2), msg="nothing is odd where there is no other")
    torch.testing.assert_close(others_mean(vectors, seen)[0, 0], torch.tensor([0.3, 0.9]))


def test_padding_and_company_change_nothing() -> None:
    vectors, windows = world(40)
    evidence = Evidence.nothing(M)
    net = network(vectors).eval()
    together = odd_probabilities(net, windows, evidence)
    alone = np.concatenate([odd_probabilities(net, windows.take(np.array([i])), evidence) for i in range(40)])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_before_it_has_learnt_it_suggests_by_cosine_and_never_what_is_there() -> None:
    vectors, windows = world(20)
    places = windows.offsets[:-1]
    found = suggested(network(vectors).eval(), windows, Evidence.nothing(M), places, 3)
    for row, history in zip(found, windows, strict=True):
        scores = vectors @ vectors[torch.from_numpy(history[1:].astype(np.int64))].mean(0)
        scores[history] = -torch.inf
        assert row.tolist() == scores.topk(3).indices.tolist()
        assert not set(row.tolist()) & set(history.tolist())


@pytest.mark.parametrize("collaborative", [False, True])
def test_it_learns_to_find_and_replace_what_does_not_belong(collaborative: bool) -> None:
    vectors, windows = world()
    matrix = windows.to_csr(M)
    evidence = Evidence.of(matrix) if collaborative else Evidence.nothing(M)
    net = network(vectors, evidence.n_features)
    batches = OddBatches(windows, M, evidence, 32, 16, 0)
    loss = lambda batch: odd_item_loss(net, batch)  # noqa: E731
    Trainer(net, loss, batches, TrainerSettings(epochs=12, lr=5e-3), FitOptions(device="cpu")).run()
    fresh = corrupt_one(windows, M, np.random.default_rng(9))
    found = auc(fresh.mask, odd_probabilities(net, fresh.histories, evidence))
    assert found > 0.8, "a quarter of the items put in are of the kind of the others: .875 can be reached"
    kinds = suggested(net, fresh.histories, evidence, fresh.places, 1)[:, 0] % KINDS
    assert (kinds == fresh.originals % KINDS).mean() > 0.8


def test_epochs_are_corrupted_anew_and_depend_on_nothing_but_their_number() -> None:
    _, windows = world(50)
    batches = OddBatches(windows, M, Evidence.nothing(M), 16, 4, 7)
    first, again, second = batches.epoch(0), batches.epoch(0), batches.epoch(1)
    assert len(first) == 4 and sum(batch.n_targets for batch in first) == 50
    assert all(
        torch.equal(a.items, b.items) and torch.equal(a.answers, b.answers) for a, b in zip(first, again, strict=True)
    )
    assert not torch.equal(first[0].answers, second[0].answers)
    batch = first[0]
    odd = batch.items[torch.arange(16), batch.places]
    assert (odd != batch.answers[:16]).all(), "the answer is what stood there, not what stands there"


def test_parts_of_a_batch_have_the_answers_of_their_rows_first() -> None:
    _, windows = world(50)
    batch = OddBatches(windows, M, Evidence.nothing(M), 16, 4, 7).epoch(0)[0]
    part = batch.part(1, 3)
    assert part.answers[: part.n_targets].tolist() == batch.answers[:16][1::3].tolist()
    assert sorted(part.answers.tolist()) == sorted(batch.answers.tolist())


def test_windows_are_padded_on_the_right() -> None:
    items, seen, known = padded(Ragged.from_lists([[3, 4], [5]]), Evidence.nothing(9))
    assert items.tolist() == [[3, 4], [5, 0]] and seen.tolist() == [[True, True], [True, False]]
    assert known.shape == (2, 2, 0)
