"""Updates of models learnt from pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import honeyguide as hg
from honeyguide.core.errors import CapabilityError
from honeyguide.core.fitting import Change
from honeyguide.core.ragged import Ragged
from honeyguide.data.build import build
from honeyguide.models.factor.fold_in import FoldIn, log_shares
from honeyguide.models.factor.mf import MF
from honeyguide.models.factor.mf_bpr import MFBPR
from honeyguide.models.factor.pair_training import PairModel
from honeyguide.models.factor.pair_update import counted_on, grown_fold_in, trained_like
from honeyguide.models.graph.simplex import SimpleX

MODELS = {
    "simplex": SimpleX(dim=8, epochs=4, negatives=10, batch=64),
    "mf": MF(dim=8, epochs=4, batch=64, biases=True),
    "mf-bpr": MFBPR(dim=8, epochs=4, batch=64),
}


def lists() -> list[list[int]]:
    """Forty users of two tastes: items 0 to 9 and 10 to 19."""
    rng = np.random.default_rng(0)
    return [sorted(10 * (user % 2) + rng.choice(10, 6, replace=False)) for user in range(40)]


def fitted(name: str) -> PairModel:
    rows = [(user, item) for user, row in enumerate(lists()) for item in row]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").with_columns(split=pl.lit("train"))
    model = MODELS[name]
    return type(model)(model.config).fit(build("tastes", frame))


def change_of(model: PairModel) -> tuple[Ragged, Ragged, hg.Ids]:
    """The first six users of one taste take a new item."""
    assert model.item_ids is not None
    codes = model.item_ids.encode(pl.Series(range(20)))
    before = [codes[row] for row in lists()[:12:2]]
    after = [np.append(row, 20) for row in before]
    return Ragged.from_lists(before), Ragged.from_lists(after), model.item_ids.append(pl.Series([99]))


@pytest.mark.parametrize("name", MODELS)
def test_counts_go_on_and_old_vectors_move_little(name: str) -> None:
    model = fitted(name)
    assert isinstance(model.served, FoldIn) and model.counts is not None
    old, counts = model.served, model.counts
    before, after, items = change_of(model)
    model.update(before, after, items)
    assert isinstance(model.served, FoldIn)
    np.testing.assert_array_equal(model.counts, np.append(counts, 6))
    np.testing.assert_allclose(model.served.empty, log_shares(np.append(counts, 6)), rtol=1e-6)
    moved = np.abs(model.served.inward[:20] - old.inward).max()
    assert 0 < moved < 0.5 * np.abs(old.inward).max()
    np.testing.assert_array_equal(model.served.turn.shape, old.turn.shape)


def test_a_new_item_begins_beside_its_neighbours() -> None:
    model = fitted("simplex")
    before, after, items = change_of(model)
    served = model.served
    assert isinstance(served, FoldIn)
    grown = grown_fold_in(
        served, Change(before, after, items), counted_on(model.counts, Change(before, after, items), "")
    )
    beside = np.array([row[-1] for row in before])
    np.testing.assert_allclose(grown.inward[20], served.inward[beside].mean(axis=0), rtol=1e-5, atol=1e-6)


def test_users_of_an_update_stand_where_the_fit_would_have_put_them() -> None:
    """The map from histories to trained vectors is what an update begins from, whatever serves."""
    model = fitted("mf-bpr")
    assert isinstance(model.served, FoldIn) and isinstance(model, MFBPR) and model.network is not None
    codes = model.item_ids.encode(pl.Series(range(20)))  # type: ignore[union-attr]
    found = trained_like(model.served, Ragged.from_lists([codes[row] for row in lists()]))
    trained = model.network.users.detach().numpy()
    assert np.corrcoef(found.ravel(), trained.ravel())[0, 1] > 0.5


def test_biases_of_known_items_stay() -> None:
    model = fitted("mf")
    old = model.served.outward[:, -1].copy()
    model.update(*change_of(model))
    np.testing.assert_array_equal(model.served.outward[:20, -1], old)


def test_a_model_of_an_older_version_says_that_it_must_be_fitted(tmp_path: Path) -> None:
    model = fitted("simplex")
    model.counts = None  # as one that is read from an artifact without counts
    model.save(tmp_path)
    loaded = SimpleX.load(tmp_path)
    with pytest.raises(CapabilityError, match="version without updates"):
        loaded.update(*change_of(model))
