"""Why an item was recommended: the events of the history that the model's own score rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from honeyguide.core.ids import Ids
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.encode.items import title_column

# What people do with the items of a domain, told by the columns of the item table.
_VERBS = {
    "authors": "read",
    "author": "read",
    "director": "watched",
    "directors": "watched",
    "artist": "listened to",
    "artists": "listened to",
    "brand": "bought",
    "price": "bought",
}


@dataclass(frozen=True)
class Because:
    """The reason for one recommended item, with the check that it is the reason.

    Parameters
    ----------
    item
        Code of the recommended item.
    evidence
        Codes of the items in the history that add most to its score, strongest first; empty
        when nothing in the history adds to it.
    terms
        float32, what each of ``evidence`` adds, on the scale of the score.
    personal
        Whether the history plays any part in the score.
    general
        Whether the model puts the item above most others for somebody without a history, too.
    score, score_without
        The item's score, and its score after ``evidence`` is taken out of the history.
    rank, rank_without
        The item's place (from 1) among all items outside the history, before and after.
    """

    item: int
    evidence: IntArray
    terms: FloatArray
    personal: bool
    general: bool
    score: float
    score_without: float
    rank: int
    rank_without: int

    @property
    def verified(self) -> bool:
        """Whether taking the named evidence away lowers the score, as the reason claims."""
        return len(self.evidence) > 0 and self.score_without < self.score

    def sentence(self, title: Callable[[int], str], verb: str | None = None) -> str:
        """The reason in words.

        Parameters
        ----------
        title
            The name of an item by its code.
        verb
            What the user did with the items, for example ``"read"``; without it "because of".
        """
        if not self.personal:
            return "popular with everybody" if self.general else "nothing is known that speaks for it"
        if not len(self.evidence):
            return "nothing in the history speaks for it by itself"
        named = _join([title(int(code)) for code in self.evidence])
        reason = f"because you {verb} {named}" if verb else f"because of {named}"
        return reason if self.verified else f"perhaps {reason} (without it the score does not fall)"


def because(model: Recommender, history: IntArray, items: Sequence[int] | IntArray, n: int = 2) -> list[Because]:
    """The reasons why ``model`` recommends ``items`` to somebody with ``history``.

    The evidence is read from :meth:`Recommender.contributions`; then the model scores the item
    once more without it, so that every reason carries its own proof.

    Parameters
    ----------
    model
        A fitted model.
    history
        int32 item codes, oldest first.
    items
        Codes of the recommended items.
    n
        At most so many items are named as evidence.
    """
    history = history[history >= 0]
    found = [_evidence(model, history, int(item), n) for item in items]
    nobody = history[:0]
    histories = [nobody, history, *(without(history, evidence) for evidence, _, _ in found)]
    scores = model.score_histories(Ragged.from_lists(histories))  # [2 + len(items), n_items]
    general = scores[0] > np.median(scores[0])
    reasons = []
    for row, (item, (evidence, terms, personal)) in enumerate(zip(items, found, strict=True), start=2):
        before, after = scores[1], scores[row]
        reasons.append(
            Because(
                item=int(item),
                evidence=evidence,
                terms=terms,
                personal=personal,
                general=bool(general[item]),
                score=float(before[item]),
                score_without=float(after[item]),
                rank=rank_of(before, int(item), history),
                rank_without=rank_of(after, int(item), history),
            )
        )
    return reasons


def without(history: IntArray, evidence: IntArray) -> IntArray:
    """``history`` without any event on the items of ``evidence``."""
    kept: IntArray = history[~np.isin(history, evidence)]
    return kept


def titles_of(ids: Ids, items: pl.DataFrame | None) -> list[str]:
    """A name for every item code: its title where ``items`` has a column of titles, else its id.

    Parameters
    ----------
    ids
        The catalogue.
    items
        Item table with a column ``item_id``; :func:`honeyguide.encode.items.title_column` says which one is of titles.
    """
    column = title_column(items) if items is not None else None
    names = ids.values.cast(pl.String)
    if items is None or column is None:
        return names.to_list()
    known = pl.DataFrame({"item_id": ids.values, "name": names})
    titles = items.select("item_id", title=pl.col(column).cast(pl.String))
    joined = known.join(titles, on="item_id", how="left", maintain_order="left")
    return joined.select(pl.coalesce("title", "name"))["title"].to_list()


def verb_for(columns: Iterable[str]) -> str | None:
    """What people do with items that are described by ``columns``; ``None`` where they do not tell."""
    return next((_VERBS[column] for column in columns if column in _VERBS), None)


def _evidence(model: Recommender, history: IntArray, item: int, n: int) -> tuple[IntArray, FloatArray, bool]:
    """The ``n`` items with the largest positive contributions; repeated events on an item are summed."""
    if not len(history):
        return np.empty(0, np.int32), np.empty(0, np.float32), False
    terms = model.contributions(history, item)
    codes, inverse = np.unique(history, return_inverse=True)
    sums = np.bincount(inverse, weights=terms).astype(np.float32)
    sums[codes == item] = 0.0  # what one has is no reason for itself
    order = np.argsort(-sums, kind="stable")[:n]
    order = order[sums[order] > 0]
    return codes[order].astype(np.int32), sums[order], bool(np.any(terms != 0))


def rank_of(scores: FloatArray, item: int, history: IntArray) -> int:
    """The place (from 1) of ``item`` by ``scores`` ``[n_items]`` among the items outside ``history``."""
    rivals = np.ones(len(scores), bool)
    rivals[history] = False
    return int(np.count_nonzero(rivals & (scores > scores[item]))) + 1


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
