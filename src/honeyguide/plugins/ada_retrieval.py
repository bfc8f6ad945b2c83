"""Ada-Retrieval: a list is retrieved in rounds, and the user changes with what was retrieved (arXiv 2401.06633)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from honeyguide.core.artifact import Arrays
from honeyguide.core.dataset import Dataset
from honeyguide.core.fitting import FitOptions
from honeyguide.core.plugin import Hooks, Plugin, PluginConfig, Run
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Lists, Recommender
from honeyguide.core.requests import Requests
from honeyguide.core.resources import Estimate
from honeyguide.metrics.holdout import drawn_users, ndcg_of_lists
from honeyguide.models.sequence.next_item import NextItemModel, target_forward
from honeyguide.nn.adapters import Adapters
from honeyguide.nn.backbone import by_length, encode
from honeyguide.nn.batches import IGNORED, Batch, PackedWindows
from honeyguide.nn.forward import Forward, batch_loss
from honeyguide.nn.rounds import Unrolled, history_mask, retrieve
from honeyguide.nn.trainer import Trainer, TrainerSettings, seeded

_SAMPLE = 512  # histories whose states tell their scale
_BLOCK = 1024  # requests whose rounds are unrolled together


class AdaRetrievalConfig(PluginConfig):
    """Options of :class:`AdaRetrieval`.

    Parameters
    ----------
    k, rounds
        A list of ``k`` is made in ``rounds`` of ``ceil(k / rounds)`` items. What is asked for beyond ``k`` comes from
        the last round; a list that fits in the first is the backbone's. One round is the backbone, and nothing is
        learnt.
    decay
        lambda: the loss of round r counts lambda^(r - 1).
    items, users, filter
        Whether there is an item adapter, a user adapter, and a filter in the first. Without both adapters the backbone
        is trained for as many epochs more, and every round is the next slice of one ranking: the control.
    positives
        Which examples later rounds learn from: ``"all"`` as published, or those whose target was ``"missed"`` so far.
    joint
        Whether later rounds teach the backbone too, as published, or the adapters alone.
    residual
        ``"normalised"`` as published, or ``"zero"``: adapters start without effect; see
        :class:`~honeyguide.nn.adapters.Residual`.
    dropout
        Inside the adapters.
    epochs, patience
        Of the joint training.
    lr
        Its learning rate, as a share of the backbone's.
    """

    k: int = Field(100, ge=1)
    rounds: int = Field(5, ge=1)
    decay: float = Field(0.3, gt=0, le=1)
    items: bool = True
    users: bool = True
    filter: bool = True
    positives: Literal["all", "missed"] = "all"
    joint: bool = True
    residual: Literal["normalised", "zero"] = "zero"
    dropout: float = Field(0.18, ge=0, lt=1)
    epochs: int = Field(10, ge=1)
    patience: int = Field(10, ge=1)
    lr: float = Field(1.0, gt=0)

    @property
    def size(self) -> int:
        """Items a round."""
        return -(-self.k // self.rounds)


class AdaRetrieval(Plugin):
    """Rounds over a sequence model: it is fitted, then trained on together with the adapters, all rounds unrolled.

    In every round after the first the events of the history attend to what was retrieved before the backbone reads
    them, and the state it gives is changed by those of the earlier rounds. What is retrieved, in training and when
    serving, has neither the history nor earlier rounds in it.
    """

    name = "ada-retrieval"
    Config = AdaRetrievalConfig
    config: AdaRetrievalConfig
    needs: ClassVar[frozenset[str]] = frozenset({"inputs", "state"})
    model: NextItemModel

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self.adapters: Adapters | None = None

    def bind(self, model: Recommender) -> None:
        """Remember whose rounds these are."""
        assert isinstance(model, NextItemModel)  # all that give "inputs" are
        self.model = model

    # -- fitting ------------------------------------------------------------------------------

    def around_fit(self, fit: Callable[[Dataset], None], data: Dataset, run: Run) -> None:
        """Stage A fits the backbone; stage B goes on with it and the adapters. Valid chooses the epoch in both."""
        self.adapters = None
        fit(data)
        if self.config.rounds == 1:
            return
        model, train = self.model, data.histories("train")
        if self._adapts:
            adapters = self._adapters(run.seed)
            some = train.take(np.flatnonzero(train.lengths)[:_SAMPLE])
            adapters.start(_rms(model.item_vectors()), _rms(encode(model.network, some, model._max_len, model._device)))
            self.adapters = adapters.to(model._device)
        model.network.add_module("rounds", self.adapters)  # trained, averaged and kept with the backbone
        try:
            trained = self._train(train, data.histories("valid"), run)
        finally:
            del model.network.rounds
        if not trained:
            self.adapters = None

    @property
    def _adapts(self) -> bool:
        return self.config.items or self.config.users

    def _adapters(self, seed: int) -> Adapters:
        c = self.config
        with seeded(seed, torch.device("cpu")):
            dim = self.model.network.items.embedding_dim
            parts = {"items": c.items, "users": c.users, "filtered": c.filter, "normalised": c.residual == "normalised"}
            return Adapters(c.size, dim, c.dropout, **parts).eval()

    def _train(self, train: Ragged, valid: Ragged, run: Run) -> bool:
        """Whether there was time for a step."""
        c, model, report = self.config, self.model, run.model.report
        resolved: Any = model.resolved
        settings: TrainerSettings = replace(
            resolved.trainer(),
            epochs=c.epochs,
            patience=c.patience,
            lr=c.lr * resolved.lr,
            schedule="constant",
            warmup=0,
        )
        plain = batch_loss(model._forward(), model.hooks)
        trainer = Trainer(
            model.network,
            plain if self.adapters is None else round_loss(model, self.adapters, c),
            PackedWindows(train, model._max_len, int(resolved.batch_tokens), run.seed + 1),
            settings,
            _remaining(run.options, report.cpu_seconds),
            self._validation(train, valid),
            identity=f"{self.name} {c.model_dump_json()} {resolved.model_dump_json()} {model.hooks.identity}",
            metric=f"ndcg@{c.k}",
            hooks=model.hooks,
        )
        first = len(report.curve)
        report.curve = [*report.curve, *({**entry, "epoch": first + entry["epoch"]} for entry in trainer.run())]
        report.finished = report.finished and trainer.finished
        return trainer.progress.step > 0

    def _validation(self, train: Ragged, valid: Ragged) -> Callable[[], float] | None:
        """Mean NDCG@k of the lists of all rounds, of users drawn as the backbone draws them."""
        users = drawn_users(valid, self.model.resolved.valid_users, self.model.resolved.seed)
        if not len(users):
            return None
        histories, truth = train.take(users), valid.take(users)

        def recommend(requests: Requests, k: int) -> Lists:
            found = self.model.recommend(requests, k)
            return found.items, found.scores

        def judge() -> float:
            lists, _ = self.around_recommend(recommend, Requests(histories), self.config.k)
            return float(ndcg_of_lists(lists, truth, self.config.k).mean())

        return judge

    # -- recommending -------------------------------------------------------------------------

    def around_recommend(self, recommend: Callable[[Requests, int], Lists], requests: Requests, k: int) -> Lists:
        """Rounds, in order; a list of k is the beginning of every longer one. Scores of rounds do not compare."""
        if self.adapters is None or k <= self.config.size:
            return recommend(requests, k)
        starts = range(0, max(1, len(requests)), _BLOCK)
        parts = [self._rounds(self.adapters, recommend, requests.take(slice(s, s + _BLOCK)), k) for s in starts]
        items, scores = zip(*parts, strict=True)
        return np.concatenate(items), np.concatenate(scores)

    def _rounds(
        self, adapters: Adapters, recommend: Callable[[Requests, int], Lists], requests: Requests, k: int
    ) -> Lists:
        c, histories = self.config, requests.histories.known()
        items = np.full((len(requests), k), -1, np.int32)
        scores = np.full((len(requests), k), -np.inf, np.float32)
        items[:, : c.size], scores[:, : c.size] = recommend(requests, c.size)
        unrolled, done, number = self._unrolled(adapters, histories), c.size, 1
        while done < k:
            number += 1
            states = self._next(unrolled, items[:, done - c.size : done])
            stop = k if number == c.rounds else min(k, done + c.size)  # the last round gives all that is left
            edited = self.model.hooks.edit_state(states, histories)
            asked = replace(requests, exclude=_with(requests.excluded, items[:, :done]), states=edited)
            items[:, done:stop], scores[:, done:stop] = recommend(asked, stop - done)
            done = stop
        for rows in _runs(histories.lengths == 0):  # no event that could adapt: the backbone's list
            items[rows], scores[rows] = recommend(requests.take(rows), k)
        return items, scores

    def _unrolled(self, adapters: Adapters, histories: Ragged) -> list[tuple[npt.NDArray[np.int64], Unrolled]]:
        """Batches of the rows that have a history, in the first round."""
        some, device = np.flatnonzero(histories.lengths), self.model._device
        with torch.inference_mode():
            batches = by_length(histories.take(some), self.model._max_len, device)
            network = self.model.network
            return [(some[rows], Unrolled(network, adapters, items, n - 1)) for rows, items, n, _ in batches]

    def _next(self, unrolled: list[tuple[npt.NDArray[np.int64], Unrolled]], codes: IntArray) -> FloatArray:
        """float32 ``[n, d]``: the states of the next round, zeros without a history."""
        found = np.zeros((len(codes), self.model.network.items.embedding_dim), np.float32)
        with torch.inference_mode():
            for rows, batch in unrolled:
                retrieved = torch.from_numpy(codes[rows].astype(np.int64)).to(self.model._device)
                found[rows] = batch.next(retrieved).float().cpu().numpy()
        return found

    # -- cost and storage ---------------------------------------------------------------------

    def estimate(self, inner: Estimate, data: Dataset) -> Estimate:
        """Stage B: every round is another pass over the batch, and scores the catalogue for one position a window."""
        c, lengths = self.config, data.histories("train").lengths
        resolved: Any = self.model.config.resolve(lengths)
        cost, m, d = resolved.cost(), data.n_items, resolved.dim
        positions = float(np.minimum(np.maximum(lengths - 1, 0), resolved.max_len).sum())
        windows, more = float((lengths >= 2).sum()), (c.rounds - 1 if self._adapts else 0)
        plain = 2 * inner.cpu_seconds / resolved.epochs  # seconds of an epoch of the backbone
        context = c.size * c.rounds / 2  # items that an event attends to, on the average
        a_round = positions * (cost.flops + 12 * d * context) / 60e9 + windows * (8 * d * m / 60e9 + 4e-9 * m)
        epochs = c.epochs if c.rounds > 1 else 0
        kept = resolved.batch_tokens * (cost.activations + 3 * context) * c.rounds
        return Estimate(inner.memory_bytes + 4 * kept, inner.cpu_seconds + epochs * (plain + more * a_round))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The adapters."""
        named = {} if self.adapters is None else self.adapters.state_dict()
        return {name: t.detach().cpu().numpy() for name, t in named.items()}, {}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        """The adapters, if there are any."""
        self.adapters = self._adapters(0) if arrays else None
        if self.adapters is not None:
            self.adapters.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in arrays.items()})


