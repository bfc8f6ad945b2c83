"""AlphaRec: vectors of texts, mapped and propagated over the graph; no item has a vector of its own (Sheng 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ArtifactError, ConfigError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray
from honeyguide.core.requests import Requests
from honeyguide.core.resources import Estimate
from honeyguide.encode.items import ItemText, encoding_seconds
from honeyguide.encode.text import text_encoder
from honeyguide.graph import BipartiteGraph
from honeyguide.models.factor.fold_in import popularity_scores
from honeyguide.models.factor.pair_training import PairConfig, PairModel, pair_batches, pair_forward, to_numpy
from honeyguide.models.graph.text_fold import TextFold, mean_texts
from honeyguide.nn.pairs import PairBatch
from honeyguide.nn.text_map import Kind, TextMap
from honeyguide.nn.trainer import choose_device, seeded


class AlphaRecConfig(PairConfig):
    """Options of :class:`AlphaRec`, beside those of :class:`~honeyguide.models.factor.pair_training.PairConfig`.

    Parameters
    ----------
    encoder, columns
        See :class:`~honeyguide.models.content.text_profile.TextProfileConfig`.
    projection
        ``"mlp"``; ``"linear"``, the probe of what the vectors of texts hold; ``"identity"``: the texts themselves are
        propagated and nothing is trained.
    components
        Principal components of the items' texts that are mapped, at most; none are taken with ``"identity"``.
    hidden
        Units of the MLP.
    layers
        Steps of propagation; 0 leaves the graph out.
    map
        Folder of a saved alpharec whose map is used as it is: nothing is trained, and its encoder and its
        projection are taken over.
    leave_out
        While training, a pair's user is made without the pair's item: neither its text nor its edge.
    alpha
        Weight of an instruction beside the history, from 0 to 1.
    """

    encoder: str = "auto"
    columns: tuple[str, ...] | None = None
    projection: Kind = "mlp"
    components: int = Field(128, ge=1)
    hidden: int = Field(256, ge=1)
    layers: int = Field(2, ge=0)
    map: str | None = None
    leave_out: bool = True
    alpha: float = Field(0.5, ge=0, le=1)
    fold_in: Literal["map"] = "map"
    loss: Literal["softmax", "contrastive"] = "softmax"
    temperature: float = Field(0.1, gt=0)
    lr: float = Field(1e-2, gt=0)
    epochs: int = Field(40, ge=1)
    patience: int = Field(5, ge=1)


class AlphaRecNetwork(nn.Module):
    """Texts of users and items, mapped and propagated. Shapes: n users, m items, r width of texts, d width.

    Parameters
    ----------
    graph
        Of the training pairs, symmetrically normalised.
    text_map
        f, all that is learnt.
    texts
        float32 ``[m, r]`` of the items; a user's is the mean of those of the items taken.
    config
        Options.
    """

    def __init__(self, graph: BipartiteGraph, text_map: TextMap, texts: FloatArray, config: AlphaRecConfig) -> None:
        super().__init__()
        self.users: Tensor  # [n, r], frozen, as are the others
        self.items: Tensor  # [m, r]
        self.lengths: Tensor  # [n, 1]
        self.graph, self.map, self.layers, self.leave_out = graph, text_map, config.layers, config.leave_out
        edges = _ones(graph.edges)
        lengths = np.maximum(np.diff(edges.indptr), 1).astype(np.float32)[:, None]
        for name, value in (("users", mean_texts(edges, texts)), ("items", texts), ("lengths", lengths)):
            self.register_buffer(name, torch.from_numpy(value), persistent=False)
        self._mixed: tuple[Tensor, Tensor, Tensor] | None = None

    def propagated(self) -> tuple[Tensor, Tensor, Tensor]:
        """Means of layers 0 to L ``[n, d]`` and ``[m, d]``; what an item adds to sqrt(|h|) times a user's, ``[m, d]``.

        The last is ``sum_l e_i^(l-1) / sqrt(d_i) / (L + 1)`` over l from 1 to L.
        """
        users, items = self.map(self.users), self.map(self.items)
        return self._propagate(users, items)

    def _propagate(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        whole_users, whole_items, summed = users, items, torch.zeros_like(items)
        for _ in range(self.layers):
            summed = whole_items  # of the layers so far
            users, items = self.graph.step(users, items)
            whole_users, whole_items = whole_users + users, whole_items + items
        share = 1 / (self.layers + 1)
        return whole_users * share, whole_items * share, self.graph.into_users(summed) * share

    def pair_vectors(self, batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
        """The means of layers 0 to L of a batch; a user's without the item that is to be found for it."""
        at, z = F.embedding, F.embedding(batch.users, self.users)
        if self.map.is_linear:  # P (Z W) = (P Z) W: propagated once, and a batch maps its own rows alone
            self._mixed = self._mixed or self._propagate(self.users, self.items)
            users, items, inward = self._mixed
        else:
            users, items, inward = self.propagated()
        own, others = at(batch.users, users), (at(batch.items, items), at(batch.negatives, items))
        if self.leave_out:
            n = at(batch.users, self.lengths)  # [b, 1]
            without = (n * z - at(batch.items, self.items)) / (n - 1).clamp_min(1)
            moved = z - without if self.map.is_linear else self.map(z) - self.map(without)
            own = own - moved / (self.layers + 1) - at(batch.items, inward) / n.sqrt()
        if self.map.is_linear:
            return self.map(own), self.map(others[0]), self.map(others[1])
        return own, *others

    def free_vectors(self, batch: PairBatch) -> tuple[Tensor, ...]:
        """What is learnt is nobody's: the weights of the map."""
        return tuple(p for p in self.map.parameters() if p.ndim == 2)

    def fold(self, empty: FloatArray) -> TextFold:
        """The present map as it answers requests; ``empty`` ``[m]`` are the scores without a history."""
        with torch.no_grad():
            _, outward, inward = self.propagated()
        share = 1 / (self.layers + 1)
        return TextFold(self.map, to_numpy(self.items), to_numpy(inward), unit(to_numpy(outward)), share, empty)


