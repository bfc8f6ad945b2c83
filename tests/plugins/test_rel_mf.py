from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.data.build import build
from honeyguide.experiment.claims.rel_mf_simulated import estimates
from honeyguide.models.factor.mf import MF, MFConfig, PointwiseNetwork
from honeyguide.models.factor.mf_bpr import MFBPR
from honeyguide.models.factor.pair_training import pair_forward
from honeyguide.models.registry import model_class
from honeyguide.nn.forward import Forward, Weights
from honeyguide.nn.pairs import PairBatch, PairSampler
from honeyguide.plugins import propensities
from honeyguide.plugins.rel_mf import RelMF

TINY = {"dim": 8, "epochs": 2}


def clicks(**columns: list[float]) -> Dataset:
    """Item a has four clicks, b one; c was clicked in valid alone."""
    rows = [(0, "a"), (1, "a"), (2, "a"), (3, "a"), (0, "b"), (1, "c")]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").with_columns(
        split=pl.Series(["train"] * 5 + ["valid"]), **{name: pl.Series(v) for name, v in columns.items()}
    )
    return build("clicks", frame)


def plain(users: list[int], items: list[int], labels: list[float] | None = None, **more: torch.Tensor) -> Forward:
    u, i = torch.tensor(users), torch.tensor(items)
    y = None if labels is None else torch.tensor(labels)
    return Forward(u, i, (), (), lambda vectors, weights: (torch.zeros(()), torch.zeros(len(u))), labels=y, **more)


def weights(plugin: RelMF, forward: Forward) -> list[float]:
    found = plugin.weights(forward)
    assert found.relevance is not None and found.loss is None
    return found.relevance.tolist()


def test_propensities_by_hand() -> None:
    data = clicks()
    np.testing.assert_allclose(propensities.popularity(data).values, [1.0, 0.5, 0.0])
    np.testing.assert_allclose(propensities.popularity(data, 1.0).values, [1.0, 0.25, 0.0])
    plugin = RelMF(clip=0.1)
    plugin.transform(data)
    # Labelled: 1 / theta where clicked, 1 elsewhere; what was never clicked stands at M.
    assert weights(plugin, plain([0, 0, 3, 2], [0, 1, 1, 2], [1.0, 1.0, 0.0, 1.0])) == pytest.approx([1, 2, 1, 10])
    assert weights(plugin, plain([0, 0], [0, 1])) == pytest.approx([1, 2])


def test_trap_propensities_come_from_train_alone() -> None:
    data = clicks()
    none = replace(data, interactions=data.interactions.filter(pl.col("split") == "train"))
    np.testing.assert_array_equal(propensities.popularity(data).values, propensities.popularity(none).values)
    one, two = (propensities.exposure(d, dim=2) for d in (data, none))
    np.testing.assert_array_equal(one.users, two.users)


def test_trap_the_weight_of_irrelevance_of_a_click_is_negative() -> None:
    torch.manual_seed(0)
    network = PointwiseNetwork(1, 1, MFConfig(dim=2))
    empty = torch.empty(0, dtype=torch.int64)
    one = torch.zeros(1, dtype=torch.int64)
    batch = PairBatch(one, one, empty, torch.empty(2, 0, dtype=torch.int64), labels=torch.ones(1))
    found = pair_forward(network, MFConfig(dim=2, regularization=0.0))(batch)
    value, _ = found.value(found.vectors, Weights(relevance=torch.tensor([4.0])))
    p = (network.users @ network.items.T).sigmoid().item()
    assert value.item() == pytest.approx(4 * (1 - p) ** 2 - 3 * p**2, rel=1e-5)
    assert value.item() != pytest.approx(4 * (1 - p) ** 2, rel=1e-2)  # plain IPS of the clicks is something else


def test_at_m_1_it_is_what_is_inside(books: Dataset) -> None:
    histories = books.histories("train")
    inner = MF(**TINY).fit(books)
    for clip, same in ((1.0, True), (0.1, False)):
        whole = MF(**TINY).plug(RelMF(clip=clip, judge=False)).fit(books)
        assert np.array_equal(whole.score_histories(histories), inner.score_histories(histories)) == same


def test_the_loss_is_unbiased_and_clipping_trades_bias_for_variance() -> None:
    found = {clip: estimates(clip, 60) for clip in (0.0, 0.2, 0.4)}
    bias = {clip: values.mean() - ideal for clip, (values, ideal) in found.items()}
    error = {clip: values.std(ddof=1) / np.sqrt(len(values)) for clip, (values, _) in found.items()}
    assert abs(bias[0.0]) < 2 * error[0.0]
    assert abs(bias[0.2]) > 5 * error[0.2] and abs(bias[0.4]) > abs(bias[0.2])
    assert error[0.0] > error[0.2] > error[0.4]


