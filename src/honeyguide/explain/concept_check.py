"""Are concepts true? A judge that sees words alone tells where they are active; switched off, their items must fall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.encode.encoder import Encoder
from honeyguide.encode.items import text_vectors
from honeyguide.explain.concepts import FITTING, JUDGING, Concept, Inputs
from honeyguide.metrics.holdout import ndcg_of_lists
from honeyguide.metrics.stats import wilcoxon
from honeyguide.plugins.recsae import Edits, RecSAE

EXAMPLES = 50  # of each kind and part that the judge is shown
FEWEST = 10  # without so many active ones in a part nothing is said
RELIABLE = 0.7  # confidence from which a concept is called reliable
LIST = 20


@dataclass(frozen=True)
class Verdict:
    """How well a concept tells, on inputs that it was not named after, where its direction is active.

    Parameters
    ----------
    precision, recall, f1
        Of the judge, over as many active inputs as others; ``f1`` is the confidence.
    examples
        Inputs it was asked about.
    """

    precision: float
    recall: float
    f1: float
    examples: int


def verify(
    concepts: Sequence[Concept],
    activations: sp.csr_matrix,
    inputs: Inputs,
    item_vectors: FloatArray,
    encoder: Encoder[str],
    seed: int = 0,
) -> list[Verdict | None]:
    """The verdict on every concept; ``None`` where too few inputs are active.

    The judge sees the name of the concept and the texts of an input's items, as vectors, and says *active* where
    the cosine of the name with their mean reaches a threshold: the one that is right most often on the fitting
    part. It never sees an activation.

    Parameters
    ----------
    concepts
        What is verified.
    activations
        ``[n, m]``, of all directions.
    inputs
        Theirs.
    item_vectors
        float32 ``[M, e]``: texts of items, by ``encoder``.
    encoder
        Of names.
    seed
        Draws the examples.
    """
    rng = np.random.default_rng(seed)
    counts = np.maximum(np.asarray(inputs.items.sum(axis=1)), 1)
    seen = unit(np.asarray(inputs.items @ item_vectors, np.float32) / counts.astype(np.float32))  # [n, e]
    names = text_vectors([concept.name for concept in concepts], encoder)
    parts = {part: np.flatnonzero(inputs.parts == part) for part in (FITTING, JUDGING)}
    columns = sp.csc_matrix(activations)
    active = np.zeros(len(inputs.parts), bool)
    verdicts: list[Verdict | None] = []
    for concept, name in zip(concepts, names, strict=True):
        mine = columns.indices[columns.indptr[concept.direction] : columns.indptr[concept.direction + 1]]
        active[mine] = True
        fitting, judging = (_examples(rows, active, rng) for rows in parts.values())
        active[mine] = False
        if fitting is None or judging is None:
            verdicts.append(None)
            continue
        threshold = _threshold(*(seen[rows] @ name for rows in fitting))
        verdicts.append(_verdict(*(seen[rows] @ name >= threshold for rows in judging)))
    return verdicts


def _examples(
    rows: npt.NDArray[np.int64], active: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """As many active inputs of ``rows`` as others, drawn."""
    is_active = active[rows]
    n = min(EXAMPLES, int(is_active.sum()), int((~is_active).sum()))
    if n < FEWEST:
        return None
    return rng.choice(rows[is_active], n, replace=False), rng.choice(rows[~is_active], n, replace=False)


def _verdict(active: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_]) -> Verdict:
    """From what the judge said of active inputs, and of others."""
    true, false, missed = int(active.sum()), int(others.sum()), int((~active).sum())
    f1 = 2 * true / max(1, 2 * true + false + missed)
    return Verdict(true / max(1, true + false), true / len(active), f1, len(active) + len(others))


def _threshold(active: FloatArray, others: FloatArray) -> float:
    """The similarity from which to say *active*, right most often on these examples, as many of each kind."""
    values = np.sort(np.concatenate([active, others]))
    below = np.searchsorted(np.sort(others), values, side="left")  # others rightly left out
    above = len(active) - np.searchsorted(np.sort(active), values, side="left")
    return float(values[np.argmax(below + above)])


@dataclass(frozen=True)
class Ablation:
    """What switching a latent off does to the lists of users in whom it is active.

    Parameters
    ----------
    latent
        Which.
    users
        How many.
    before, after
        Mean share of the concept's items among the first twenty.
    p_value
        That the shares do not differ, by Wilcoxon's signed-rank test over users.
    fallen
        Codes of the items that leave most lists.
    ndcg_before, ndcg_after
        float64, NDCG@10 of each user whose held-out item is not one of the concept's, among the items that are not:
        where those fall, others rise in the whole list without any merit.
    """

    latent: int
    users: int
    before: float
    after: float
    p_value: float
    fallen: IntArray
    ndcg_before: npt.NDArray[np.float64]
    ndcg_after: npt.NDArray[np.float64]


class Ablations:
    """Switches latents off, one at a time, and looks at the lists of the same users.

    Parameters
    ----------
    model
        Fitted, with ``plugin``.
    plugin
        Its autoencoder.
    histories
        Of the users.
    truth
        Held-out items of theirs; empty lists where there are none.
    """

    def __init__(self, model: Recommender, plugin: RecSAE, histories: Ragged, truth: Ragged) -> None:
        self.model, self.plugin = model, plugin
        self.histories, self.truth = histories, truth
        plain = plugin.plain()
        codes = plugin.codes(plain.user_vectors(histories))  # type: ignore[attr-defined]
        offsets = np.arange(0, codes.values.size + 1, max(1, codes.values.shape[1]))
        latents = sp.csr_matrix(
            (codes.values.ravel(), codes.latents.ravel(), offsets), (len(histories), plugin.n_latents)
        )
        latents.eliminate_zeros()
        self.active = sp.csc_matrix(latents)
        self.lists = self._ranked(np.arange(len(histories)), {})

    def _ranked(self, users: npt.NDArray[np.int64], edits: Edits, without: IntArray | None = None) -> IntArray:
        """Lists ``[n, 20]`` with ``edits``, and without some items beside those of the history."""
        histories = self.histories.take(users)
        exclude = None
        if without is not None:
            same = Ragged(np.arange(len(users) + 1) * len(without), np.tile(without, len(users)))
            exclude = histories.concat(same)
        with self.plugin.editing(edits):
            return self.model.recommend(Requests(histories, exclude=exclude), LIST).items

    def users_of(self, latent: int) -> npt.NDArray[np.int64]:
        """Rows of the histories in whose state the latent is active, the strongest first."""
        start, stop = self.active.indptr[latent : latent + 2]
        found: npt.NDArray[np.int64] = self.active.indices[start:stop][np.argsort(-self.active.data[start:stop])]
        return found.astype(np.int64)

    def switch_off(self, latent: int, items: IntArray, alike: IntArray | None = None, most: int = 1_000) -> Ablation:
        """The latent at 0, and what becomes of the concept's ``items`` for its ``most`` most active users.

        Parameters
        ----------
        latent
            Which.
        items
            Codes of the items that the concept was named after.
        alike
            Codes of further items that its name speaks of; all others are other items.
        most
            Users, at most.
        """
        of_concept = items if alike is None else np.union1d(items, alike).astype(np.int32)
        users = np.sort(self.users_of(latent)[:most])
        before, after = self.lists[users], self._ranked(users, {latent: 0.0})
        share_before, share_after = (np.isin(lists, items).mean(axis=1) for lists in (before, after))
        left = _counts(before, self.model) - _counts(after, self.model)
        fallen = np.argsort(-left, kind="stable")[:5]
        truth = self.truth.take(users)
        theirs = np.zeros(len(users), bool)
        theirs[truth.rows[np.isin(truth.values, of_concept)]] = True
        rest = np.flatnonzero(~theirs & (truth.lengths > 0))
        quality = [
            ndcg_of_lists(self._ranked(users[rest], edits, of_concept)[:, :10], truth.take(rest), 10)
            for edits in ({}, {latent: 0.0})
        ]
        return Ablation(
            latent=latent,
            users=len(users),
            before=float(share_before.mean()) if len(users) else 0.0,
            after=float(share_after.mean()) if len(users) else 0.0,
            p_value=wilcoxon(share_after - share_before) if len(users) else 1.0,
            fallen=fallen[left[fallen] > 0].astype(np.int32),
            ndcg_before=quality[0],
            ndcg_after=quality[1],
        )


def _counts(lists: IntArray, model: Recommender) -> npt.NDArray[np.int64]:
    n_items = len(model.item_ids) if model.item_ids is not None else 0
    found: npt.NDArray[np.int64] = np.bincount(lists[lists >= 0], minlength=n_items)
    return found