def round_loss(model: NextItemModel, adapters: Adapters, config: AdaRetrievalConfig) -> Callable[[Batch], Tensor]:
    """L = sum over rounds of lambda^(r - 1) L_r, where L_1 is the backbone's own loss, with its plug-ins.

    Later rounds retrieve for one position of every window, drawn anew each time: another position would be
    another list, and another pass over the window. Their losses are those of the backbone too, from logits.
    """
    forward, network, hooks = model._forward(), model.network, model.hooks

    def loss(batch: Batch) -> Tensor:
        first = forward(batch)
        total, table = _value(first, hooks), network.item_vectors()
        lengths = (batch.targets != IGNORED).sum(1)  # [b]
        rows = torch.arange(len(lengths), device=lengths.device)
        ends = (torch.rand(len(lengths), device=lengths.device) * lengths).long().clamp_max(lengths - 1)
        targets = batch.targets[rows, ends]
        taken = history_mask(batch.items, ends, len(table))
        state = _states_at(first, lengths, ends)  # u_1
        if not config.joint:
            table, state = table.detach(), state if state is None else state.detach()
        with nullcontext() if config.joint else _still(network, adapters):
            rounds = Unrolled(network, adapters, batch.items, ends, state)
            for number in range(1, config.rounds):
                state = rounds.next(retrieve(rounds.state, table, taken, config.size))
                at = rows if config.positives == "all" else torch.nonzero(~taken[rows, targets])[:, 0]
                if len(at):
                    passed = target_forward(model.resolved, batch.users[at], state[at], table, targets[at])
                    total = total + config.decay**number * _value(passed, hooks)
        return total

    return loss