class AlphaRec(PairModel):
    """Score of item j = cos(e_u, e_j) up to the length of e_u, both means of their layers 0 to L.

    Layer 0 of an item is f(z_j), z_j the frozen vector of its text; that of a user f(z_u), the mean over the history.
    An instruction (capability ``instruction``) is read as an intention: ``(1 - alpha) z_u + alpha z_text`` is mapped.
    """

    name = "alpharec"
    Config = AlphaRecConfig
    config: AlphaRecConfig
    capabilities: ClassVar[frozenset[str]] = PairModel.capabilities | {"cold_items", "add_items", "instruction"}

    served: TextFold
    text: ItemText

    def estimate(self, data: Dataset) -> Estimate:
        """Texts; layers with their gradients; a batch. Early stopping is taken to end the run after half the epochs."""
        c, pairs = self.config, float(data.positives("train").height)
        encoder, nodes = text_encoder(c.encoder), float(data.n_users + data.n_items)
        width = encoder.dim if c.projection == "identity" else min(c.components, encoder.dim)
        batch, trained = c.pairs_per_batch(int(pairs)), c.map is None and c.projection != "identity"
        units = c.hidden if c.projection == "mlp" else 0
        memory = 4 * nodes * (2 * width + 4 * units + c.dim * (6 + 2 * c.layers)) + 60 * pairs
        step = batch * (c.scored * (3e-9 + 1.2e-10 * c.dim) + 2e-8 * c.dim)
        if units:
            step += nodes * units * (width + c.dim) * 8e-11
            step += 2 * c.layers * (5e-10 * 2 * pairs * c.dim + 4e-10 * nodes * c.dim)
        seconds = c.epochs / 2 * (pairs / batch) * step if trained else 0.0
        return Estimate(
            memory + 24.0 * batch * c.scored + 1.5e9, encoding_seconds(data.items, encoder, c.columns) + seconds + 0.5
        )

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        c, device, pairs = self.config, choose_device(options.device), data.matrix("train")
        source = _saved(c.map) if c.map is not None else None
        encoder = text_encoder(c.encoder if source is None else source.text.encoder)
        self.text = ItemText.of(data.items, encoder, c.columns)
        texts = self._texts(data)
        if source is not None:
            source.text.of_words(())  # is refused where the encoder is another version
            text_map = source.served.map
        else:
            with seeded(c.seed, device):
                text_map = TextMap.over(texts, c.projection, c.components, c.hidden, c.dim)
        network = AlphaRecNetwork(BipartiteGraph(pairs), text_map, text_map.read(texts), c).to(device)
        empty = popularity_scores(pairs)
        if source is not None or not text_map.n_parameters:
            self.report.curve, self.report.finished, self.served = [], True, network.fold(empty)
        else:
            forward, batches = pair_forward(network, c), pair_batches(pairs, c)
            self._train(network, forward, batches, data, options, lambda: network.fold(empty))
        text_map.to("cpu").eval()

    def _texts(self, data: Dataset) -> FloatArray:
        """float32 ``[m, D]``, frozen."""
        return self.text.vectors(data.items)

    def instructed(self, requests: Requests) -> FloatArray:
        """float32 ``[n, d]``: user vectors with the instructions as intentions; an empty one changes nothing.

        Who has no history is what is asked for.
        """
        words = self.text.of_words(requests.instruction or ())
        intentions, said = self.served.map.read(words), words.any(axis=1).astype(np.float32)
        alone = requests.histories.known().lengths == 0
        alpha = said * np.where(alone, 1.0, self.config.alpha).astype(np.float32)
        return self.hooks.edit_state(self.served.users(requests.histories, intentions, alpha), requests.histories)

    def _add_items(self, items: pl.DataFrame) -> None:
        self.served = self.served.grown(self.served.map.read(self.text.vectors(items)))

    @property
    def n_parameters(self) -> int:
        """Weights of the map."""
        return self.served.map.n_parameters

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays, meta = self.served.pack()
        return arrays, {"served": meta, "text": self.text.to_meta()}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.text, self.served = ItemText.from_meta(meta["text"]), TextFold.unpack(arrays, meta["served"])


def _saved(folder: str) -> AlphaRec:
    """The model whose map is taken over."""
    try:
        return AlphaRec.load(folder)
    except ArtifactError as error:
        raise ConfigError(
            f"alpharec: there is no map in {folder}: {error.message}", "Give the folder of a fitted alpharec as map."
        ) from error


def _ones(edges: sp.csr_matrix) -> sp.csr_matrix:
    """The same edges, each counting 1."""
    return sp.csr_matrix((np.ones(edges.nnz, np.float32), edges.indices, edges.indptr), shape=edges.shape)
