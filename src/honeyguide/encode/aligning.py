"""Tuning a text encoder so that users' and items' profiles meet in one space (EasyRec, Ren & Huang 2025).

Shapes: b users of a batch, t tokens, d width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.core.errors import ConfigError, DataError
from honeyguide.core.fitting import FitOptions, ModelConfig
from honeyguide.encode.text import SentenceTransformerEncoder, text_encoder
from honeyguide.nn.pairs import PairSampler
from honeyguide.nn.trainer import Trainer, TrainerSettings, choose_device, seeded

_SHARE, _MASKED, _RANDOM = 0.15, 0.8, 0.1  # of BERT: tokens to be told, of these hidden, of these exchanged


class AlignConfig(ModelConfig):
    """How an encoder is tuned.

    Parameters
    ----------
    encoder
        Where it starts: a model of sentence-transformers that :func:`~honeyguide.encode.text.text_encoder` knows.
    epochs, batch, lr
        Of Adam; a batch is of users, each with an item taken and one not taken.
    temperature
        Of the softmax over cosines.
    mlm
        Weight of the masked language model on all three texts; 0 leaves it out.
    max_tokens
        Longest text.
    layers
        Only so many of the last layers are trained; ``None`` for all, with the word vectors.
    wordings
        How many wordings of a profile are drawn from.
    steps
        Ends an epoch early; ``None`` for all users.
    """

    encoder: str = "minilm"
    epochs: int = Field(default=1, ge=1)
    batch: int = Field(default=32, ge=2)
    lr: float = Field(default=5e-5, gt=0)
    temperature: float = Field(default=0.05, gt=0)
    mlm: float = Field(default=0.1, ge=0)
    max_tokens: int = Field(default=64, ge=8)
    layers: int | None = Field(default=None, ge=1)
    wordings: int = Field(default=3, ge=1)
    steps: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class Corpus:
    """Profiles of one data set, and who took what in its training part.

    Parameters
    ----------
    users, items
        ``[n][v]`` and ``[m][v]``: wordings of every profile; empty texts are never read.
    pairs
        ``[n, m]``, CSR.
    """

    users: Sequence[Sequence[str]]
    items: Sequence[Sequence[str]]
    pairs: sp.csr_matrix


@dataclass(frozen=True)
class Tokens:
    """Texts of a batch: ids and mask, int64 ``[n, t]``."""

    ids: Tensor
    mask: Tensor

    def to(self, device: torch.device) -> Tokens:
        """The same on ``device``."""
        return Tokens(self.ids.to(device), self.mask.to(device))


@dataclass(frozen=True)
class TextBatch:
    """Users, an item that each took and one that it did not, row by row in one table of 3 b texts.

    Parameters
    ----------
    texts
        The b users first, then the b items taken, then the others.
    hidden
        The same texts with tokens masked; ``None`` without a masked language model.
    labels
        int64 ``[3 b, t]``: the tokens to be told, -100 elsewhere.
    """

    texts: Tokens
    hidden: Tokens | None = None
    labels: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        """The same batch on ``device``."""
        return type(self)(
            self.texts.to(device),
            self.hidden.to(device) if self.hidden is not None else None,
            self.labels.to(device) if self.labels is not None else None,
        )


class TextBatches:
    """Every user of every corpus once an epoch, all mixed; a pure function of epoch and number."""

    def __init__(self, corpora: Sequence[Corpus], tokenizer: Any, config: AlignConfig) -> None:
        self.corpora, self.tokenizer, self.config = corpora, tokenizer, config
        self.samplers = [PairSampler(c.pairs, 1, None) for c in corpora]
        rows = [
            (number, user)
            for number, corpus in enumerate(corpora)
            for user in np.flatnonzero(np.diff(corpus.pairs.indptr)).tolist()
            if corpus.users[user][0]
        ]
        if len(rows) < 2:
            raise DataError("fewer than two users have a profile.", "Give data with histories and with texts of items.")
        self.rows: npt.NDArray[np.int64] = np.array(rows)

    def epoch(self, number: int) -> TextEpoch:
        """The batches of one epoch."""
        order = np.random.default_rng([self.config.seed, number]).permutation(len(self.rows))
        return TextEpoch(self, number, order)

    def batch(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> TextBatch:
        """The texts of some users and of the items drawn for them."""
        users, taken, others = [], [], []
        for number, user in self.rows[rows].tolist():
            corpus, sampler = self.corpora[number], self.samplers[number]
            own = corpus.pairs.indices[corpus.pairs.indptr[user] : corpus.pairs.indptr[user + 1]]
            negative = int(sampler.draw(rng, np.array([user]))[0])
            users.append(self._one(corpus.users[user], rng))
            taken.append(self._one(corpus.items[int(rng.choice(own))], rng))
            others.append(self._one(corpus.items[max(negative, 0)], rng))
        coded = self.tokenizer(
            [*users, *taken, *others],
            padding=True,
            truncation=True,
            max_length=self.config.max_tokens,
            return_tensors="pt",
            return_special_tokens_mask=True,
        )
        texts = Tokens(coded["input_ids"], coded["attention_mask"])
        if not self.config.mlm:
            return TextBatch(texts)
        hidden, labels = self._masked(texts.ids, coded["special_tokens_mask"].bool(), rng)
        return TextBatch(texts, Tokens(hidden, texts.mask), labels)

    def _one(self, ways: Sequence[str], rng: np.random.Generator) -> str:
        return ways[int(rng.integers(min(self.config.wordings, len(ways))))]

    def _masked(self, ids: Tensor, special: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """15 % of the tokens are to be told: of these 80 % are hidden, 10 % exchanged, 10 % left."""
        draw, kind = (torch.from_numpy(rng.random(tuple(ids.shape))) for _ in range(2))
        told = (draw < _SHARE) & ~special
        anything = torch.from_numpy(rng.integers(0, len(self.tokenizer), tuple(ids.shape)))
        hidden = torch.where(told & (kind < _MASKED), torch.full_like(ids, self.tokenizer.mask_token_id), ids)
        hidden = torch.where(told & (kind >= _MASKED) & (kind < _MASKED + _RANDOM), anything, hidden)
        return hidden, torch.where(told, ids, torch.full_like(ids, -100))


@dataclass(frozen=True)
class TextEpoch:
    """The batches of one epoch, made when asked for."""

    source: TextBatches
    number: int
    order: npt.NDArray[np.int64]

    def __len__(self) -> int:
        whole = max(1, len(self.order) // self.source.config.batch)  # a last batch that is smaller is left out
        return whole if self.source.config.steps is None else min(whole, self.source.config.steps)

    def __getitem__(self, index: int) -> TextBatch:
        c = self.source.config
        rng = np.random.default_rng([c.seed, self.number, index])
        return self.source.batch(self.order[index * c.batch : (index + 1) * c.batch], rng)


class Aligned(nn.Module):
    """The encoder with a head that tells masked tokens. V words.

    Parameters
    ----------
    network
        A SentenceTransformer: its first module reads tokens, and its vectors are means over them.
    layers
        See :class:`AlignConfig`.
    """

    def __init__(self, network: Any, layers: int | None) -> None:
        super().__init__()
        self.reader = network[0].auto_model
        words = self.reader.get_input_embeddings().weight  # [V, d]
        self.head = nn.Sequential(nn.Linear(words.shape[1], words.shape[1]), nn.GELU(), nn.LayerNorm(words.shape[1]))
        self.bias = nn.Parameter(torch.zeros(len(words)))
        if layers is not None:
            self.reader.requires_grad_(False)
            for layer in self.reader.encoder.layer[-layers:]:
                layer.requires_grad_(True)

    def states(self, texts: Tokens) -> Tensor:
        """``[n, t, d]``."""
        hidden: Tensor = self.reader(input_ids=texts.ids, attention_mask=texts.mask).last_hidden_state
        return hidden

    def vectors(self, texts: Tokens) -> Tensor:
        """``[n, d]`` of length one: means over the tokens."""
        mask = texts.mask[:, :, None].float()
        return F.normalize((self.states(texts) * mask).sum(1) / mask.sum(1).clamp_min(1), dim=-1)

    def told(self, batch: TextBatch) -> Tensor:
        """Mean cross-entropy of the masked tokens."""
        assert batch.hidden is not None
        assert batch.labels is not None
        asked = batch.labels != -100
        states = self.head(self.states(batch.hidden)[asked])  # [masked, d]
        logits = states @ self.reader.get_input_embeddings().weight.T + self.bias
        return F.cross_entropy(logits, batch.labels[asked]) if asked.any() else logits.sum()


def contrast(vectors: Tensor, temperature: float) -> Tensor:
    """``-log softmax`` of each user's own item against the items of all users, taken and not, ``[b]``.

    Every user sees 2 b - 1 negatives; users are not told apart by data set.

    Parameters
    ----------
    vectors
        ``[3 b, d]`` of length one: users, items taken, items not taken.
    temperature
        Positive.
    """
    b = len(vectors) // 3
    users, items = vectors[:b], vectors[b:]
    logits = users @ items.T / temperature  # [b, 2 b]
    return F.cross_entropy(logits, torch.arange(b, device=logits.device), reduction="none")


def align(
    corpora: Sequence[Corpus],
    folder: Path,
    config: AlignConfig | None = None,
    options: FitOptions | None = None,
    validate: Callable[[Any], float] | None = None,
) -> list[dict[str, float]]:
    """Tune an encoder on profiles, write it into ``folder``, and return the learning curve.

    ``text_encoder(str(folder))`` reads it: the option ``encoder`` of every model that reads text takes the folder.

    Parameters
    ----------
    corpora
        Of one or several data sets.
    folder
        Where the tuned encoder goes, as ``SentenceTransformer.save`` writes it.
    config
        How.
    options
        Progress, checkpoints and device.
    validate
        From the SentenceTransformer as it is to a value, higher is better; called after every epoch. The last
        weights are kept without it.

    Raises
    ------
    ConfigError
        If the encoder is none that can be tuned.
    DataError
        If there is nothing to learn from.
    """
    c, options = config or AlignConfig(), options or FitOptions()
    network = _network(c.encoder)
    device = choose_device(options.device)
    with seeded(c.seed, device):
        aligned = Aligned(network, c.layers).to(device)
    batches = TextBatches(corpora, network.tokenizer, c)

    def loss(batch: TextBatch) -> Tensor:
        total = contrast(aligned.vectors(batch.texts), c.temperature).mean()
        return total + c.mlm * aligned.told(batch) if c.mlm else total

    settings = TrainerSettings(epochs=c.epochs, lr=c.lr, clip=1.0, patience=c.epochs, seed=c.seed)
    judge = (lambda: validate(network)) if validate is not None else None
    identity = f"align {c.model_dump_json()} {_digest(corpora)}"
    curve = Trainer(aligned, loss, batches, settings, options, judge, identity, "recall@20").run()
    network.to("cpu").eval().save(str(folder), create_model_card=False, safe_serialization=True)
    return curve


def _network(name: str) -> Any:
    """A copy of the encoder's network, to be changed."""
    encoder = text_encoder(name)
    if not isinstance(encoder, SentenceTransformerEncoder):
        raise ConfigError(
            f"The text encoder {name!r} cannot be tuned.", "Name minilm, or a folder of sentence-transformers."
        )
    return SentenceTransformerEncoder(encoder.folder, encoder.name, encoder.release)._network


def _digest(corpora: Sequence[Corpus]) -> str:
    seen = hashlib.sha256()
    for corpus in corpora:
        for array in (corpus.pairs.indptr, corpus.pairs.indices):
            seen.update(np.ascontiguousarray(array).tobytes())
        for text in (*corpus.users, *corpus.items):
            seen.update("\0".join(text).encode())
    return seen.hexdigest()[:16]
