"""What the directions of a model's states stand for: what their items have in common, in words, with p-values.

A direction is a latent of an autoencoder, a single number of the states, or any vector: what tells whether an input
is *active*. Shapes: n inputs, d width, m directions, M items, v values that describe items.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from honeyguide.core.errors import CapabilityError
from honeyguide.core.plugged import Plugged
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.topk import exclude_in_place, top_k
from honeyguide.encode.categories import category_columns, category_values
from honeyguide.plugins.recsae import RecSAE

NAMING, FITTING, JUDGING = 0, 1, 2  # parts of the users: concepts are named, the judge is fitted, they are verified
STRONGEST = 200  # inputs that a concept is named after, those of the highest activation
ITEMS = 30  # items of a concept, at most
_LATEST, _RECOMMENDED = 10, 10  # items of an input: the end of the history, and what the model recommends after it
_CLEAR = 3.0  # standard deviations above chance from which an item belongs to a direction
_LEAST = 3  # items without which a direction stands for nothing
_SIGNIFICANT = 0.05
_WORDS = 3  # values, and words of titles, in a name at most
_FEW = 10  # items that may share a word in any case
_YEAR = re.compile(r"year|(^|_)released?($|_)")
_WORD = re.compile(r"[^\W\d_]{3,}")
_BLOCK = 2048


@dataclass(frozen=True)
class Inputs:
    """Histories that a model was asked with, and what passed through it.

    Parameters
    ----------
    states
        float32 ``[n, d]``.
    items
        ``[n, M]``, 1 for the latest items of the history and for those that the model recommends after it.
    users
        int64 ``[n]``: whose histories.
    user_parts
        int64, of every user: ``NAMING``, ``FITTING`` or ``JUDGING``.
    """

    states: FloatArray
    items: sp.csr_matrix
    users: npt.NDArray[np.int64]
    user_parts: npt.NDArray[np.int64]

    @property
    def parts(self) -> npt.NDArray[np.int64]:
        """int64 ``[n]``: the part of each input; all of a user are in one."""
        return self.user_parts[self.users]


def autoencoder_of(model: Recommender) -> RecSAE:
    """The plug-in of ``model`` whose latents are explained.

    Raises
    ------
    CapabilityError
        If it has none that is switched on.
    """
    plugins = model.active if isinstance(model, Plugged) else []
    found = next((plugin for plugin in plugins if isinstance(plugin, RecSAE)), None)
    if found is None:
        raise CapabilityError(
            f"{model.name} has no autoencoder on its states.", "Fit one with --model sasrec+recsae, or MODEL+recsae."
        )
    return found


def gather_inputs(plugin: RecSAE, histories: Ragged, n: int = 40_000, seed: int = 0) -> Inputs:
    """Inputs of the users of ``histories``: at most ``n``, drawn; of a sequence model after any of its events.

    Half of the users are for naming, a quarter to fit a judge, a quarter for verification.
    """
    rng = np.random.default_rng(seed)
    states, read, users = plugin.inputs(histories)
    rows = np.sort(rng.permutation(len(states))[:n])
    states, users = states[rows], users[rows]
    if len(read) == len(histories) and "positions" in plugin.plain().states:  # read up to each event
        lengths = rows - read.offsets[users] + 1
        starts = read.offsets[users]
    else:
        lengths, starts = read.lengths[rows], read.offsets[:-1][rows]
    seen = Ragged(np.concatenate([[0], np.cumsum(lengths)]), read.values[_ranges(starts, lengths)]).known()
    recommended = _recommended(states, plugin.plain().item_vectors(), seen)  # type: ignore[attr-defined]
    m = recommended.shape[1]
    items = (seen.last(_LATEST).to_csr(m) + recommended).sign()
    parts = rng.permutation(np.array([NAMING, NAMING, FITTING, JUDGING])[np.arange(len(histories)) % 4])
    return Inputs(states, sp.csr_matrix(items), users, parts)


def _ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The places ``start .. start + length`` of each range, one after the other."""
    ends = np.cumsum(lengths)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    found: npt.NDArray[np.int64] = np.repeat(starts, lengths) + within
    return found


def _recommended(states: FloatArray, vectors: FloatArray, seen: Ragged) -> sp.csr_matrix:
    lists = np.empty((len(states), min(_RECOMMENDED, len(vectors))), np.int32)
    for start in range(0, len(states), _BLOCK):
        rows = slice(start, start + _BLOCK)
        scores = states[rows] @ vectors.T
        exclude_in_place(scores, seen.take(rows))
        lists[rows] = top_k(scores, lists.shape[1])[0]
    filled = lists >= 0
    return Ragged.from_groups(np.nonzero(filled)[0], lists[filled], len(lists)).to_csr(len(vectors))


