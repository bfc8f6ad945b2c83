"""Matrices and frames."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from honeyguide.core.errors import DataError
from honeyguide.data.importers import from_csr, from_frame


def test_a_matrix_keeps_its_shape_and_values():
    matrix = sp.random(30, 20, 0.1, "csr", np.float32, rng=np.random.default_rng(0))
    data = from_csr(matrix)
    assert (data.n_users, data.n_items) == (30, 20)
    assert (data.matrix(weighted=True) != matrix).nnz == 0
    assert not data.ordered


def test_a_binary_matrix_has_no_weights_and_zeros_are_no_events():
    matrix = sp.csr_matrix(([1, 0, 1], ([0, 0, 1], [0, 1, 1])), shape=(2, 2))
    data = from_csr(matrix, user_ids=["u", "v"], item_ids=["b", "a"])
    assert "weight" not in data.interactions.columns
    assert data.item_ids.values.to_list() == ["a", "b"]
    assert data.item_ids.decode(data.histories()[0]).to_list() == ["b"]


def test_times_of_a_matrix():
    matrix = sp.csr_matrix(np.array([[1, 1]]))
    data = from_csr(matrix, timestamps=sp.csr_matrix(np.array([[1_700_000_009, 1_700_000_001]])))
    assert data.histories()[0].tolist() == [1, 0]
    with pytest.raises(DataError, match="other entries"):
        from_csr(matrix, timestamps=sp.csr_matrix(np.array([[5, 0]])))
    with pytest.raises(DataError, match="1 user ids for a matrix with 2"):
        from_csr(sp.csr_matrix(np.eye(2)), user_ids=["a"])


def test_frames_and_what_looks_like_one():
    table = {"user": ["a", "b"], "item": [1, 2]}
    frame = pl.DataFrame(table)
    assert from_frame(frame).equals(from_frame(frame.lazy()))
    assert from_frame(table).equals(from_frame(frame))
    with pytest.raises(DataError, match="is no frame of interactions"):
        from_frame(object())


def test_pandas_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"user": ["a", None, "b"], "item": [1, 2, 3], "time": pd.to_datetime(["2024-01-01"] * 3)})
    data = from_frame(frame)
    assert data.user_ids.values.to_list() == ["a", "b"]
    assert data.times() is not None