def _states_at(first: Forward, lengths: Tensor, ends: Tensor) -> Tensor | None:
    """``[b, d]``: of the states of every real position, in order, those at ``ends``; ``None`` if they are others."""
    states = first.vectors[0]
    return states[lengths.cumsum(0) - lengths + ends] if len(states) == int(lengths.sum()) else None


def _value(passed: Forward, hooks: Hooks) -> Tensor:
    """The loss of a pass, with what plug-ins weigh and add."""

    def given(_: None) -> Forward:
        return passed

    return batch_loss(given, hooks)(None)


@contextmanager
def _still(network: nn.Module, adapters: nn.Module) -> Iterator[None]:
    """Operations in here leave no gradient in ``network``, but in the adapters that are part of it."""
    own = {id(p) for p in adapters.parameters()}
    weights = [p for p in network.parameters() if id(p) not in own and p.requires_grad]
    try:
        for weight in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def _with(excluded: Ragged, items: IntArray) -> Ragged:
    known = items >= 0
    return excluded.concat(Ragged.from_groups(np.nonzero(known)[0], items[known], len(items)))


def _runs(marked: npt.NDArray[np.bool_]) -> list[slice]:
    """The runs of consecutive marked rows."""
    rows = np.flatnonzero(marked)
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []
    return [slice(int(part[0]), int(part[-1]) + 1) for part in parts]


def _remaining(options: FitOptions, used: float) -> FitOptions:
    if options.cpu_limit is None:
        return options
    return replace(options, cpu_limit=options.cpu_limit - used)  # below 0 nothing is trained


def _rms(vectors: FloatArray) -> float:
    return float(np.sqrt(np.square(vectors, dtype=np.float64).mean()))
