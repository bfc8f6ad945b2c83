"""The one training loop: seeded, resumable, stopped early by a held-out metric."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from honeyguide.core.errors import ConfigError, FitInterrupted, TrainingError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.plugin import Hooks
from honeyguide.core.processes import this_process
from honeyguide.core.resources import cpu_seconds
from honeyguide.nn import checkpoint
from honeyguide.nn.parallel import Group

_CHECK_EVERY = 50  # steps between looks at the loss: a look waits for the device


class OnDevice(Protocol):
    """What a batch must be able to do, whatever it holds."""

    def to(self, device: torch.device) -> Self:
        """The same batch on ``device``."""
        ...


B = TypeVar("B", bound=OnDevice)
B_co = TypeVar("B_co", bound=OnDevice, covariant=True)


class EpochBatches(Protocol[B_co]):
    """The batches of one epoch, by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> B_co: ...


class Batches(Protocol[B_co]):
    """Where batches come from: a pure function of the epoch's number, so that a cursor is its whole state."""

    def epoch(self, number: int) -> EpochBatches[B_co]:
        """The batches of one epoch, in order."""
        ...


@dataclass(frozen=True)
class TrainerSettings:
    """How to optimise.

    Parameters
    ----------
    epochs
        Largest number of passes.
    lr
        Learning rate of Adam, after warm-up.
    warmup
        Steps over which the learning rate rises linearly.
    schedule
        ``"constant"``, or ``"cosine"`` down to 0 over all ``epochs``.
    weight_decay
        Decoupled (AdamW, Loshchilov & Hutter 2019); 0 is Adam.
    clip
        Largest norm of the gradient; ``None`` for no limit.
    average
        Decay of the running average of the weights, which is what is validated and kept
        (Polyak & Juditsky 1992); 0 keeps the last weights themselves.
    patience
        Epochs without a better validation value after which to stop.
    min_gain
        Share by which a value must be better to count for ``patience``; the best is kept in any case.
    seed
        Of everything drawn while training.
    checkpoint_seconds
        Wall time between checkpoints within an epoch; one is written after every epoch too.
    """

    epochs: int
    lr: float
    warmup: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: float = 0.0
    clip: float | None = None
    average: float = 0.0
    patience: int = 10
    min_gain: float = 0.0
    seed: int = 0
    checkpoint_seconds: float = 30.0

    @classmethod
    def of(cls, config: object) -> TrainerSettings:
        """The part of a model's options that is called as here; what they do not have keeps its default."""
        names = (field.name for field in fields(cls) if hasattr(config, field.name))
        return cls(**{name: getattr(config, name) for name in names})

    def rate(self, step: int, progress: float) -> float:
        """Learning rate at ``step`` (from 0), when ``progress`` in [0, 1) of all epochs is done."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        decay = 0.5 * (1 + math.cos(math.pi * progress)) if self.schedule == "cosine" else 1.0
        return self.lr * warm * decay


@dataclass
class Progress:
    """Where training stands: all state besides tensors. JSON-able."""

    epoch: int = 0
    batch: int = 0  # the next batch of the epoch
    step: int = 0
    best: float | None = None
    mark: float | None = None  # the last value that was better by min_gain
    waited: int = 0  # epochs since then
    cpu: float = 0.0  # seconds, of all runs together
    curve: list[dict[str, float]] = field(default_factory=list)


class Trainer(Generic[B]):
    """Minimises a loss over epochs of batches.

    An interrupted and resumed run ends with the same weights, bit for bit, as an uninterrupted
    one (on a CPU, with the same number of threads and the same versions). Several processes,
    started by ``torchrun``, share the rows of each batch (:mod:`honeyguide.nn.parallel`).

    Parameters
    ----------
    network
        Its parameters are trained in place; ends with the best weights found.
    loss
        ``loss(batch)``, a scalar.
    batches
        Where the batches come from.
    settings
        How to optimise.
    options
        Progress bar, checkpoint folder, device, precision.
    validate
        Higher is better; called after every epoch, with ``network`` in evaluation mode. Without
        it all epochs are run and the last weights kept.
    identity
        Says what is being trained (data and options); a checkpoint of another run is refused.
    metric
        Name of what ``validate`` returns, for the curve and the bar.
    hooks
        Plug-ins that are told of steps and epochs.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[B], Tensor],
        batches: Batches[B],
        settings: TrainerSettings,
        options: FitOptions,
        validate: Callable[[], float] | None = None,
        identity: str = "",
        metric: str = "ndcg@10",
        hooks: Hooks | None = None,
    ) -> None:
        self.network, self.loss, self.batches = network, loss, batches
        self.settings, self.options, self.validate = settings, options, validate
        self.identity = f"{identity} {settings}"
        self.metric = metric
        self.hooks = hooks or Hooks()
        self.device = next(network.parameters()).device
        self.optimizer = torch.optim.AdamW(
            _groups(network.parameters()),
            settings.lr,
            weight_decay=settings.weight_decay,
            fused=self.device.type != "mps",
        )
        self.group = Group.join(self.device, settings.seed)
        self.progress = Progress()
        self.loss_sum = torch.zeros((), device=self.device)  # over the batches of the epoch so far
        self.average = [p.detach().clone() for p in network.parameters()] if settings.average else []
        self.best: dict[str, Tensor] = {}
        self.finished = False  # by itself, not at the limit of CPU-seconds
        self.begun = 0.0  # share of the first epoch that was trained, where the limit ended it

    def run(self) -> list[dict[str, float]]:
        """Train, restore the best weights, and return the learning curve, one entry per epoch.

        Raises
        ------
        TrainingError
            If the loss is not finite.
        FitInterrupted
            On Ctrl-C; the last checkpoint stays.
        """
        shown = self.options.progress and self.group.first
        with seeded(self.settings.seed, self.device), _bar(shown, self.settings.epochs, self.metric) as show:
            try:
                self.hooks.on_start(self.network)
                self._take_in()
                self._resume()
                self.group.agree(self.progress.step)
                self.group.copy_weights(self.network)
                while not self._finished() and not self.limited:
                    self._epoch(show)
            except KeyboardInterrupt:
                raise self._interrupted() from None
        self.finished = self._finished()
        self._swap_average()
        if self.best:
            self.network.load_state_dict(self.best)
        self.group.copy_weights(self.network)
        self.network.eval()
        return self.progress.curve

    def _take_in(self) -> None:
        """Optimise, average and keep what plug-ins have added to the network too."""
        known = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        added = [p for p in self.network.parameters() if id(p) not in known]
        for group in _groups(added) if added else ():
            self.optimizer.add_param_group(group)
        if added:
            self.average = [p.detach().clone() for p in self.network.parameters()] if self.settings.average else []

    def _finished(self) -> bool:
        p, s = self.progress, self.settings
        return p.epoch >= s.epochs or p.waited >= s.patience

    @property
    def limited(self) -> bool:
        """Whether another epoch as long as those before would go beyond the limit of CPU-seconds, or the first has."""
        p, limit = self.progress, self.options.cpu_limit
        return limit is not None and p.cpu * (p.epoch + 1) / max(1, p.epoch) > limit

    def _epoch(self, show: Show) -> None:
        p = self.progress
        self.hooks.epoch = p.epoch
        batches = self.batches.epoch(p.epoch)
        started, saved = cpu_seconds() - p.cpu, time.monotonic()
        self.network.train()
        while p.batch < len(batches):
            show(p, len(batches))
            self._step(batches[p.batch].to(self.device), (p.epoch + p.batch / len(batches)) / self.settings.epochs)
            p.batch += 1
            if p.batch % _CHECK_EVERY == 0 or p.batch == len(batches):
                self._check()
            p.cpu = cpu_seconds() - started
            if time.monotonic() - saved >= self.settings.checkpoint_seconds and p.batch < len(batches):
                self._save()
                saved = time.monotonic()
            if p.epoch == 0 and self.limited and p.batch < len(batches) and self.group.size == 1:
                self._save()
                self.begun = p.batch / len(batches)
                return
        self._close_epoch(len(batches), started)

    def _step(self, batch: B, done: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["pace"] * self.settings.rate(self.progress.step, done)
        self.optimizer.zero_grad()
        loss = self.group.backward(self.network, self._loss, batch, self.progress.step)
        if self.settings.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.optimizer.step()
        self.hooks.on_step(self.network, self.progress.step)
        self._update_average()
        self.loss_sum += loss
        self.progress.step += 1

    def _loss(self, batch: B) -> Tensor:
        bfloat16 = self.options.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            return self.loss(batch)

    def _update_average(self) -> None:
        if self.average:
            step = self.progress.step
            decay = min(self.settings.average, (step + 1) / (step + 10))  # short at first, to forget the start
            weights = [p.detach() for p in self.network.parameters()]
            torch._foreach_lerp_(self.average, weights, 1 - decay)

    def _swap_average(self) -> None:
        """Exchange the weights and their running average."""
        weights = self.network.parameters() if self.average else ()
        for weight, mean in zip(weights, self.average, strict=True):
            kept = weight.detach().clone()
            weight.data.copy_(mean)
            mean.copy_(kept)

    def _close_epoch(self, n_batches: int, started: float) -> None:
        p = self.progress
        self.hooks.on_epoch(self.network)
        entry = {"epoch": p.epoch + 1, "loss": self.loss_sum.item() / max(1, n_batches)}
        if self.validate is not None and self.group.first:
            entry[f"valid_{self.metric}"] = self._judge(self.validate)
        p.cpu = cpu_seconds() - started
        p.curve.append({**entry, "cpu_seconds": round(p.cpu, 2)})
        if self.options.on_epoch is not None and self.group.first:
            self.options.on_epoch(p.curve[-1])
        p.epoch, p.batch = p.epoch + 1, 0
        self.loss_sum.zero_()
        self._save()
        self.progress = Progress(**self.group.share(asdict(p)))  # all stop when the first does

    def _judge(self, validate: Callable[[], float]) -> float:
        """Validate the averaged weights, keep them if they are the best, and count the epochs without a gain."""
        p = self.progress
        self.network.eval()
        self._swap_average()
        with torch.no_grad():
            value = validate()
        counts = p.epoch >= self.hooks.keeps_from
        if counts and (p.best is None or value > p.best):
            p.best = value
            self.best = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
        self._swap_average()
        if p.mark is None or value > p.mark + self.settings.min_gain * abs(p.mark):
            p.mark, p.waited = value if counts else None, 0
        else:
            p.waited += 1
        return value

    def _check(self) -> None:
        if not math.isfinite(self.loss_sum.item()):
            where = f"epoch {self.progress.epoch + 1}, step {self.progress.step}"
            raise TrainingError(
                f"The loss is not a finite number ({where}).",
                f"Lower the learning rate (now {self.settings.lr:g}), set a limit on the gradient (clip=1.0), "
                "or use precision float32; on the command line --set lr=..., --set clip=1.0 and --precision float32.",
            )

    # -- checkpoints --------------------------------------------------------------------------

    def _save(self) -> None:
        if self.options.checkpoint is None or not self.group.first:
            return
        self._check()
        tensors = {
            "network": self.network.state_dict(),
            "best": self.best,
            "average": {str(i): mean for i, mean in enumerate(self.average)},
            "optimizer": checkpoint.optimizer_tensors(self.optimizer),
            "generator": checkpoint.generator_tensors(self.device),
            "loop": {"loss_sum": self.loss_sum},
            **self.hooks.training_state(),
        }
        checkpoint.write(self.options.checkpoint, self.identity, asdict(self.progress), tensors)

    def _resume(self) -> None:
        folder = self.options.checkpoint
        if folder is None or not self.options.resume or not checkpoint.exists(folder):
            return
        progress, tensors = checkpoint.read(folder, self.identity, self.device)
        self.progress = Progress(**progress)
        self.network.load_state_dict(tensors["network"])
        self.best = tensors.get("best", {})
        self.average = [tensors["average"][str(i)] for i in range(len(self.average))]
        checkpoint.load_optimizer(self.optimizer, tensors["optimizer"])
        self.loss_sum = tensors["loop"]["loss_sum"]
        checkpoint.load_generators(tensors["generator"], self.device)
        self.hooks.resume(tensors)

    def _interrupted(self) -> FitInterrupted:
        folder = self.options.checkpoint
        if folder is not None and checkpoint.exists(folder):
            remedy = f"Go on with the checkpoint in {folder}: --checkpoint {folder} --resume."
        elif folder is not None:
            remedy = f"No checkpoint was written to {folder} yet, so it will begin anew."
        else:
            remedy = "Nothing was kept; give --checkpoint FOLDER to be able to resume."
        return FitInterrupted(f"Training was interrupted in epoch {self.progress.epoch + 1}.", remedy)


Show = Callable[[Progress, int], None]


def _groups(parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    """The parameters for the optimiser, by what they are marked with.

    Those with ``no_decay`` are spared weight decay; those with ``pace`` have it as a factor on the learning rate.
    """
    groups: dict[tuple[float, bool], dict[str, Any]] = {(1.0, False): {"params": [], "pace": 1.0}}
    for parameter in parameters:
        key = (float(getattr(parameter, "pace", 1.0)), bool(getattr(parameter, "no_decay", False)))
        decay = {"weight_decay": 0.0} if key[1] else {}
        groups.setdefault(key, {"params": [], "pace": key[0], **decay})["params"].append(parameter)
    return list(groups.values())


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from torch's generators with ``seed``, and leave them as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def choose_device(name: str) -> torch.device:
    """The device for ``"auto"`` (CUDA, then MPS, then CPU) or for an explicit name.

    Raises
    ------
    ConfigError
        If the device is not there.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        process = this_process()
        if cuda and process.size > 1:
            return torch.device("cuda", process.local_rank)  # one device each
        return torch.device("cuda" if cuda else "mps" if mps and process.size == 1 else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if (
        device is None
        or device.type not in ("cpu", "cuda", "mps")
        or not {"cpu": True, "cuda": cuda, "mps": mps}[device.type]
    ):
        raise ConfigError(f"There is no device {name!r} here.", "Use auto or cpu.")
    return device


@contextmanager
def _bar(wanted: bool, epochs: int, metric: str) -> Iterator[Show]:
    """A function that shows how far training is, on standard error; does nothing unless ``wanted``."""
    if not wanted:
        yield lambda progress, n_batches: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=epochs)

        def show(progress: Progress, n_batches: int) -> None:
            best = "" if progress.best is None else f", best valid {metric} {progress.best:.4f}"
            bar.update(
                task,
                completed=progress.epoch + progress.batch / n_batches,
                description=f"epoch {progress.epoch + 1}/{epochs}{best}",
            )

        yield show
