"""The reasons of every model: taking the named evidence away lowers the score, and more than chance would."""

from __future__ import annotations

import numpy as np

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.explain.because import because, without
from honeyguide.explain.change import what_would_change
from honeyguide.explain.faithfulness import faithfulness

UNEXPLAINED = {"popularity", "itemrate"}  # what they recommend rests on no history, and they say so


def test_reasons_are_faithful(model: Recommender, small: Dataset) -> None:
    found = faithfulness(model, small.histories("train"), n_users=12, evidence=2)
    if model.name in UNEXPLAINED:
        assert (found.n, found.n_unexplained) == (0, 12)
        return
    assert found.n >= 6, f"{found}: few lists have a reason at all"
    assert found.share >= 0.8, str(found)
    assert found.drop > 0 and found.drop >= found.random_drop, str(found)


def test_a_reason_says_verified_only_where_the_score_falls(model: Recommender, small: Dataset) -> None:
    for history in list(small.histories("train"))[:6]:
        asked = Requests(Ragged.from_lists([history]))
        items = [int(i) for i in model.recommend(asked, k=3).items[0] if i >= 0]
        for reason in because(model, history, items):
            assert np.isin(reason.evidence, history).all()
            kept = without(history, reason.evidence)
            scores = model.score_histories(Ragged.from_lists([history, kept]))[:, reason.item]
            falls = bool(scores[1] < scores[0]) and len(reason.evidence) > 0
            if abs(float(scores[1] - scores[0])) > 1e-5:  # batches of other sizes may round otherwise
                assert reason.verified == falls


def test_what_would_change_a_list_does_change_it(model: Recommender, small: Dataset) -> None:
    history = small.histories("train")[3][-15:]
    asked = Requests(Ragged.from_lists([history]))
    for item in [int(i) for i in model.recommend(asked, k=5).items[0] if i >= 0][3:]:
        change = what_would_change(model, history, item, k=5, most=4)
        if not change.found:
            assert len(change.removed) == 0
            continue
        kept = Requests(Ragged.from_lists([without(history, change.removed)]), exclude=Ragged.from_lists([history]))
        scores = model.score(kept)[0]
        scores[history] = -np.inf
        assert int((scores > scores[item]).sum()) >= 5
