from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from honeyguide.nn.pairs import PairSampler
from honeyguide.nn.split_histories import SplitHistories


def positives(n: int = 40, m: int = 30, share: float = 0.3) -> sp.csr_matrix:
    return sp.csr_matrix((np.random.default_rng(0).random((n, m)) < share).astype(np.float32))


@pytest.mark.parametrize("shared", [None, 8])
def test_every_pair_comes_once_an_epoch(shared: int | None) -> None:
    matrix = positives()
    batches = [
        PairSampler(matrix, 64, shared).epoch(3)[i] for i in range(len(PairSampler(matrix, 64, shared).epoch(3)))
    ]
    pairs = sorted((u, i) for batch in batches for u, i in zip(batch.users.tolist(), batch.items.tolist(), strict=True))
    assert pairs == sorted(zip(*(part.tolist() for part in matrix.nonzero()), strict=True))
    assert [len(batch.users) for batch in batches[:-1]] == [64] * (len(batches) - 1)


@pytest.mark.parametrize("shared", [None, 8])
def test_a_batch_depends_on_its_number_alone(shared: int | None) -> None:
    first, again = (PairSampler(positives(), 64, shared, seed=5).epoch(2) for _ in range(2))
    for _ in first:  # whatever was drawn before
        pass
    assert all(torch.equal(getattr(first[1], n), getattr(again[1], n)) for n in ("users", "items", "negatives"))
    other = PairSampler(positives(), 64, shared, seed=5).epoch(3)[1]
    assert not torch.equal(first[1].users, other.users)
    assert not torch.equal(first[1].negatives, other.negatives)


def test_own_negatives_are_never_positives() -> None:
    matrix = positives(share=0.5)
    for batch in PairSampler(matrix, 64, None).epoch(0):
        assert not matrix.toarray()[batch.users, batch.negatives].any()


def test_who_took_everything_is_compared_with_the_item_itself() -> None:
    batch = PairSampler(sp.csr_matrix(np.ones((2, 3), np.float32)), 10, None).epoch(0)[0]
    assert torch.equal(batch.negatives, batch.items)


def test_shared_negatives_differ_and_collisions_are_what_the_user_took() -> None:
    matrix = positives()
    for batch in PairSampler(matrix, 64, 12).epoch(0):
        assert len(batch.negatives.unique()) == 12
        taken = matrix[batch.users.numpy()][:, batch.negatives.numpy()].toarray() > 0  # [b, k]
        marked = np.zeros_like(taken)
        marked[batch.collisions[0], batch.collisions[1]] = True
        np.testing.assert_array_equal(marked, taken)


def test_no_more_negatives_than_items() -> None:
    assert len(PairSampler(positives(), 64, 1000).epoch(0)[0].negatives) == 30
    lonely = sp.csr_matrix(np.eye(4, 9, dtype=np.float32))
    assert len(PairSampler(lonely, 64, 9, popularity=1.0).epoch(0)[0].negatives) == 4  # nobody took the others


@pytest.mark.parametrize("shared", [None, 4])
def test_negatives_by_popularity(shared: int | None) -> None:
    matrix = sp.csr_matrix(np.repeat([[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1]], [90, 5, 5], axis=0) * 1.0)
    sampler = PairSampler(matrix, 8, shared, popularity=1.0)
    rng = np.random.default_rng(0)
    drawn = np.concatenate(
        [sampler.draw_shared(rng)[:1] if shared else sampler._some(rng, 1, True) for _ in range(500)]
    )
    assert np.mean(drawn == 0) > 0.7


# -- cut histories ------------------------------------------------------------------------------


def test_cut_histories_hold_every_item_once_and_both_parts_of_everybody() -> None:
    matrix = positives()
    sampler = PairSampler(matrix, 1, 6, seed=1)
    split = SplitHistories(sampler, 80)
    epoch = split.epoch(0)
    assert sorted(np.concatenate(epoch.parts)) == np.flatnonzero(np.diff(matrix.indptr) >= 2).tolist()
    assert len(epoch) > 2
    for users, batch in zip(epoch.parts, epoch, strict=True):
        read = np.split(batch.read.numpy(), batch.offsets.numpy()[1:])
        for row, user in enumerate(users):
            found = batch.targets.numpy()[batch.rows.numpy() == row]
            assert len(read[row]) and len(found)
            assert sorted([*read[row], *found]) == sorted(matrix[user].indices)
        taken = matrix[users][:, batch.negatives.numpy()].toarray() > 0
        assert taken.sum() == batch.collisions.shape[1] and taken[batch.collisions[0], batch.collisions[1]].all()


def test_cuts_are_drawn_anew_and_depend_on_the_epoch_alone() -> None:
    split = SplitHistories(PairSampler(positives(), 1, 6, seed=1), 80)
    assert torch.equal(split.epoch(4)[1].read, split.epoch(4)[1].read)
    assert not torch.equal(split.epoch(4)[1].read, split.epoch(5)[1].read)


def test_users_with_one_item_teach_nothing() -> None:
    assert len(SplitHistories(PairSampler(sp.csr_matrix(np.eye(4, dtype=np.float32)), 1, 2), 80).epoch(0)) == 0
