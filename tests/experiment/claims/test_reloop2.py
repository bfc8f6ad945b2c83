from __future__ import annotations

from typing import Any

import numpy as np

from honeyguide.experiment.claims.drifting_log import drifting_log
from honeyguide.experiment.claims.reloop2 import PAPER, REAL, SEEDS

CLAIMS = {claim.id: claim for claim in PAPER.claims}


def arm(auc: float, loss: float) -> dict[str, float]:
    return {"auc": auc, "log_loss": loss}


def runs(worse_in: int) -> dict[str, Any]:
    """Five seeds on every data set, in ``worse_in`` of which AUC rises and log-loss does too."""
    found: dict[str, Any] = {"floors": {name: {"itemrate": arm(0.6, 0.68)} for name in REAL}}
    for name in REAL:
        for place, seed in enumerate(SEEDS):
            loss = 0.7 if place < worse_in else 0.6
            found[f"real-{name}-{seed}"] = {"base": arm(0.6, 0.65), "memory": arm(0.61 + 0.001 * place, loss)}
    return found


def test_both_metrics_must_be_no_worse_in_four_of_five_seeds() -> None:
    judge = CLAIMS["memory"].judge
    assert judge(runs(1)).verdict == "holds"
    found = judge(runs(2))
    assert found.verdict == "does not hold" and "better in 3 of 5" in str(found.note) and "itemrate" in str(found.note)


def drifts(memory: float, tuned: float) -> dict[str, Any]:
    spans = {
        span: {"base": 1.0, "calm": 0.5, "memory": memory, "tuned": tuned, "truth": 0.4} for span in ("half", "next")
    }
    return {f"drift-{seed}": {**spans, "first": {**spans["half"], "memory": memory + 0.01 * seed}} for seed in SEEDS}


def test_half_of_the_loss_and_more_than_fine_tuning() -> None:
    judge = CLAIMS["drift"].judge
    assert judge(drifts(0.6, 0.9)).verdict == "holds"
    assert judge(drifts(0.8, 0.9)).verdict == "does not hold"  # too little
    assert judge(drifts(0.6, 0.62)).verdict == "does not hold"  # fine-tuning was faster in a seed


def test_one_seed_that_is_harmed_is_harm() -> None:
    judge = CLAIMS["no-harm"].judge
    found = {f"stationary-{seed}": {"base": arm(0.7, 0.6), "memory": arm(0.7 + 0.001 * seed, 0.6)} for seed in SEEDS}
    assert judge(found).verdict == "holds"
    found[f"stationary-{SEEDS[0]}"]["memory"] = arm(0.69, 0.6)
    assert judge(found).verdict == "does not hold"


def test_the_log_drifts_when_it_says_and_only_there() -> None:
    log = drifting_log(2000, 500, 2000, seed=3)
    same = log.data.interactions["positive"] == log.calm.interactions["positive"]
    split = log.data.interactions["split"]
    assert same.filter(split != "test").all() and not same.filter(split == "test").all()
    assert len(log.truth) == 2000
    test = log.data.select("test").interactions.sort("timestamp")
    labels = test["positive"].to_numpy()
    likely = log.truth > 0.7
    assert labels[likely].mean() > 0.7 and np.abs(labels.mean() - log.truth.mean()) < 0.05
