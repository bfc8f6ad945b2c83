from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.plugin import Hooks
from honeyguide.metrics.holdout import model_ndcg
from honeyguide.models.factor.mf_bpr import MFBPR
from honeyguide.models.registry import model_class
from honeyguide.nn.forward import Forward, LossContext, Weights, batch_loss, mean_loss
from honeyguide.plugins.vat import VAT

TINY = {"dim": 16, "epochs": 3}


def bpr(vectors: Any, weights: Weights | None) -> tuple[torch.Tensor, torch.Tensor]:
    u, i, j = vectors
    return mean_loss(F.softplus((u * (j - i)).sum(-1)), weights)


def context(users: list[int], epoch: int = 9, d: int = 4) -> LossContext:
    torch.manual_seed(0)
    n = len(users)
    vectors = tuple(torch.randn(n, d, requires_grad=True) for _ in range(3))
    own = torch.arange(n)
    found = Forward(torch.tensor(users), torch.zeros(n).long(), vectors, (own, own, own), bpr)
    loss, each = bpr(vectors, None)
    return LossContext(found, loss, each, None, epoch)


def test_the_term_is_the_published_formula() -> None:
    at = context([0, 0, 1, 2])
    u, i, j = (v.detach() for v in at.pass_.vectors)
    losses = F.softplus((u * (j - i)).sum(-1))
    each = torch.stack([losses[0] + losses[1], losses[2], losses[3]])  # L(u), sums
    g = (2.0 * torch.sigmoid(each.mean() / each - 1))[torch.tensor([0, 0, 1, 2])]
    slope = torch.sigmoid((u * (j - i)).sum(-1))[:, None] / 4  # d mean softplus(s) / d s
    gradients = (slope * (j - i), -slope * u, slope * u)
    moved = [v + 0.6 * g[:, None] * x / x.norm(dim=-1, keepdim=True) for v, x in zip((u, i, j), gradients, strict=True)]
    expected = 1.5 * F.softplus((moved[0] * (moved[2] - moved[1])).sum(-1)).mean()
    found = VAT(epsilon=0.6, unit="length", user_loss="sum", alpha=1.5).loss_terms(at)
    assert found is not None
    torch.testing.assert_close(found, expected)
    assert found > at.loss  # an adversary that helps is none