def test_unbiased_bpr_weighs_both_items_of_a_pair() -> None:
    plugin = RelMF()
    plugin.transform(clicks())
    others, taken = torch.tensor([1, 1]), torch.tensor([1.0, 0.0])
    forward = plain([0, 3], [0, 0], others=others, taken=taken)
    assert weights(plugin, forward) == pytest.approx([1 * (1 - 1 / 0.5), 1.0])  # y_i/theta_i (1 - y_j/theta_j)


def test_negatives_of_an_unbiased_bpr_may_be_items_that_were_taken(books: Dataset) -> None:
    matrix = books.matrix("train")
    (batch, *_) = PairSampler(matrix, 4096, None, taken=True).epoch(0)
    assert batch.taken is not None and 0 < batch.taken.mean() < 1
    expected = matrix.toarray()[batch.users.numpy(), batch.negatives.numpy()]
    np.testing.assert_array_equal(batch.taken.numpy(), expected)
    model = MFBPR(**TINY, any_negative=True).plug(RelMF(clip=0.3)).fit(books)
    assert np.isfinite(model.score_histories(books.histories("train"))).all()


def test_logged_propensities_are_read_from_events_or_from_their_table() -> None:
    data = clicks(propensity=[0.5, 0.5, 0.25, 0.5, 0.1, 0.2])
    found = propensities.logged(data)
    assert found.of(np.array([2, 0, 3]), np.array([0, 1, 1])).tolist() == pytest.approx([0.25, 0.1, 1.0])
    table = pl.DataFrame({"user_id": [0, 3], "item_id": ["b", "a"], "propensity": [0.2, 0.4]})
    again = propensities.logged(replace(clicks(), extras={"propensities": table}))
    assert again.of(np.array([0, 3]), np.array([1, 0])).tolist() == pytest.approx([0.2, 0.4])
    with pytest.raises(DataError, match=r"no logged propensities.*'chance'"):
        propensities.logged(data, "chance")
    with pytest.raises(DataError, match=r"1 propensities are missing or not in \(0, 1\]"):
        propensities.logged(clicks(propensity=[0.5, 0.0, 0.25, 0.5, 0.1, 0.2]))


def test_exposure_finds_who_is_shown_what() -> None:
    rng = np.random.default_rng(0)
    users, items = np.nonzero(
        rng.random((120, 40)) < np.where(np.arange(120)[:, None] % 2 == np.arange(40) % 2, 0.5, 0.05)
    )
    frame = pl.DataFrame({"user_id": users, "item_id": items, "label": rng.integers(1, 6, len(users))})
    data = build("shown", frame.with_columns(split=pl.lit("train")))
    found = propensities.exposure(data, dim=4)
    u, i = np.indices((120, 40))
    theta = found.of(u.ravel(), i.ravel()).reshape(120, 40)
    same = u % 2 == i % 2
    assert theta.mean() == pytest.approx(len(users) / 4800, rel=0.3)  # the share that was shown, not one half
    assert theta[same].mean() > 3 * theta[~same].mean()
    np.testing.assert_allclose(propensities.exposure(data, 2.0, 4).of(u[0], i[0]), theta[0] ** 2, rtol=1e-4)


def test_epochs_are_judged_by_the_self_normalised_metric(books: Dataset) -> None:
    judged, not_judged = (
        MF(**TINY).plug(RelMF(judge=judge)).fit(books).report.curve[0]["valid_ndcg@10"] for judge in (True, False)
    )
    assert 0 < judged < not_judged  # rare items count more, and are found less


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lightgcn", {"dim": 8, "epochs": 1, "loss": "logistic"}),
        ("lightgcn", {"dim": 8, "epochs": 1, "negatives": 50}),
        ("simplex", {"dim": 8, "epochs": 1, "negatives": 50}),
        ("sasrec", {"dim": 16, "epochs": 1, "blocks": 1, "heads": 1, "max_len": 20, "loss": "bce"}),
    ],
)
def test_other_backbones_learn_something_else_with_it(name: str, options: dict[str, object], books: Dataset) -> None:
    histories = books.histories("train").take(slice(0, 20))
    off, on = (
        model_class(f"{name}+rel-mf")(**options, rel_mf={"enabled": enabled, "clip": 0.1}).fit(books)
        for enabled in (False, True)
    )
    assert not np.allclose(off.score_histories(histories), on.score_histories(histories))
