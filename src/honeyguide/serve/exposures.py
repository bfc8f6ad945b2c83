"""The log of what was shown to whom, with the probability of every place: written behind the requests, never before.

A request leaves a note in memory and goes on. A thread writes what is waiting through the store's writer, a batch at a
time. More notes than fit are dropped and counted, not waited for: the log says less then, and never makes anybody wait.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from honeyguide.core.errors import StorageError
from honeyguide.serve.answer import Answer
from honeyguide.serve.observe import Meters
from honeyguide.serve.store import Store, now

_WAITING = 20_000  # notes in memory, at most
_BATCH = 500  # rows of one transaction: events that are written with it wait for no more
_EVERY = 0.25  # seconds between looks
_PURGE_EVERY = 3600.0
_DAY = 86_400_000_000  # microseconds
_LOG = logging.getLogger("honeyguide.serve")


@dataclass(frozen=True, eq=False)
class _Note:
    """What is written of a page; it holds no model, which may be exchanged while the note waits."""

    tenant: str
    recommendation_id: str
    page: int
    user_id: str
    scenario: str
    experiment: str
    variant: str
    source: str
    version: str
    first: int
    shown: dict[str, Any]
    created: int

    def row(self) -> dict[str, Any]:
        """As the table has it."""
        return {**self.__dict__, "shown": json.dumps(self.shown, separators=(",", ":"))}


class ExposureLog:
    """Keeps what was shown.

    Parameters
    ----------
    store
        Where to.
    meters
        Counts what was written and what was dropped.
    on
        Whether anything is kept.
    days
        After which an entry is deleted; 0 for never.
    most
        Notes that may wait.
    """

    def __init__(self, store: Store, meters: Meters, *, on: bool = True, days: int = 90, most: int = _WAITING) -> None:
        self.on, self.days, self.most = on, days, most
        self._store, self._meters = store, meters
        self._waiting: deque[_Note] = deque()
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def note(
        self, tenant: str, recommendation_id: str, page: int, first: int, items: Sequence[str], answer: Answer
    ) -> None:
        """Remember a page that is shown.

        Parameters
        ----------
        tenant, recommendation_id, page
            Which; a page that is asked for again is the same.
        first
            Rank of its first item.
        items
            External ids.
        answer
            What the page was cut from; a list forced for a look at a variant is not kept.
        """
        trial = answer.trial
        if not self.on or not items or (trial is not None and trial.forced):
            return
        if len(self._waiting) >= self.most:
            self._meters.exposures_dropped.inc()
            return
        experiment, variant = (trial.experiment, trial.variant) if trial is not None else ("", "")
        version, said = answer.live.version, shown(items, first, answer)
        origin = (answer.unit, answer.scenario, experiment, variant, answer.source, version)
        note = _Note(tenant, recommendation_id, page, *origin, first, said, now())
        with self._lock:
            self._waiting.append(note)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="honeyguide-exposures", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write what is waiting; when this returns it is on disk, or counted as dropped."""
        with self._writing:
            while True:
                with self._lock:
                    batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                if not batch:
                    return
                self._write(batch)

    def forget(self, tenant: str, user_id: str) -> None:
        """Leave out what waits of a user; what is behind this call in the store's writer finds no more of it."""
        with self._writing, self._lock:
            kept = [n for n in self._waiting if (n.tenant, n.user_id) != (tenant, user_id)]
            self._waiting = deque(kept)

    def purge(self) -> int:
        """Delete what is older than ``days``; how many pages."""
        if self.days <= 0:
            return 0
        return self._store.purge_exposures(now() - self.days * _DAY).result()

    def close(self) -> None:
        """Write what is waiting, and end."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.flush()

    def _run(self) -> None:
        purged = -_PURGE_EVERY
        while not self._ending.wait(_EVERY):
            try:
                self.flush()
                if time.monotonic() - purged >= _PURGE_EVERY:
                    purged = time.monotonic()
                    self.purge()
            except Exception as error:  # the next look tries again
                _LOG.warning("the exposure log: %s", error)

    def _write(self, batch: Sequence[_Note]) -> None:
        try:
            self._store.log_exposures([note.row() for note in batch]).result()
        except StorageError as error:
            self._meters.exposures_dropped.inc(len(batch))
            _LOG.warning("%d pages are not in the exposure log: %s", len(batch), error)
        else:
            self._meters.exposures.inc(len(batch))


def shown(items: Sequence[str], first: int, answer: Answer) -> dict[str, Any]:
    """What is kept of a page.

    Returns
    -------
    dict
        ``items``; where the list was drawn ``chance``, ``propensity`` and ``credit`` of its places
        (:class:`~honeyguide.pipeline.explore.Drawn`), and on the first page ``head``: the ids in the order before.
    """
    drawn = answer.drawn
    found: dict[str, Any] = {"items": list(items)}
    if drawn is None or (first > len(drawn.chance) and drawn.credit is None):
        return found
    places = slice(first - 1, first - 1 + len(items))
    for name in ("chance", "propensity", "credit"):
        values = getattr(drawn, name)
        if values is not None:
            found[name] = [] if np.isnan(values).any() else values[places].tolist()
    if first == 1 and len(drawn.head):
        found["head"] = [str(item) for item in answer.live.stock.ids.decode(drawn.head).to_list()]
    return found