# -- directions -----------------------------------------------------------------------------------


def latent_activations(plugin: RecSAE, states: FloatArray) -> sp.csr_matrix:
    """``[n, m]``: the values of the latents that are kept of each state."""
    codes = plugin.codes(states)
    offsets = np.arange(0, codes.values.size + 1, max(1, codes.values.shape[1]))
    found = sp.csr_matrix((codes.values.ravel(), codes.latents.ravel(), offsets), (len(states), plugin.n_latents))
    found.eliminate_zeros()
    return found


def positive_activations(values: FloatArray) -> sp.csr_matrix:
    """``[n, m]``: a direction is active where its value is above 0."""
    return sp.csr_matrix(np.maximum(values, 0))


def rare_activations(values: FloatArray, share: float) -> sp.csr_matrix:
    """``[n, m]``: a direction is active in the ``share`` of the inputs in which its value is highest."""
    bounds = np.maximum(np.quantile(values, 1 - share, axis=0), 0)
    return sp.csr_matrix(np.where(values > bounds, values, 0))


def random_directions(states: FloatArray, n: int, seed: int) -> FloatArray:
    """float32 ``[n_inputs, n]``: how far ``states`` lie in ``n`` directions drawn uniformly."""
    drawn = np.random.default_rng(seed).normal(size=(states.shape[1], n))
    return np.asarray(states @ (drawn / np.linalg.norm(drawn, axis=0)), np.float32)


