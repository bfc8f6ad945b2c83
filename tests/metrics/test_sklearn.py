"""Agreement with scikit-learn and scipy where their definitions are ours."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk

from honeyguide.core.ragged import Ragged
from honeyguide.metrics import predictive, similarity
from honeyguide.metrics.catalogue import Catalogue
from honeyguide.metrics.evaluate import evaluate_lists

rng = np.random.default_rng(0)
Y, P = rng.integers(0, 2, 500), np.round(rng.random(500), 2)
RATING, GUESS = rng.integers(1, 6, 500).astype(float), rng.random(500) * 5


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (predictive.mae, sk.mean_absolute_error),
        (predictive.mse, sk.mean_squared_error),
        (predictive.rmse, sk.root_mean_squared_error),
        (predictive.mape, sk.mean_absolute_percentage_error),
        (predictive.r2, sk.r2_score),
        (predictive.explained_variance, sk.explained_variance_score),
    ],
)
def test_regression(ours, theirs):
    assert ours(RATING, GUESS) == pytest.approx(theirs(RATING, GUESS), abs=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (predictive.auc, sk.roc_auc_score),
        (predictive.pr_auc, sk.average_precision_score),
        (predictive.brier, sk.brier_score_loss),
        (predictive.log_loss, lambda y, p: sk.log_loss(y, np.clip(p, 1e-7, 1 - 1e-7))),
        (predictive.precision_at, lambda y, p: sk.precision_score(y, p >= 0.5)),
        (predictive.recall_at, lambda y, p: sk.recall_score(y, p >= 0.5)),
        (predictive.f_beta, lambda y, p: sk.f1_score(y, p >= 0.5)),
        (predictive.accuracy, lambda y, p: sk.accuracy_score(y, p >= 0.5)),
        (predictive.specificity, lambda y, p: sk.recall_score(1 - y, p < 0.5)),
    ],
)
def test_classification(ours, theirs):
    assert ours(Y, P) == pytest.approx(theirs(Y, P), abs=1e-9)


def test_f_beta_and_threshold():
    assert predictive.f_beta(Y, P, 0.3, beta=2.0) == pytest.approx(sk.fbeta_score(Y, P >= 0.3, beta=2.0))


def test_graded_ndcg_and_dcg():
    n, m, k = 50, 12, 5
    grades, scores = rng.integers(0, 4, (n, m)).astype(float), rng.random((n, m))
    grades[:, 0] = 1.0  # scikit-learn gives 0 to users without relevant items; here they are skipped
    lists = np.argsort(-scores, axis=1)[:, :k]
    truth = Ragged.from_lists([np.arange(m)] * n)
    found = evaluate_lists(
        lists, truth, [f"ndcg@{k}", f"dcg@{k}", f"ndcg_exp@{k}"], Catalogue(m), grades=grades.ravel()
    )
    assert found.overall[f"ndcg@{k}"] == pytest.approx(sk.ndcg_score(grades, scores, k=k), abs=1e-9)
    assert found.overall[f"dcg@{k}"] == pytest.approx(sk.dcg_score(grades, scores, k=k), abs=1e-9)
    assert found.overall[f"ndcg_exp@{k}"] == pytest.approx(sk.ndcg_score(2**grades - 1, scores, k=k), abs=1e-9)


def test_average_precision_over_the_whole_list():
    n, m = 50, 12
    relevant, scores = rng.random((n, m)) < 0.3, rng.random((n, m))
    relevant[:, 0] = True
    lists = np.argsort(-scores, axis=1)
    truth = Ragged.from_lists([np.flatnonzero(row) for row in relevant])
    found = evaluate_lists(lists, truth, ["ap_rel"], Catalogue(m))
    expected = [sk.average_precision_score(y, s) for y, s in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(found.per_user["ap_rel"], expected, atol=1e-9)


def test_similarities():
    x, y = rng.integers(0, 4, (2, 40)).astype(float)
    assert similarity.cosine(x, y) == pytest.approx(sk.pairwise.cosine_similarity([x], [y])[0, 0])
    assert similarity.pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y)[0])
    assert similarity.spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y)[0])
    assert similarity.kendall(x, y) == pytest.approx(scipy.stats.kendalltau(x, y)[0])
    assert similarity.jaccard(x > 1, y > 1) == pytest.approx(sk.jaccard_score(x > 1, y > 1))
    assert similarity.hamming(x, y) == pytest.approx(sk.hamming_loss(x, y))


def test_concordance_on_many_rows_agrees_with_auc():
    y, p = rng.integers(0, 2, 3001), np.round(rng.random(3001), 2)
    assert predictive.concordance(y, p) == pytest.approx(sk.roc_auc_score(y, p), abs=1e-12)
