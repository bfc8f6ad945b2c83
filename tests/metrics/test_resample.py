from __future__ import annotations

import numpy as np
import pytest
from tests.metrics.test_lists_reference import Cases

from honeyguide.core.errors import ConfigError
from honeyguide.metrics.evaluate import evaluate_lists
from honeyguide.metrics.lists import Conventions
from honeyguide.metrics.registry import METRICS
from honeyguide.metrics.resample import aggregate_cis
from honeyguide.metrics.stats import resample_counts

AGGREGATES = [f"{id}@4" for id, m in METRICS.items() if m.kind == "aggregate"]


@pytest.mark.parametrize("repeats", [False, True])
def test_a_resample_is_the_evaluation_of_the_users_drawn(repeats):
    cases, n = Cases(40, 3, repeats), 25
    conventions = Conventions(duplicates="keep" if repeats else "error")
    expected = []
    for weights in np.concatenate(list(resample_counts(40, n, 7))):
        rows = np.repeat(np.arange(40), weights)
        found = evaluate_lists(
            cases.items[rows], cases.truth.take(rows), AGGREGATES,
            type(cases.catalogue)(9, cases.catalogue.popularity, cases.histories.take(rows)),
            grades=np.concatenate([cases.grades[slice(*cases.truth.offsets[r : r + 2])] for r in rows]),
            conventions=conventions,
        )  # fmt: skip
        expected.append([found.overall[id] for id in AGGREGATES])
    quantiles = np.nanquantile(expected, [0.05, 0.95], axis=0)
    found = aggregate_cis(
        cases.items, cases.truth, AGGREGATES, cases.catalogue, grades=cases.grades, conventions=conventions, n=n,
        level=0.9, seed=7,
    )  # fmt: skip
    np.testing.assert_allclose([found[id] for id in AGGREGATES], quantiles.T, atol=1e-12)


def test_metrics_with_a_value_per_user_are_sent_elsewhere():
    cases = Cases(5, 0, repeats=False)
    with pytest.raises(ConfigError, match="bootstrap_cis"):
        aggregate_cis(cases.items, cases.truth, ["ndcg@4"], cases.catalogue)