def test_what_the_amounts_are() -> None:
    losses, users = torch.tensor([1.0, 1.0, 4.0, 0.0, 2.0]), torch.tensor([0, 0, 1, 2, 3])
    found = VAT(user_loss="mean").factors(users, losses)
    mean = (1.0 + 4.0 + 0.0 + 2.0) / 4
    expected = [2 / (1 + np.exp(1 - mean / x)) if x else 2.0 for x in (1, 1, 4, 0, 2)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    average = VAT().factors(torch.tensor([0, 1]), torch.tensor([3.0, 3.0]))
    np.testing.assert_allclose(average, [1.0, 1.0])  # lambda / 2: exactly epsilon
    badly = VAT(strength=3.0).factors(torch.tensor([0, 1]), torch.tensor([0.0, 1e6]))
    assert badly[0] == pytest.approx(3.0) and badly[1] == pytest.approx(3 / (1 + np.exp(0.5)), rel=1e-3)
    inverted = VAT(g="inverted").factors(users, losses)
    assert inverted[2] > inverted[4] > inverted[0] > inverted[3]
    np.testing.assert_allclose(VAT(g="constant", strength=1.0).factors(users, losses), 0.5)


def test_active_users_are_not_badly_fitted() -> None:
    """The trap: in batches of all events a sum over a user's examples grows with how active the user is."""
    users, losses = torch.tensor([0] * 8 + [1]), torch.ones(9)
    torch.testing.assert_close(VAT().factors(users, losses), torch.ones(9))
    summed = VAT(user_loss="sum").factors(users, losses)
    assert summed[0] < 0.8 < 1.5 < summed[8]


def test_nobody_known_gets_what_the_average_user_gets() -> None:
    found = VAT().factors(torch.tensor([-1, 0, 1, -1]), torch.tensor([50.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(found, torch.ones(4))
    torch.testing.assert_close(VAT().factors(torch.tensor([-1, -1]), torch.tensor([50.0, 1.0])), torch.ones(2))


def test_shared_rows_get_the_mean_amount_and_units_are_kept() -> None:
    at = context([0, 1, 2])
    shared = at.pass_.__class__(
        at.pass_.users, at.pass_.items, at.pass_.vectors, (torch.arange(3), torch.arange(3), None), at.pass_.value
    )
    seen: list[torch.Tensor] = []

    class Watched(LossContext):
        def forward(self, perturb: Any) -> torch.Tensor:
            seen.extend(perturb)
            return super().forward(perturb)

    plugin = VAT(epsilon=0.5, unit="norm")
    plugin.loss_terms(Watched(shared, at.loss, at.losses, None, 9))
    g = plugin.factors(shared.users, at.losses)
    for vectors, moves, own in zip(shared.vectors, seen, (g, g, g.mean().expand(3)), strict=True):
        size = 0.5 * vectors.detach().square().sum(-1).mean().sqrt()  # half the typical length of a row
        torch.testing.assert_close(moves.norm(dim=-1), size * own)
        assert not moves.requires_grad  # Delta is a constant for the second pass


def test_nothing_is_added_before_the_start() -> None:
    assert VAT(start=5).loss_terms(context([0], epoch=4)) is None
    assert VAT(start=5).loss_terms(context([0], epoch=5)) is not None


def test_the_gradient_does_not_pass_through_what_was_read() -> None:
    """The trap of tied tables: the item table is read to make the states, and scored against them."""
    torch.manual_seed(0)
    table = torch.randn(6, 3, requires_grad=True)
    states = torch.tanh(table[:4] @ torch.randn(3, 3))

    def value(vectors: Any, weights: Weights | None) -> tuple[torch.Tensor, torch.Tensor]:
        return mean_loss(F.cross_entropy(vectors[0] @ vectors[1].T, torch.arange(4), reduction="none"), weights)

    own = torch.arange(4)
    found = Forward(own, own, (states, table), (own, None), value)
    seen: list[tuple[torch.Tensor, ...]] = []

    class Spy(VAT):
        def loss_terms(self, context: LossContext) -> torch.Tensor | None:
            seen.append(context.gradients())
            return super().loss_terms(context)

    batch_loss(lambda _: found, Hooks([Spy(start=0)]))(None).backward()
    leaves = [v.detach().requires_grad_() for v in (states, table)]
    value(leaves, None)[0].backward()
    for gradient, leaf in zip(seen[0], leaves, strict=True):
        torch.testing.assert_close(gradient, leaf.grad)
    assert table.grad is not None


def test_what_is_kept_was_defended(books: Dataset) -> None:
    """The trap of early stopping: the best epoch on valid may be one before the adversary began."""
    model = MFBPR(dim=16, lr=0.1, epochs=9, patience=2).plug(VAT(start=6, epsilon=20.0)).fit(books)
    curve = [entry["valid_ndcg@10"] for entry in model.report.curve]
    assert max(curve[:6]) > max(curve[6:]) and len(curve) == 9  # an adversary that ruins; patience counts from there
    found = model_ndcg(model, books.histories("train"), books.histories("valid")).mean()
    assert found == pytest.approx(max(curve[6:]))
    with pytest.raises(ConfigError, match=r"vat\.start is 5"):
        MFBPR(epochs=5).plug(VAT())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mf-bpr", {}),
        ("lightgcn", {"negatives": 50}),
        ("lightgcn", {"loss": "bpr"}),
        ("simplex", {"negatives": 50}),
        ("sasrec", {"blocks": 1, "heads": 1, "max_len": 20}),
        ("sasrec", {"blocks": 1, "heads": 1, "max_len": 20, "loss": "gbce", "negatives": 20}),
        ("gru4rec", {"max_len": 20}),
        ("hstu", {"blocks": 1, "heads": 1, "max_len": 20}),
    ],
)
def test_it_runs_over_every_backbone_and_changes_what_is_learnt(
    books: Dataset, name: str, options: dict[str, Any]
) -> None:
    plain = model_class(name)(**TINY, **options).fit(books)
    defended = model_class(f"{name}+vat")(**TINY, **options, vat={"start": 1}).fit(books)
    losses = [[entry["loss"] for entry in model.report.curve] for model in (plain, defended)]
    assert losses[0][0] == losses[1][0]  # the first epoch is plain
    assert losses[1][1] > 1.5 * losses[0][1]  # two terms, the second the larger
    off = model_class(f"{name}+vat")(**TINY, **options, vat={"enabled": False}).fit(books)
    histories = books.histories("train")
    np.testing.assert_array_equal(off.score_histories(histories), plain.score_histories(histories))
    assert not np.array_equal(defended.score_histories(histories), plain.score_histories(histories))


def test_resumed_it_equals_uninterrupted(books: Dataset, tmp_path: Path) -> None:
    def made() -> Any:
        return MFBPR(dim=8, epochs=4, patience=9).plug(VAT(start=1))

    whole = made().fit(books)
    first = made()
    first.fit(books, FitOptions(checkpoint=tmp_path / "run", cpu_limit=1e-9))
    assert not first.report.finished
    resumed = made().fit(books, FitOptions(checkpoint=tmp_path / "run", resume=True))
    histories = books.histories("train")
    np.testing.assert_array_equal(resumed.score_histories(histories), whole.score_histories(histories))
