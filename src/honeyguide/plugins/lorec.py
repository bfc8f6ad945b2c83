"""LoRec: users who look made up count less and less while a sequence model is trained (Zhang et al., SIGIR 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from pydantic import Field
from torch import Tensor, nn

from honeyguide.core.artifact import Arrays
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError, NotFittedError
from honeyguide.core.plugin import Plugin, PluginConfig, Run
from honeyguide.core.processes import this_process
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.resources import Estimate
from honeyguide.data.attacks import Kind
from honeyguide.lm.suspects import states_of_users, titles_of_users
from honeyguide.nn import checkpoint
from honeyguide.nn.calibrator import HIDDEN, Calibrator, Events, calibration_loss, shuffled, suspicion
from honeyguide.nn.forward import Forward, Weights
from honeyguide.nn.trainer import seeded
from honeyguide.plugins.made_up import made_up
from honeyguide.plugins.user_weights import UserWeights

_FINAL = 2  # passes over the states of the model as it will serve


class LoRecConfig(PluginConfig):
    """Options of :class:`LoRec`.

    Parameters
    ----------
    families
        Of the fakes that are made up to learn from; see :func:`~honeyguide.data.attacks.fake_profiles`.
    share
        Fakes for every user.
    start
        The first epoch whose loss is weighted; epochs before it are never kept, and patience counts from there.
    since
        The first epoch after which the calibrator learns: of a model that knows nothing yet it learns users by heart.
    every, late, late_every
        Epochs between two rounds of flagging; from epoch ``late`` on, ``late_every``.
    margin
        Users are flagged whose score is above the mean by more than so many standard deviations; 0 in the paper.
    logit
        Of every user at the start.
    passes
        Of the calibrator over users and fakes, after every epoch.
    entropy, likeness
        lambda_1, and lambda_2: 0 for none, and then no text is read.
    lm
        A name for :func:`~honeyguide.lm.registry.language_model`, which reads what users took; ``None`` for the mean of
        the titles by ``encoder``.
    encoder
        See :func:`~honeyguide.encode.text.text_encoder`.
    scenario
        What kind of thing items are, for the prompt.
    state
        Of the model, that stands beside each item: ``"before"`` it, so that one sees how expected the item was, or
        ``"after"`` it, as in the paper.
    titles
        Most titles that are read of a user.
    max_len
        Most events that the calibrator reads, the latest.
    blocks, heads, dropout
        Of the calibrator.
    lr, weight_decay, batch
        Of its training.
    report
        CSV file for the table of suspects, written when a fit ends; ``None`` for none. No artifact holds it.
    """

    families: tuple[Kind, ...] = Field(("random", "bandwagon", "segment"), min_length=1)
    share: float = Field(0.1, gt=0)
    start: int = Field(10, ge=0)
    since: int = Field(4, ge=0)
    every: int = Field(1, ge=1)
    late: int = Field(20, ge=0)
    late_every: int = Field(5, ge=1)
    margin: float = Field(1.0, ge=0)
    logit: float = 3.0
    passes: int = Field(1, ge=1)
    entropy: float = Field(0.5, ge=0)
    likeness: float = Field(1.0, ge=0)
    lm: str | None = None
    encoder: str = "auto"
    scenario: str = "items"
    state: Literal["before", "after"] = "before"
    titles: int = Field(20, ge=1)
    max_len: int = Field(50, ge=1)
    blocks: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    lr: float = Field(0.01, gt=0)
    weight_decay: float = Field(5e-4, ge=0)
    batch: int = Field(512, ge=2)
    report: Path | None = None


class LoRec(Plugin):
    """Multiplies the losses of a user's examples by ``w_u``, which falls as the user is flagged again and again.

    A calibrator learns beside the model to tell the users of the log from fakes that it makes up itself; every
    few epochs those whom it suspects more than the average lose trust
    (:class:`~honeyguide.plugins.user_weights.UserWeights`). Who really is a fake is never read.
    """

    name = "lorec"
    Config = LoRecConfig
    config: LoRecConfig
    needs: ClassVar[frozenset[str]] = frozenset({"weights", "positions"})

    def __init__(self, config: PluginConfig | None = None, **overrides: Any) -> None:
        super().__init__(config, **overrides)
        self.model: Any = None
        self.calibrator: Calibrator | None = None
        self.rounds: list[dict[str, float]] = []
        self.users: IntArray = np.empty(0, np.int32)  # while training, as all below: rows of those who are judged
        self.histories = self.fakes = Ragged.empty(0)
        self.texts: Tensor | None = None  # z, [users + fakes, D]
        self.trust = UserWeights.of(0, self.config.logit)
        self.current: Tensor | None = None  # w, [n], from epoch start on
        self.due = False
        self.total = np.zeros(0, np.float32)  # of c over the rounds
        self._table: pl.DataFrame | None = None

    def bind(self, model: Recommender) -> None:
        """Refuse a model that would end before anybody is weighed.

        Raises
        ------
        ConfigError
            If it has no more epochs than ``start``.
        """
        if self.config.since >= self.config.start:
            raise ConfigError("lorec.since is not before lorec.start: there is nobody to weigh by.", "Lower since.")
        self.model, epochs = model, getattr(model.config, "epochs", None)
        if isinstance(epochs, int) and epochs <= self.config.start:
            raise ConfigError(
                f"{model.name} trains for {epochs} epochs, and lorec.start is {self.config.start}: nobody is weighed.",
                "Raise epochs or lower lorec.start.",
            )

    # -- what it learns from --------------------------------------------------------------------

    def transform(self, data: Dataset) -> Dataset:
        """Make fakes up and read the texts; the data stay as they are.

        Raises
        ------
        DataError
            If items have no title and there is a cosine with one.
        """
        c, train = self.config, data.histories("train").known()
        self.users = np.flatnonzero(train.lengths >= 2).astype(np.int32)
        if not len(self.users):
            raise DataError("lorec judges sequences, and no training history has two events.", "Give longer histories.")
        self.histories = train.take(self.users)
        self.fakes = made_up(data, self.histories, c.families, max(2, round(c.share * len(self.users))), self._seed)
        self.texts = self._texts(data.items, self.histories.concat_rows(self.fakes)) if c.likeness else None
        self._ids, self._n_users = data.user_ids, len(train)
        return data

    @property
    def _seed(self) -> int:
        return int(self.model.config.seed)

    def _texts(self, items: pl.DataFrame, histories: Ragged) -> Tensor:
        """z, every column with mean 0 and a standard deviation of 1."""
        c = self.config
        if c.lm is None:
            found = titles_of_users(histories, items, c.encoder, c.titles)
        else:
            from honeyguide.lm.registry import language_model

            found = states_of_users(histories, items, language_model(c.lm), c.scenario, c.titles)
        spread = found.std(axis=0)
        return torch.from_numpy((found - found.mean(axis=0)) / np.where(spread > 0, spread, 1).astype(np.float32))

    # -- while training -------------------------------------------------------------------------

    def on_start(self, network: nn.Module) -> None:
        """A new calibrator, and full trust."""
        c, device = self.config, next(network.parameters()).device
        self.trust, self.current, self.due, self.rounds = UserWeights.of(self._n_users, c.logit), None, False, []
        self.total = np.zeros(len(self.users), np.float32)
        training = network.training
        network.eval()  # or a dropout would draw
        width = 2 * self.model.item_vectors().shape[1]
        network.train(training)
        if width % c.heads:
            raise ConfigError(
                f"lorec.heads is {c.heads}, and events have {width} numbers.", "Take a divisor, such as 1."
            )
        with seeded(self._seed, device):
            text = 0 if self.texts is None else self.texts.shape[1]
            prior = len(self.fakes) / (len(self.fakes) + len(self.histories))
            self.calibrator = Calibrator(width, text, c.max_len, c.blocks, c.heads, c.dropout, prior).to(device)
        self.texts = None if self.texts is None else self.texts.to(device)
        self.optimizer = torch.optim.AdamW(self.calibrator.parameters(), c.lr, weight_decay=c.weight_decay)

    def weights(self, forward: Forward) -> Weights | None:
        """``w_u`` of every example; of nobody that is known, 1."""
        if self.current is None:
            return None
        own = self.current[forward.users.clamp_min(0)]
        return Weights(loss=torch.where(forward.users >= 0, own, torch.ones_like(own)))

    def keeps_from(self) -> int:
        """The first epoch that is weighted."""
        return self.config.start

    def on_epoch(self, network: nn.Module, epoch: int) -> None:
        """Teach the calibrator; where a round is due, flag."""
        c, training = self.config, network.training
        if epoch < c.since:
            return
        network.eval()
        users = self._events(self.histories)
        self._teach(users, c.passes, epoch + 1)
        network.train(training)
        self.due = self.due or (epoch + 1) % (c.every if epoch < c.late else c.late_every) == 0
        if self.due:
            scores = suspicion(self._ready(), users)
            flagged = self.trust.flag(self.users, scores, c.margin)
            self.due = flagged is None  # not ready: again after the next epoch
            self.total += scores
            self.rounds.append({"epoch": epoch + 1, "flagged": flagged or 0.0, "mean": float(scores.mean())})
        if epoch + 1 >= c.start:
            device = next(network.parameters()).device
            self.current = torch.from_numpy(self.trust.effective()).to(device)

    def _events(self, histories: Ragged) -> Events:
        """What the model, which is not changed, makes of sequences."""
        items, device = self.model.item_vectors(), next(self._ready().parameters()).device
        states, read = self.model.position_states(histories.last(self.config.max_len))
        return Events.of(items, states, read, device, before=self.config.state == "before")

    def _teach(self, users: Events, passes: int, number: int) -> None:
        """So many passes over users and fakes, from random numbers of its own."""
        c, calibrator = self.config, self._ready()
        pool, device = users.and_also(self._events(self.fakes)), users.vectors.device
        labels = (torch.arange(len(pool), device=device) >= len(users)).float()
        calibrator.train()
        with seeded(self._seed + 1000 * number, device), torch.enable_grad():
            for _ in range(passes):
                for rows in shuffled(len(pool), c.batch, device):
                    order, groups = pool.groups(rows)
                    at = torch.from_numpy(rows[order]).to(device)
                    texts = None if self.texts is None else self.texts[at]
                    self.optimizer.zero_grad()
                    loss = calibration_loss(calibrator, groups, labels[at], texts, c.entropy, c.likeness)
                    loss.backward()  # type: ignore[no-untyped-call]
                    self.optimizer.step()

    def training_state(self) -> dict[str, Tensor]:
        """The calibrator, its optimiser, and everybody's logit: all that goes on."""
        own = {f"calibrator/{name}": t for name, t in self._ready().state_dict().items()}
        own |= {f"optimizer/{name}": t for name, t in checkpoint.optimizer_tensors(self.optimizer).items()}
        rounds = [[r["epoch"], r["flagged"], r["mean"]] for r in self.rounds]
        return {
            **own,
            "logits": torch.from_numpy(self.trust.logits),
            "flags": torch.from_numpy(self.trust.flags),
            "total": torch.from_numpy(self.total),
            "weighing": torch.tensor([self.current is not None, self.due]),
            "rounds": torch.tensor(rounds, dtype=torch.float32).reshape(-1, 3),
        }

    def resume(self, tensors: Mapping[str, Tensor]) -> None:
        """Undo :meth:`training_state`."""
        parts: dict[str, dict[str, Tensor]] = {"calibrator": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            if rest:
                parts[part][rest] = tensor
        self._ready().load_state_dict(parts["calibrator"])
        checkpoint.load_optimizer(self.optimizer, parts["optimizer"])
        logits, flags = (tensors[name].cpu().numpy() for name in ("logits", "flags"))
        self.trust = UserWeights(logits, flags, self.config.logit)
        self.total = tensors["total"].cpu().numpy()
        weighing, self.due = tensors["weighing"].tolist()
        device = next(self._ready().parameters()).device
        self.current = torch.from_numpy(self.trust.effective()).to(device) if weighing else None
        self.rounds = [{"epoch": int(e), "flagged": f, "mean": m} for e, f, m in tensors["rounds"].tolist()]

    # -- what is left of it -----------------------------------------------------------------------

    def after_fit(self, data: Dataset, run: Run) -> None:
        """Fit the calibrator to the model as it will serve, write the table of suspects, and forget the users."""
        users = self._events(self.histories)
        self._teach(users, _FINAL, 0)
        last = suspicion(self._ready(), users)
        ids, mean = self._ids.decode(self.users), self.total / np.float32(max(1, len(self.rounds)))
        weights, flags = self.trust.effective()[self.users], self.trust.flags[self.users]
        table = pl.DataFrame({"user_id": ids, "suspicion": mean, "weight": weights, "flagged": flags, "last": last})
        self._table = table.sort(["weight", "suspicion", "user_id"], descending=[False, True, False])
        if self.config.report is not None and this_process().rank == 0:
            self._table.write_csv(self.config.report)
        assert self.calibrator is not None
        self.calibrator.to("cpu").eval().requires_grad_(False)
        del self.optimizer
        self.texts, self.current, self.histories, self.fakes = None, None, Ragged.empty(0), Ragged.empty(0)
        self.trust, self.users = UserWeights.of(0, self.config.logit), np.empty(0, np.int32)

    def suspects(self) -> pl.DataFrame:
        """The users of the fit, whom it trusted least first: ``user_id, suspicion, weight, flagged`` (times), ``last``.

        ``suspicion`` is the mean of c over the rounds, ``last`` its value in the end: the calibrator learns the users
        of the log as such, and after many passes knows some of them, fakes too, by heart.

        It belongs to the fit: a model that was saved and loaded no longer knows it.

        Raises
        ------
        NotFittedError
            If there was no fit in this process.
        """
        if self._table is None:
            raise NotFittedError(
                "the table of suspects belongs to a fit and is not saved with a model.",
                "Fit again with lorec.report=FILE, or score histories with suspicion().",
            )
        return self._table

    def suspicion(self, histories: Ragged) -> FloatArray:
        """The score c of any histories, float32 ``[n]``; NaN where one has no event. No text is read."""
        known = histories.known()
        found, rows = np.full(len(known), np.nan, np.float32), np.flatnonzero(known.lengths)
        if len(rows):
            found[rows] = suspicion(self._ready(), self._events(known.take(rows)))
        return found

    def _ready(self) -> Calibrator:
        if self.calibrator is None:
            raise NotFittedError("lorec is not fitted.", "Fit the model that it is plugged into.")
        return self.calibrator

    # -- cost and storage -------------------------------------------------------------------------

    def estimate(self, inner: Estimate, data: Dataset) -> Estimate:
        """States of all events, and the passes of the calibrator over them."""
        c, config = self.config, self.model.config
        dim = config.dim if isinstance(getattr(config, "dim", None), int) else 128
        epochs = config.epochs if isinstance(getattr(config, "epochs", None), int) else 60
        lengths = np.minimum(data.histories("train").lengths, c.max_len)
        events, width = float(lengths.sum()) * (1 + c.share), 2.0 * dim
        per_event = c.blocks * (4 * width**2 + 2 * width * HIDDEN) * (6 * c.passes) / 2e10
        padded = float(lengths.max(initial=1)) / max(float(lengths.mean()), 1.0)
        seconds = epochs / 2 * events * min(padded, 6.0) * per_event
        memory = 4 * (3 * events * width + c.batch * c.max_len * width * 12 * c.blocks)
        return Estimate(inner.memory_bytes + memory, 1.3 * inner.cpu_seconds + seconds)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The calibrator, and how many were flagged in each round: nothing of a user."""
        calibrator = self._ready()
        arrays = {name: t.detach().cpu().numpy() for name, t in calibrator.state_dict().items() if "text" not in name}
        return arrays, {"width": len(calibrator.summary), "rounds": self.rounds}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        """Undo :meth:`state`; what it had from texts is in its weights."""
        c = self.config
        self.calibrator = Calibrator(meta["width"], 0, c.max_len, c.blocks, c.heads, c.dropout).eval()
        self.calibrator.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in arrays.items()})
        self.calibrator.requires_grad_(False)
        self.rounds, self._table = meta["rounds"], None
