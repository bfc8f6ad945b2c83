"""What goes into a fit or an update and what comes out of it, beside the model: options, report, change."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from honeyguide.core.errors import ConfigError, DataError, UnknownNameError
from honeyguide.core.ids import Ids, table_of_items
from honeyguide.core.ragged import FloatArray, Ragged

if TYPE_CHECKING:
    from honeyguide.core.recommender import Recommender

PRECISIONS = ("float32", "bfloat16")
STATISTICS = "statistics."  # arrays kept for updates: of the log, not learnt from it


class ModelConfig(BaseModel):
    """Base of all model configurations: frozen, typed, no unknown options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0


C = TypeVar("C", bound=BaseModel)


def configured(name: str, kind: type[C], config: BaseModel | None, overrides: Mapping[str, Any]) -> C:
    """The options of ``name``: those of ``config``, or the defaults, with ``overrides``.

    Raises
    ------
    ConfigError
        If an option is unknown or its value is not allowed.
    """
    try:
        return kind(**{**(config.model_dump() if config is not None else {}), **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        hint = " Write a list as [1, 2]." if first["type"] in ("tuple_type", "list_type") else ""
        message = f"{name}: option {option!r}: {first['msg'].lower()}.{hint}"
        raise ConfigError(message, f"Options: {', '.join(kind.model_fields)}.") from None


@dataclass(frozen=True)
class FitOptions:
    """How to run a fit, as opposed to what to fit.

    Parameters
    ----------
    progress
        Show a progress bar on standard error.
    checkpoint
        Folder for checkpoints of iterative models.
    resume
        Continue from the checkpoint if there is one.
    memory_limit
        Bytes the fit may use; by default what is available.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision
        ``"float32"`` or ``"bfloat16"`` (automatic mixed precision).
    cpu_limit
        CPU-seconds after which training in epochs ends with the best found so far; its checkpoint stays, so
        that a resumed fit with a higher limit goes on as if it had never ended.
    learn_valid
        Learn the events of valid too when nothing is left to choose by them, by an update
        (:meth:`Recommender.learn_valid <honeyguide.core.recommender.Recommender.learn_valid>`): for what is to
        serve. Off for what is to be compared, since some models cannot. In an update: that it is this one.
    on_better
        Is given every recommender that a search finds better than those before, while the search goes on.
    on_trial
        Is given every entry of the search of a :class:`FitReport` as soon as it is there.
    on_epoch
        Is given each entry of the learning curve as soon as it is there.

    Raises
    ------
    UnknownNameError
        If no machine has such a device, or the precision is none of the two; also of models that read neither.
    """

    progress: bool = False
    checkpoint: Path | None = None
    resume: bool = False
    memory_limit: int | None = None
    device: str = "auto"
    precision: str = "float32"
    cpu_limit: float | None = None
    learn_valid: bool = False
    on_better: Callable[[Recommender], None] | None = None
    on_trial: Callable[[dict[str, Any]], None] | None = None
    on_epoch: Callable[[dict[str, float]], None] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise UnknownNameError("device", self.device, ["auto", "cpu", "cuda", "cuda:1", "mps"])
        if self.precision not in PRECISIONS:
            raise UnknownNameError("precision", self.precision, PRECISIONS)


@dataclass
class FitReport:
    """What a fit did: cost, search, learning curve; and the updates since. Saved with the model.

    Parameters
    ----------
    cpu_seconds, wall_seconds, peak_rss_mb
        Cost.
    n_parameters
        Numbers that were learnt.
    search
        What was tried, one entry per trial.
    curve
        Learning curve, one entry per epoch.
    finished
        Whether training ended by itself, and not at a limit of time.
    begun
        Share of the first epoch that was trained, where a limit of time ended it.
    learnt
        Parts of the data that the model has learnt; of the others it knows nothing.
    updates
        One entry for each.
    behind
        Whether updates of the model that this one is a part of have passed it by.
    """

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_rss_mb: float = 0.0
    n_parameters: int = 0
    search: list[dict[str, Any]] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)
    finished: bool = True
    begun: float = 0.0
    learnt: list[str] = field(default_factory=lambda: ["train"])
    updates: list[dict[str, Any]] = field(default_factory=list)
    behind: bool = False


@dataclass(frozen=True)
class Change:
    """What an update brings: the users whose histories changed, and the catalogue as it is now.

    Parameters
    ----------
    before, after
        What the model has learnt of each of them so far, and what it shall have learnt then; item
        codes, oldest first. A user's first events come after an empty list.
    items
        The catalogue; old items keep their codes.
    replay
        Histories of others, for models that would forget without them.
    table
        What is known of items, by ``item_id``.
    """

    before: Ragged
    after: Ragged
    items: Ids
    replay: Ragged | None = None
    table: pl.DataFrame | None = None

    @classmethod
    def checked(
        cls, known: Ids, before: Ragged, after: Ragged, items: Ids, replay: Ragged | None, table: pl.DataFrame | None
    ) -> Change:
        """The change of a model with the catalogue ``known``, without users whose histories are what they were.

        Raises
        ------
        DataError
            If the catalogue is not a continuation of the old one, or the lists or the table do not fit it.
        """
        if not items.values.head(len(known)).equals(known.values):
            raise DataError(
                "the catalogue does not begin with the old one.", "Grow it with model.item_ids.append(ids)."
            )
        if len(before) != len(after):
            raise DataError(f"there are {len(before)} histories before and {len(after)} after.", "Give both for each.")
        if max(before.values.max(initial=-1) - len(known), after.values.max(initial=-1) - len(items)) >= 0:
            raise DataError("a history has an item that the catalogue has not.", "Give the grown catalogue as items.")
        before, after = before.known(), after.known()
        rows = np.flatnonzero(before.differ(after))
        if len(rows) < len(before):
            before, after = before.take(rows), after.take(rows)
        return cls(before, after, items, replay, table_of_items(table, items) if table is not None else None)

    @property
    def n_items(self) -> int:
        """Size of the catalogue now."""
        return len(self.items)

    def described(self, first: int) -> pl.DataFrame | None:
        """Rows of the items from code ``first`` on, one each in the order of the codes, empty where nothing is known.

        ``None`` where no table was given.
        """
        if self.table is None:
            return None
        new = pl.DataFrame({"item_id": self.items.values.slice(first)})
        return new.join(self.table, on="item_id", how="left", maintain_order="left")

    def moved(self) -> FloatArray:
        """float32 ``[n_items]``: events of every item that are new, less those that are no more."""
        counts = np.bincount(self.after.values, minlength=self.n_items)
        return (counts - np.bincount(self.before.values, minlength=self.n_items)).astype(np.float32)