# -- names ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vocabulary:
    """What items are described by.

    Parameters
    ----------
    values
        ``[M, v]``: which of the values of categorical columns, and decades, every item has.
    names
        Of the values; a value is told apart from an equal one of another column.
    words
        ``[M, w]``: words of the titles that a few items share, but not most.
    word_names
        Of the words.
    """

    values: sp.csr_matrix
    names: list[str]
    words: sp.csr_matrix
    word_names: list[str]

    @classmethod
    def of(cls, items: pl.DataFrame, titles: Sequence[str]) -> Vocabulary:
        """Read an item table, one row for each item code, and the items' titles."""
        columns = category_columns(items)
        years = [c for c, t in items.schema.items() if t.is_integer() and _YEAR.search(c.lower())]
        described: list[list[tuple[str, str]]] = [[] for _ in titles]
        for column in columns:
            for row, cell in zip(described, items[column].to_list(), strict=True):
                row += [(column, value) for value in category_values(cell)]
        for column in years:
            for row, year in zip(described, items[column].to_list(), strict=True):
                row += [(column, f"{year // 10 * 10}s")] if year is not None else []
        values, names = _incidence(described)
        words, found = _incidence([[("", word) for word in _WORD.findall(title.lower())] for title in titles])
        shared = np.asarray(words.sum(axis=0)).ravel()
        kept = np.flatnonzero((shared >= _LEAST) & (shared <= max(_FEW, len(titles) // 50)))
        return cls(values, [name for _, name in names], words[:, kept], [found[w][1] for w in kept])

    def having(self, values: Sequence[int]) -> IntArray:
        """Codes of the items that have one of ``values``."""
        return np.flatnonzero(self.values[:, list(values)].getnnz(axis=1)).astype(np.int32)


def _incidence(described: list[list[tuple[str, str]]]) -> tuple[sp.csr_matrix, list[tuple[str, str]]]:
    codes: dict[tuple[str, str], int] = {}
    lists = [sorted({codes.setdefault(value, len(codes)) for value in row}) for row in described]
    return Ragged.from_lists(lists).to_csr(len(codes)), list(codes)


@dataclass(frozen=True)
class Concept:
    """What a direction stands for.

    Parameters
    ----------
    direction
        Its number; of a latent, that of the autoencoder.
    name
        The values that its items share beyond chance, the surest first, and words of their titles; where there is
        none, the words of largest TF-IDF.
    values
        Codes in the vocabulary of those in the name.
    p_values
        Of every value that is enriched, corrected over all directions and values: below .05.
    items
        Codes of the items that occur with it beyond chance, the clearest first.
    share
        Of the inputs in which it is active.
    """

    direction: int
    name: str
    values: tuple[int, ...]
    p_values: dict[str, float]
    items: IntArray
    share: float


def name_concepts(activations: sp.csr_matrix, inputs: Inputs, vocabulary: Vocabulary) -> list[Concept]:
    """The concepts of all directions whose items have something to say; only the naming part is read.

    An item belongs to a direction if it occurs in more of its ``STRONGEST`` naming inputs than chance explains, by
    three standard deviations. A value is enriched if that many of these items have it, by the hypergeometric test
    against all items that occur, at 5 % after the correction of Benjamini & Yekutieli (2001), which allows for any
    dependence, over all directions and values.
    """
    naming = inputs.parts == NAMING
    involved = inputs.items[naming]
    members = _members(_strongest(activations[naming]), involved)
    sizes = members.lengths
    occurs = np.asarray(involved.sum(axis=0)).ravel() > 0
    taken = members.to_csr(len(occurs))
    described = sp.csr_matrix(vocabulary.values.multiply(occurs[:, None]))
    p = _hypergeometric(taken @ described, sizes, described, int(occurs.sum()))
    q = _corrected(p, sizes >= _LEAST)
    words = taken @ vocabulary.words
    share = np.asarray((activations > 0).mean(axis=0)).ravel()
    rarity = np.log(len(occurs) / np.maximum(np.asarray(vocabulary.words.sum(axis=0)).ravel(), 1))
    concepts = []
    for direction in np.flatnonzero(sizes >= _LEAST):
        enriched = np.flatnonzero(q[direction] < _SIGNIFICANT)
        enriched = enriched[np.argsort(p[direction, enriched], kind="stable")]
        said = [vocabulary.names[v] for v in enriched[:_WORDS]]
        said += [vocabulary.word_names[w] for w in _telling(words[direction], rarity, bool(said))]
        sure = {vocabulary.names[v]: float(q[direction, v]) for v in enriched}
        concepts.append(
            Concept(
                direction=int(direction),
                name=", ".join(said) or "no words in common",
                values=tuple(enriched[:_WORDS].tolist()),
                p_values=sure,
                items=members[int(direction)],
                share=float(share[direction]),
            )
        )
    return concepts


def _strongest(activations: sp.csr_matrix) -> sp.csr_matrix:
    """``[m, n]``, 1 for the inputs of highest activation of every direction."""
    columns = sp.csc_matrix(activations)
    kept = []
    for start, stop in zip(columns.indptr[:-1], columns.indptr[1:], strict=True):
        order = np.argsort(-columns.data[start:stop], kind="stable")[:STRONGEST]
        kept.append(columns.indices[start:stop][order])
    return Ragged.from_lists(kept).to_csr(activations.shape[0])


def _members(strongest: sp.csr_matrix, involved: sp.csr_matrix) -> Ragged:
    """The items of every direction: ``(c - n p) / sqrt(n p (1 - p))`` of its c inputs of n with the item is large."""
    p = (np.asarray(involved.sum(axis=0)).ravel() + 1) / (involved.shape[0] + 2)  # of an item in any input
    n = np.asarray(strongest.sum(axis=1)).ravel()
    kept = []
    for start in range(0, len(n), _BLOCK):
        c = (strongest[start : start + _BLOCK] @ involved).toarray()
        expected = n[start : start + _BLOCK, None] * p
        z = (c - expected) / np.sqrt(np.maximum(expected * (1 - p), 1e-9))
        best = np.argsort(-z, axis=1, kind="stable")[:, :ITEMS]
        clear = np.take_along_axis(z, best, axis=1) >= _CLEAR
        kept += [row[good] for row, good in zip(best, clear, strict=True)]
    return Ragged.from_lists(kept)


def _hypergeometric(
    found: sp.csr_matrix, sizes: npt.NDArray[np.int64], described: sp.csr_matrix, population: int
) -> npt.NDArray[np.float64]:
    """``[m, v]``: the chance that so many or more of a direction's items, drawn from all, have the value."""
    from scipy.stats import hypergeom

    p = np.ones(found.shape)
    cells = found.tocoo()
    having = np.asarray(described.sum(axis=0)).ravel().astype(int)
    cases = np.stack([cells.data.astype(int), having[cells.col], sizes[cells.row]], axis=1)
    distinct, place = np.unique(cases, axis=0, return_inverse=True)  # few: the test is slow
    p[cells.row, cells.col] = hypergeom.sf(distinct[:, 0] - 1, population, distinct[:, 1], distinct[:, 2])[
        place.ravel()
    ]
    return p


def _corrected(p: npt.NDArray[np.float64], tested: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    from scipy.stats import false_discovery_control

    q = np.ones_like(p)
    if tested.any() and p.shape[1]:
        q[tested] = false_discovery_control(p[tested].ravel(), method="by").reshape(-1, p.shape[1])
    return q


def _telling(counts: sp.csr_matrix, rarity: npt.NDArray[np.float64], sure: bool) -> npt.NDArray[np.int64]:
    """The words of largest TF-IDF: beside a sure name those that three items share, else those of any."""
    enough = counts.data >= (_LEAST if sure else 1)
    words = counts.indices[enough]
    order = np.argsort(-counts.data[enough] * rarity[words], kind="stable")
    found: npt.NDArray[np.int64] = words[order[:_WORDS]].astype(np.int64)
    return found
