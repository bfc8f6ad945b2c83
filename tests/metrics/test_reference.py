"""The reference page is the registry, and the registry is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from honeyguide.core.errors import UnknownNameError
from honeyguide.metrics.choosing import CHOICES, CONFLICTS, choose
from honeyguide.metrics.evaluate import parse
from honeyguide.metrics.metric import FAMILIES, metric
from honeyguide.metrics.reference import page
from honeyguide.metrics.registry import METRICS

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_committed_page_is_the_generated_one():
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m honeyguide.metrics.reference > docs/metrics.md"


def test_every_metric_is_fully_described_and_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    assert {m.family for m in METRICS.values()} == set(FAMILIES)
    for id, m in METRICS.items():
        assert id == m.id
        assert m.formula and m.low < m.high and m.direction in ("higher", "lower", "neither")
        assert m.function.__doc__
        assert f"| `{m.name}` |" in text
        if m.kind != "function":
            assert parse(f"{id}@10").k == 10


def test_a_metric_is_declared_once():
    with pytest.raises(ValueError, match="declared twice"):
        metric("ndcg", family="D", formula="")(lambda: None)


def test_choices_and_conflicts_name_metrics_that_exist():
    for choice in CHOICES.values():
        assert set(choice.metrics) <= set(METRICS)
        assert choice.primary and choice.guardrail and choice.diagnostic
    assert {id for c in CONFLICTS for id in (*c.first, *c.second)} <= set(METRICS)


def test_choosing_prints_the_conflicts():
    text = str(choose("ranking"))
    assert "primary: ndcg" in text
    assert "conflict: accuracy–popularity" in text
    assert [c.name for c in choose("business").conflicts] == ["accuracy–diversity", "short term–long term"]
    with pytest.raises(UnknownNameError, match="Did you mean retrieval"):
        choose("retreival")
