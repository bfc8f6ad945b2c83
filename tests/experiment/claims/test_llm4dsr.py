"""What the cells of seed 17 are judged by, and how they are made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.data.corruptions import MASK, inject_noise
from honeyguide.experiment.claims.llm4dsr import PAPER
from honeyguide.experiment.claims.llm4dsr_cells import SEEDS, _with_clean_codes, judged, without_the_worst
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.sequence.sasrec import SASRec

CLAIMS = {claim.id: claim for claim in PAPER.claims}


def cell(name: str, **changes: Any) -> dict[str, Any]:
    kind = name.split("-")[0]
    found: dict[str, dict[str, Any]] = {
        "natural": {
            "plain": 0.05,
            "corrected": 0.0505,
            "clean model, noisy histories": {"10": 0.04, "20": 0.04},
            "share": 0.02,
        },
        "ten": {
            "plain": 0.03,
            "corrected": 0.034,
            "trained on corrected alone": 0.033,
            "corrections": {"n": 100, "precision": 0.5, "recall": 0.1},
            "without a filter": 0.02,
            "detection": {
                "auc": {"random": 0.5, "encoder": 0.75},
                "hits": {"popularity": 0.01, "encoder": 0.09},
                "events": 1000,
                "noise": 100,
            },
        },
        "lm": {
            "model": "tiny",
            "samples": 8,
            "windows": 9,
            "events": 50,
            "noise": 5,
            "auc": {"untuned, title": 0.5, "tuned, first token": 0.6, "tuned, title": 0.72},
            "hits": 0.02,
            "losses": [3.0, 2.0],
        },
        "floors": {str(share): {"popularity": 0.005, "floor": 0.05} for share in (0, 10, 20)},
        "choose": {"valid": {"no correction": {"none": 0.02}, "0.98, 1": {"none": 0.02, "0.98": 0.021}}},
        "why": {
            "ndcg": {"all noise restored": 0.04},
            "people": {"genuine, replaced": 2.0, "genuine": 9.0, "their replacements": 10.0},
        },
        "gru": {"plain": 0.02, "corrected": 0.021},
    }
    found["twenty"] = {**found["ten"], "dropped by loss": 0.029}
    return {**found[kind], **changes.get(kind, {})}


def judge(claim: str, **changes: Any) -> Any:
    cells = CLAIMS[claim].cells
    return CLAIMS[claim].judge({c.id: cell(c.id, **changes) for c in cells})


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_holds_where_all_is_well(claim: str) -> None:
    found = judge(claim)
    assert found.verdict == "holds" and found.note


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("detection", {"lm": {"losses": [1.0], "auc": {"untuned, title": 0.9, "tuned, title": 0.69}}}),
        ("corrected", {"ten": {"corrected": 0.0329}}),  # 29 % of the way
        ("corrected", {"twenty": {"corrected": 0.029}}),
        ("corrected", {"natural": {"clean model, noisy histories": {"10": 0.0301, "20": 0.04}}}),  # nothing was lost
        ("filter", {"ten": {"without a filter": 0.0341}}),
        ("natural", {"natural": {"corrected": 0.0494}}),
        ("replacement", {"ten": {"detection": {"hits": {"popularity": 0.1, "encoder": 0.09}, "noise": 9}}}),
        ("second-backbone", {"gru": {"corrected": 0.0199}}),
    ],
)
def test_it_does_not_hold_where_a_bar_is_missed(claim: str, changes: dict[str, Any]) -> None:
    assert judge(claim, **changes).verdict == "does not hold"


def test_trained_claims_have_all_seeds_and_every_table_its_floors() -> None:
    for name in ("corrected", "filter", "natural"):
        kinds = {c.id.split("-")[0] for c in CLAIMS[name].cells if c.id[-1].isdigit()}
        for kind in kinds:
            assert sum(c.id.startswith(f"{kind}-") for c in CLAIMS[name].cells) == len(SEEDS) == 5
    assert all(any(c.id == "floors" for c in CLAIMS[n].cells) for n in ("corrected", "filter", "natural"))


def test_what_is_excluded_stays_when_histories_are_edited(books: Dataset) -> None:
    model = ItemKNN().fit(books)
    nothing = judged(model, books, edit=lambda histories: histories)
    assert nothing == judged(model, books) > 0
    other = judged(model, books, edit=lambda h: replace(h, values=(h.values + 1) % books.n_items))
    assert other != nothing


def test_noisy_histories_are_read_in_the_codes_of_the_clean_catalogue(books: Dataset) -> None:
    noisy = inject_noise(books, 0.1)
    assert _with_clean_codes(noisy, books).interactions["item"].equals(noisy.interactions["item"])


def test_events_that_are_fitted_worst_are_dropped_from_train_alone(books: Dataset) -> None:
    noisy = inject_noise(books, 0.1, seed=2)
    model = SASRec(dim=16, blocks=1, heads=1, max_len=50, epochs=8, batch_tokens=512, lr=5e-3).fit(noisy)
    found = without_the_worst(model, noisy, 0.1)
    train = noisy.select("train").interactions.with_row_index()
    left = found.select("train").interactions
    assert left.height == pytest.approx(0.9 * train.height, abs=1)
    assert found.select("test").interactions.equals(noisy.select("test").interactions)
    share = float(left[MASK].sum()) / left.height
    assert share < 0.9 * float(train[MASK].sum()) / train.height, "noise is fitted worse than the rest"
