from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.data.load import load_data
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models import fusion
from honeyguide.models.fusion import Candidates
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.popularity import Popularity

NO_EDGES = np.zeros(0, np.int64)


def drawn(n: int = 400, c: int = 20, seed: int = 0, strength: float = 2.0) -> Candidates:
    """Users whose held-out item is drawn by a softmax over the first feature; the other three are noise."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, c, 4)).astype(np.float32)
    chosen = (strength * features[:, :, 0] + rng.gumbel(size=(n, c))).argmax(axis=1)
    relevant = np.zeros((n, c), bool)
    relevant[np.arange(n), chosen] = True
    items = np.tile(np.arange(c, dtype=np.int32), (n, 1))
    return Candidates(items, features, relevant, np.ones(n, np.int64), rng.integers(1, 30, n))


@pytest.fixture(scope="module")
def books() -> Dataset:
    data = load_data("goodbooks-mini")
    return data.select("train", "valid")


def test_features_are_the_standard_score_and_the_log_of_the_share() -> None:
    scores = np.array([[1.0, 2.0, 3.0, 6.0], [5.0, 5.0, 5.0, 5.0]], np.float32)
    standard, share = fusion.score_features(scores, "rank")
    np.testing.assert_allclose(standard[0], (scores[0] - 3.0) / scores[0].std(), rtol=1e-6)
    expected = np.log(scores[0] / 12 + 0.1 / 4)
    np.testing.assert_allclose(share[0], expected - expected.mean(), rtol=1e-5)
    assert not standard[1].any() and not share[1].any(), "equal scores say nothing"


def test_the_share_of_logits_is_that_of_their_softmax() -> None:
    scores = np.log(np.array([[1.0, 2.0, 3.0, 6.0]], np.float32)) + 7
    np.testing.assert_allclose(
        fusion.score_features(scores, "logit")[1],
        fusion.score_features(np.exp(scores - 7), "rank")[1],
        rtol=1e-4,
    )


def test_features_do_not_depend_on_unit_or_offset_of_logits() -> None:
    scores = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32)
    np.testing.assert_allclose(
        fusion.score_features(scores, "logit"), fusion.score_features(scores + 100, "logit"), atol=1e-4
    )


def test_newton_finds_the_likeliest_weights() -> None:
    found = drawn()
    target = found.relevant.argmax(axis=1)

    def loss(w: np.ndarray) -> float:
        scores = found.features @ w
        total = np.log(np.exp(scores).sum(axis=1))
        return float((total - scores[np.arange(len(target)), target]).mean() + 0.5e-3 * w @ w)

    expected = minimize(loss, np.zeros(4), method="L-BFGS-B", options={"ftol": 1e-14}).x
    np.testing.assert_allclose(fusion._likeliest(found, np.zeros(4, np.float32)), expected, atol=2e-3)
    assert expected[0] == pytest.approx(2.0, abs=0.35)


def test_ndcg_of_one_part_is_that_of_the_model(books: Dataset) -> None:
    model = ItemKNN().fit(books)
    histories, truth = books.histories("train"), books.histories("valid")
    found = fusion.collect([model], histories, truth)
    expected = holdout_ndcg(model.score_histories, histories, truth)
    np.testing.assert_allclose(fusion.ndcg_of(found, 0), expected, atol=1e-9)


def test_several_held_out_items_and_those_beyond_the_candidates_count() -> None:
    relevant = np.array([[True, False, True]])
    features = np.array([[[3.0], [2.0], [1.0]]], np.float32)
    found = Candidates(np.array([[4, 7, 9]], np.int32), features, relevant, np.array([3]), np.array([5]))
    gains = 1 + 1 / np.log2(4)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert fusion.ndcg(found, np.ones(1, np.float32))[0] == pytest.approx(gains / ideal)


def test_candidates_leave_out_what_was_seen_and_are_a_union(books: Dataset) -> None:
    models = [ItemKNN().fit(books), Popularity().fit(books)]
    histories, truth = books.histories("train"), books.histories("valid")
    found = fusion.collect(models, histories, truth, most=200)
    users = np.sort(np.random.default_rng(0).choice(np.flatnonzero(truth.lengths), 200, replace=False))
    assert len(found) == 200
    for row, user in enumerate(users[:20]):
        items = found.items[row][found.items[row] >= 0]
        assert len(set(items)) == len(items)
        assert not set(items) & set(histories[user])
        best = models[0].score_histories(histories.take(np.array([user])))[0]
        best[histories[user]] = -np.inf
        assert set(np.argsort(-best, kind="stable")[:10]) <= set(items)


def test_the_shortlist_keeps_what_informs_and_drops_noise() -> None:
    found = drawn(2000)
    noise = Candidates(
        found.items, np.tile(found.features[:, :, 1:2], (1, 1, 2)), found.relevant, found.n_relevant, found.lengths
    )
    three = np.concatenate([found.features, noise.features], axis=2)  # part 0 informs, 1 and 2 are noise
    kept, adds = fusion.shortlist(Candidates(found.items, three, found.relevant, found.n_relevant, found.lengths))
    assert 0 in kept and len(kept) == 2, "two are kept at least"
    assert adds[0].mean() > 0.1


def test_weights_are_judged_on_users_they_have_not_seen() -> None:
    found = drawn(300, strength=0.0)  # nothing to learn
    learnt = fusion.ndcg(found, fusion.learn(found)).mean()
    honest = fusion.cross_fitted(found, NO_EDGES).mean()
    by_chance = float((1 / np.log2(np.arange(2, 12))).sum() / 20)
    assert learnt > honest
    assert honest == pytest.approx(by_chance, abs=0.05)


def test_segments_have_weights_of_their_own() -> None:
    short, long = drawn(600, seed=1), drawn(600, seed=2)
    turned = -long.features
    both = Candidates(
        np.concatenate([short.items, long.items]),
        np.concatenate([short.features, turned]),
        np.concatenate([short.relevant, long.relevant]),
        np.ones(1200, np.int64),
        np.repeat(np.array([3, 30]), 600),
    )
    weights = fusion.learn_segments(both, np.array([10]))
    assert weights.of(np.array([3]))[0, 0] > 0.5
    assert weights.of(np.array([10]))[0, 0] < -0.5
    assert fusion.cross_fitted(both, np.array([10])).mean() > fusion.cross_fitted(both, NO_EDGES).mean() + 0.1


def test_nobody_to_learn_from_leaves_the_start() -> None:
    nobody = fusion.collect([], Ragged.empty(0), Ragged.empty(0))
    assert len(nobody) == 0
