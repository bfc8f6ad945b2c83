"""What the judges of seed 21 say of figures that are known, and what its cells compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.data.attacks import unpopular_items
from honeyguide.experiment.attacks import attack
from honeyguide.experiment.claims import lorec_cells
from honeyguide.experiment.claims.lorec_cells import ATTACKS, FIRST, HARD, REACHED, SEEDS, judged, others
from honeyguide.experiment.papers import Judgement, paper
from honeyguide.metrics.attack import attack_success, eligible_users


def results(ratio: float = 0.5, recall: float = 1.0, auc: float = 0.9, blind: float = 0.85, low: float = 0.02) -> Any:
    """Five seeds in which every attack is told by the same figures."""
    found: dict[str, Any] = {}
    for seed in SEEDS:
        jitter = 1 + 0.001 * seed
        figures: dict[str, Any] = {}
        for kind in ("clean", *ATTACKS):
            plain = {REACHED[0]: 0.04 * jitter, REACHED[1]: 0.01, "recall@10": 0.1 * jitter, "ndcg@10": 0.05}
            own = {
                **plain,
                REACHED[0]: 0.04 * ratio * jitter,
                "recall@10": 0.1 * recall * jitter,
                "genuine_low": low * jitter,
                "rounds": [{"epoch": 5, "flagged": 0.2, "mean": 0.1}, {"epoch": 6, "flagged": 0.0, "mean": 0.1}],
            }
            figures[kind] = {"plain": plain, "lorec": own}
            if kind != "clean":
                own |= {"auc": auc * jitter, "auc_last": auc, "fakes_low": 0.8}
            if kind in HARD:
                figures[kind]["no-text"] = {**own, "auc": blind, "auc_last": blind}
            if seed == FIRST and kind != "clean":
                figures[kind]["vat"] = {**plain}
        found[f"seed-{seed}"] = {"figures": figures}
    floor = {REACHED[0]: 0.0, "recall@10": 0.03}
    found["floors"] = {"figures": {kind: {"popularity": floor, "floor": floor} for kind in ("clean", *ATTACKS)}}
    found["margins"] = {"figures": {"0.0": {"genuine_low": 0.03, "fakes_low": 0.5, REACHED[0]: 0.03}}}
    found["looks"] = {"figures": {"margin .5": {REACHED[0]: 0.01}}}
    found["readers"] = {"each": 16, "auc": {"smollm2": dict.fromkeys(ATTACKS, 0.6)}}
    return found


def verdict_of(claim: str, given: Any) -> Judgement:
    return next(c for c in paper(21).claims if c.id == claim).judge(given)


def test_figures_that_reach_their_bars_hold_and_others_do_not() -> None:
    good, bad = results(), results(ratio=0.8, recall=0.98, auc=0.8, blind=0.85, low=0.06)
    for claim in ("defence", "clean", "unseen-family", "language", "genuine"):
        assert verdict_of(claim, good).verdict == "holds", claim
        assert verdict_of(claim, bad).verdict == "does not hold", claim
    assert verdict_of("defence", good).value == "4 of 4 attacks"
    assert verdict_of("language", good).value == pytest.approx(0.9 * 1.003 - 0.85)


def test_an_attack_counts_where_four_of_five_seeds_do() -> None:
    found = results()
    for kind in ATTACKS[:2]:
        for seed in (1, 2):
            found[f"seed-{seed}"]["figures"][kind]["lorec"][REACHED[0]] = 0.04
    assert verdict_of("defence", found).value == "2 of 4 attacks"
    assert verdict_of("defence", found).verdict == "does not hold"


def test_a_tendency_is_called_one() -> None:
    found = results(auc=0.851)
    for seed, value in zip(SEEDS, (0.7, 0.9, 0.7, 0.95, 0.8), strict=True):
        for kind in HARD:
            found[f"seed-{seed}"]["figures"][kind]["no-text"]["auc"] = value
    judgement = verdict_of("language", found)
    assert judgement.note is not None and "the interval holds 0" in judgement.note


def test_known_fakes_count_for_nothing_from_the_start_on() -> None:
    torch = pytest.importorskip("torch")
    from honeyguide.nn.forward import Forward

    plugin = lorec_cells.Known(fakes=(1, 3), start=2)
    users = torch.tensor([0, 1, 2, 3, -1])
    found = Forward(users, users, (), (), lambda vectors, weights: (torch.zeros(()), torch.zeros(5)))
    plugin.on_epoch(torch.nn.Identity(), 0)
    assert plugin.weights(found) is None and plugin.keeps_from() == 2
    plugin.on_epoch(torch.nn.Identity(), 1)
    weights = plugin.weights(found)
    assert weights is not None and weights.loss is not None and weights.loss.tolist() == [1, 0, 1, 0, 1]


def test_fakes_are_of_other_families_than_the_attack() -> None:
    """The trap that the card names: a calibrator that saw the attack it is judged on."""
    for kind in ATTACKS:
        assert kind not in others(kind) and len(others(kind)) >= 2
    assert 0 not in SEEDS and len(SEEDS) == 5  # options were set on the seed 0


def test_only_genuine_users_who_never_met_a_target_are_asked(books: Dataset) -> None:
    """The traps of the released code: injected users among those who are judged, and items of the own history."""
    targets = unpopular_items(books, 2)
    data = attack(books, "random", targets, share=0.05, each=2)
    everything = np.zeros((data.n_users, data.n_items), np.float32)
    everything[:, targets] = 1.0  # a model that shows the targets to everybody
    reached = attack_success(lambda _, rows: everything[rows].copy(), data, (50,), targets=targets)[REACHED[0]]
    asked = eligible_users(data, targets).any(axis=1)
    np.testing.assert_array_equal(np.isfinite(reached), asked)
    assert np.nanmin(reached) == 1.0 and not asked[books.n_users :].any()


def test_what_a_table_of_suspects_is_judged_by(books: Dataset) -> None:
    data = attack(books, "random", unpopular_items(books, 2), share=0.01)
    ids = data.user_ids.values.to_list()
    n = len(ids)
    fake = np.arange(n) >= books.n_users
    table = pl.DataFrame(
        {
            "user_id": ids,
            "suspicion": np.where(fake, 0.9, 0.1),
            "last": np.where(fake, 0.1, 0.9),
            "weight": np.where(fake | (np.arange(n) < 15), 0.2, 1.0),
        }
    )
    found = judged(table, data)
    assert found["auc"] == 1.0 and found["auc_last"] == 0.0 and found["fakes_low"] == 1.0
    assert found["genuine_low"] == pytest.approx(15 / books.n_users)


def test_without_the_data_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEYGUIDE_DATA", "/nowhere")
    with pytest.raises(DataError, match="HONEYGUIDE_DATA"):
        lorec_cells.by_seed(1)("cpu")
