from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from scipy.stats import false_discovery_control, hypergeom

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError
from honeyguide.core.plugged import Plugged
from honeyguide.core.ragged import FloatArray, Ragged
from honeyguide.explain.concept_check import Ablations, verify
from honeyguide.explain.concepts import (
    FITTING,
    JUDGING,
    NAMING,
    Inputs,
    Vocabulary,
    autoencoder_of,
    gather_inputs,
    latent_activations,
    name_concepts,
    positive_activations,
    random_directions,
    rare_activations,
)
from honeyguide.models.linear.ials import IALS
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.sequence.sasrec import SASRec
from honeyguide.plugins.recsae import RecSAE

GENRES = ("horror", "comedy", "western")
N_ITEMS, N_INPUTS = 90, 900


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    """Thirty items of each genre; a third of the westerns is named after a river."""
    genres = [[GENRES[i // 30]] for i in range(N_ITEMS)]
    titles = [f"{'River' if i >= 60 and i % 3 == 0 else 'Tale'} {'abcdefghij'[i % 10]}{i}" for i in range(N_ITEMS)]
    return pl.DataFrame({"item_id": range(N_ITEMS), "title": titles, "genres": genres})


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """Every input is about one genre: eight of ten of its items are of it."""
    rng = np.random.default_rng(0)
    about = np.arange(N_INPUTS) % 3
    own = about[:, None] * 30 + rng.integers(0, 30, (N_INPUTS, 8))
    items = np.concatenate([own, rng.integers(0, N_ITEMS, (N_INPUTS, 2))], axis=1)
    lists = Ragged.from_lists([np.unique(row).astype(np.int32) for row in items])
    parts = np.array([NAMING, NAMING, FITTING, JUDGING])[rng.permutation(N_INPUTS) % 4]
    states = rng.normal(size=(N_INPUTS, 4)).astype(np.float32)
    return Inputs(states, lists.to_csr(N_ITEMS), np.arange(N_INPUTS), parts)


@pytest.fixture(scope="module")
def activations() -> sp.csr_matrix:
    """One direction for each genre, one that is active by chance, one that never is."""
    rng = np.random.default_rng(1)
    strength = rng.random((N_INPUTS, 5)).astype(np.float32) + 0.1
    active = np.zeros((N_INPUTS, 5), bool)
    active[np.arange(N_INPUTS), np.arange(N_INPUTS) % 3] = True
    active[:, 3] = rng.random(N_INPUTS) < 0.3
    return sp.csr_matrix(np.where(active, strength, 0))


class Words:
    """An encoder for tests: one number for each genre, and one for everything else."""

    name, modality, version, dim = "words-of-test_concepts", "text", "1", 4

    def encode(self, assets: Sequence[str]) -> FloatArray:
        counts = np.array([[text.lower().count(genre) for genre in GENRES] + [0.1] for text in assets], np.float32)
        return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), np.float32)


def test_what_is_planted_is_found(inputs: Inputs, activations: sp.csr_matrix, table: pl.DataFrame) -> None:
    concepts = name_concepts(activations, inputs, Vocabulary.of(table, table["title"].to_list()))
    named = {concept.direction: concept for concept in concepts}
    for direction, genre in enumerate(GENRES):
        assert named[direction].name.split(", ")[0] == genre
        assert set(named[direction].p_values) == {genre}
        assert (named[direction].items // 30 == direction).all()
        assert named[direction].share == pytest.approx(1 / 3)
    assert "river" in named[2].name and "river" not in named[0].name
    assert 3 not in named or not named[3].p_values  # chance stands for nothing
    assert 4 not in named


def test_p_values_are_hypergeometric_and_corrected_over_all(
    inputs: Inputs, activations: sp.csr_matrix, table: pl.DataFrame
) -> None:
    concepts = name_concepts(activations, inputs, Vocabulary.of(table, table["title"].to_list()))
    p = np.ones((len(concepts), 3))
    for row, concept in enumerate(concepts):
        for genre in range(3):
            x = int((concept.items // 30 == genre).sum())
            if x:
                p[row, genre] = hypergeom.sf(x - 1, N_ITEMS, 30, len(concept.items))
    q = false_discovery_control(p.ravel(), method="by").reshape(p.shape)
    for row, concept in enumerate(concepts):
        assert concept.p_values == {GENRES[g]: pytest.approx(float(q[row, g])) for g in np.flatnonzero(q[row] < 0.05)}


def test_names_are_made_of_the_naming_part_alone(
    inputs: Inputs, activations: sp.csr_matrix, table: pl.DataFrame
) -> None:
    """Trap: verification inputs must be others than those that the concept was named after."""
    vocabulary = Vocabulary.of(table, table["title"].to_list())
    other = inputs.items.tolil()
    rest = np.flatnonzero(inputs.parts != NAMING)
    other[rest] = 0
    other[rest, 5] = 1
    concepts = name_concepts(activations, inputs, vocabulary)
    again = name_concepts(activations, replace(inputs, items=sp.csr_matrix(other)), vocabulary)
    assert [c.name for c in concepts] == [c.name for c in again]
    assert [c.items.tolist() for c in concepts] == [c.items.tolist() for c in again]


def test_true_concepts_are_confirmed_and_false_ones_are_not(
    inputs: Inputs, activations: sp.csr_matrix, table: pl.DataFrame
) -> None:
    concepts = name_concepts(activations, inputs, Vocabulary.of(table, table["title"].to_list()))[:3]
    vectors = Words().encode([cell[0] for cell in table["genres"].to_list()])
    verdicts = verify(concepts, activations, inputs, vectors, Words())
    assert all(verdict is not None and verdict.f1 > 0.95 for verdict in verdicts)
    lies = [replace(c, name=GENRES[(c.direction + 1) % 3]) for c in concepts]
    wrong = verify(lies, activations, inputs, vectors, Words())
    assert all(verdict is not None and verdict.f1 < 0.7 for verdict in wrong)
    chance = [replace(concepts[0], direction=3)]
    (verdict,) = verify(chance, activations, inputs, vectors, Words())
    assert verdict is not None and verdict.f1 < 0.7 and verdict.examples == 100
    assert verify([replace(concepts[0], direction=4)], activations, inputs, vectors, Words()) == [None]


def test_the_judge_sees_no_activation(inputs: Inputs, activations: sp.csr_matrix, table: pl.DataFrame) -> None:
    """Trap: how strongly a direction is active must not matter, only where it is."""
    concepts = name_concepts(activations, inputs, Vocabulary.of(table, table["title"].to_list()))
    vectors = Words().encode([cell[0] for cell in table["genres"].to_list()])
    flat = sp.csr_matrix(activations > 0, dtype=np.float32)
    assert verify(concepts, activations, inputs, vectors, Words()) == verify(concepts, flat, inputs, vectors, Words())


def test_controls_are_active_as_often_as_asked() -> None:
    states = np.random.default_rng(0).normal(size=(1000, 6)).astype(np.float32)
    assert positive_activations(states).nnz == (states > 0).sum()
    rare = rare_activations(states, 0.02)
    np.testing.assert_allclose((rare > 0).sum(axis=0), 20, atol=1)
    assert rare[:, 0].max() == states[:, 0].max()
    drawn = random_directions(states, 50, seed=1)
    np.testing.assert_allclose(drawn.std(axis=0), 1, atol=0.15)  # of length one
    np.testing.assert_array_equal(drawn, random_directions(states, 50, seed=1))


@pytest.mark.parametrize("sequence", [True, False])
def test_inputs_of_a_model(sequence: bool, books: Dataset) -> None:
    sae = RecSAE(expansion=4, k=2, epochs=1)
    base = SASRec(dim=8, blocks=1, heads=1, max_len=12, epochs=1) if sequence else IALS(factors=8, iterations=2)
    model = base.plug(sae).fit(books)
    plugin, histories = autoencoder_of(model), books.histories("train")
    found = gather_inputs(plugin, histories, n=200, seed=3)
    assert len(found.states) == 200 and found.items.shape == (200, books.n_items)
    assert set(np.unique(found.parts)) == {NAMING, FITTING, JUDGING}
    row = int(np.argmax(found.parts == JUDGING))
    user = int(found.users[row])
    latest = np.flatnonzero(found.items[row].toarray()[0])
    assert 10 < len(latest) <= 20 and len(set(latest.tolist()) & set(histories[user].tolist())) <= 10
    assert latent_activations(plugin, found.states).getnnz(axis=1).max() <= 2


def test_switching_a_latent_off_changes_the_lists_of_its_users_alone(books: Dataset) -> None:
    model = IALS(factors=8, iterations=4).plug(RecSAE(expansion=4, k=2, epochs=20, lr=0.01, batch=64)).fit(books)
    assert isinstance(model, Plugged)
    plugin, histories = autoencoder_of(model), books.histories("train", "valid")
    lists = Ablations(model, plugin, histories, books.histories("test"))
    latent = int(np.diff(lists.active.indptr).argmax())
    users = lists.users_of(latent)
    assert 0 < len(users) < books.n_users
    items = np.unique(lists.lists[users[:5], :3]).astype(np.int32)
    found = lists.switch_off(latent, items)
    assert found.users == len(users) and found.after != found.before and 0 <= found.p_value <= 1
    assert len(found.fallen) and len(found.ndcg_before) == len(found.ndcg_after) <= len(users)
    np.testing.assert_array_equal(lists.lists, Ablations(model, plugin, histories, books.histories("test")).lists)


def test_a_model_without_the_plug_in_is_refused(books: Dataset) -> None:
    with pytest.raises(CapabilityError, match="no autoencoder") as caught:
        autoencoder_of(ItemKNN())
    assert "+recsae" in str(caught.value)
    with pytest.raises(CapabilityError):
        autoencoder_of(IALS().plug(RecSAE(enabled=False)))
