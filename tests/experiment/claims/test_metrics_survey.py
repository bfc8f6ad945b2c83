from __future__ import annotations

from typing import Any

import pytest

from honeyguide.experiment.claims.metrics_survey import PAPER

CLAIMS = {claim.id: claim for claim in PAPER.claims}


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({"passed": True, "tests": 3}, "holds"),
        ({"passed": True, "tests": 0}, "does not hold"),  # a run without a test shows nothing
        ({"passed": False, "tests": 3}, "does not hold"),
    ],
)
def test_agreement_with_the_references_needs_tests_that_ran_and_passed(found: dict[str, Any], verdict: str) -> None:
    assert CLAIMS["references"].judge({"references": found}).verdict == verdict


def test_a_published_cell_that_is_off_is_not_hidden() -> None:
    good = {"system": "a", "holds": True, "reason": None}
    cells = [good, {**good, "holds": False}, {**good, "holds": False, "reason": "not released"}]
    judgement = CLAIMS["published"].judge({"published": {"cells": cells}})
    assert (judgement.value, judgement.verdict, judgement.note) == ("1 of 2 cells", "does not hold", "a: not released")
