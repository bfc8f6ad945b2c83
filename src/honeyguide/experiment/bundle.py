"""What ``fit`` leaves behind: a model, and beside it the store with people's histories.

Layout of ``DIR``: the versions of the model (:mod:`honeyguide.core.artifact`), which hold nothing
personal; ``DIR/store``, which does and from which a user can be deleted; and ``DIR/reading.json``, the names of
the columns that were read and the rule by which events counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ArtifactError, DataError
from honeyguide.core.ids import Ids
from honeyguide.core.ragged import IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Requests
from honeyguide.data.reading import Reading
from honeyguide.data.store import HistoryStore
from honeyguide.experiment.records import read_json, write_json
from honeyguide.explain.because import titles_of
from honeyguide.models.registry import load_model
from honeyguide.pipeline.stock import Stock

_STORE, _READING = "store", "reading.json"


@dataclass(frozen=True)
class Bundle:
    """A fitted model and the histories and item table it serves from.

    Parameters
    ----------
    directory
        Where it was read from.
    model
        The fitted model.
    store
        The histories of the people known to it.
    """

    directory: Path
    model: Recommender
    store: HistoryStore

    @property
    def item_ids(self) -> Ids:
        """Ids of the catalogue."""
        if self.model.item_ids is None:
            raise ArtifactError(f"The model in {self.directory} is not fitted.", "Fit it again.")
        return self.model.item_ids

    @cached_property
    def titles(self) -> list[str]:
        """A name for every item code: its title where the item table has one, else its id."""
        return titles_of(self.item_ids, self.store.items)

    def of_users(self, user_ids: Sequence[object]) -> Requests:
        """Requests of known users, by external id.

        Raises
        ------
        DataError
            If a user is not in the store.
        """
        unknown = [str(user_id) for user_id in user_ids if user_id not in self.store]
        if unknown:
            example = ", ".join(str(i) for i in self.store.user_ids.head(3).to_list())
            raise DataError(
                f"nothing is known of user {', '.join(unknown)}.",
                f"Use ids as in the data, such as {example}, or give --history ITEM,ITEM.",
            )
        return Requests(self._recode(self.store.histories(user_ids)))

    def history(self, user_id: object) -> IntArray:
        """Item codes of one user, oldest first; empty for somebody of whom nothing is known."""
        found = self.store.known_history(user_id)
        return found if self._codes is None else self._codes[found]

    def of_items(self, item_ids: Sequence[object]) -> Requests:
        """One request of somebody whose history is ``item_ids``, oldest first.

        Raises
        ------
        DataError
            If an item is not in the catalogue.
        """
        return Requests(Ragged.from_lists([self.encode(item_ids)]))

    def encode(self, item_ids: Sequence[object]) -> IntArray:
        """Codes of external item ids; an unknown one is an error."""
        codes = self.item_ids.encode(item_ids)
        unknown = [str(item_id) for item_id, code in zip(item_ids, codes, strict=True) if code < 0]
        if unknown:
            example = ", ".join(str(i) for i in self.item_ids.values.head(3).to_list())
            raise DataError(
                f"the catalogue has no item {', '.join(repr(u) for u in unknown)}.",
                f"Use item ids as in the data the model was fitted on, such as {example}.",
            )
        return codes

    def all_users(self, block: int = 4096) -> Iterator[tuple[pl.Series, Requests]]:
        """Blocks of ``(external user ids, requests)`` over everybody in the store."""
        for start in range(0, len(self.store), block):
            yield self.users(start, start + block)

    def users(self, first: int, last: int) -> tuple[pl.Series, Requests]:
        """External ids and requests of the people at the places ``first`` to ``last`` (not included) of the store."""
        ids, histories = self.store.block(first, last)
        return ids, Requests(self._recode(histories))

    def add_items(self, items: pl.DataFrame) -> Bundle:
        """The same bundle with more items: a new version of its model, and a longer item table, are on disk.

        The store is written first and takes the same items twice, so that the call may be repeated after a crash.

        Raises
        ------
        CapabilityError, DataError, EncoderError
            As :meth:`Recommender.add_items <honeyguide.core.recommender.Recommender.add_items>` says; nothing
            is written then.
        """
        model = self.model.add_items(items)
        self.store.add_items(items)
        model.save(self.directory)
        return Bundle(self.directory, model, self.store)

    def stock(self, encoder: str = "auto") -> Stock:
        """What a pipeline draws on: the model, the item table and the events of every item.

        Parameters
        ----------
        encoder
            Of the items' texts.
        """
        codes = self.item_ids.encode(self.store.item_ids.values)
        counts, known = self.store.popularity(), codes >= 0
        popularity = np.zeros(len(self.item_ids), np.float32)
        np.add.at(popularity, codes[known], counts[known])
        return Stock(self.model, self.store.items, popularity, encoder)

    def _recode(self, histories: Ragged) -> Ragged:
        return histories if self._codes is None else replace(histories, values=self._codes[histories.values])

    @cached_property
    def _codes(self) -> IntArray | None:
        """The model's code of each item code of the store; ``None`` where they are the same.

        They differ where a store was kept from another fit.
        """
        kept = self.store.item_ids.values
        same = self.item_ids.values.head(len(kept)).equals(kept)
        return None if same else self.item_ids.encode(kept)


def save_bundle(directory: str | Path, model: Recommender, data: Dataset, reading: Reading | None = None) -> Bundle:
    """Write the histories of ``data`` (all parts: what people did is what they did), and then ``model``.

    In this order a service that takes up the model finds its histories there.

    Parameters
    ----------
    directory
        Of the bundle; what is there is replaced.
    model, data
        The fitted model, and what it was fitted on.
    reading
        How the data was read, where it came from a file: later events are read in the same way.
    """
    root = Path(directory)
    store = HistoryStore.create(root / _STORE, data, learnt=model.report.learnt)
    remember_reading(root, reading)
    model.save(root)
    return Bundle(root, model, store)


def open_bundle(directory: str | Path, version: str | None = None) -> Bundle:
    """Read a bundle.

    Raises
    ------
    ArtifactError
        If the model or the store is missing or damaged.
    """
    root = Path(directory)
    return Bundle(root, load_model(root, version), open_store(root))


def remember_reading(directory: str | Path, reading: Reading | None) -> None:
    """Keep with a bundle how its data was read; with ``None``, that nobody knows."""
    path = Path(directory) / _READING
    if reading is not None:
        write_json(path, reading.to_meta())
    else:
        path.unlink(missing_ok=True)


def reading_of(directory: str | Path) -> Reading | None:
    """How the data of a bundle was read; ``None`` where it does not say, as older ones do not."""
    found = read_json(Path(directory) / _READING)
    return None if found is None else Reading.from_meta(found)


def open_store(directory: str | Path) -> HistoryStore:
    """Only the histories of a bundle."""
    root = Path(directory)
    if not (root / _STORE).is_dir():
        raise ArtifactError(f"There is no bundle in {root}.", "Write one with 'honeyguide fit DATA --out DIR'.")
    return HistoryStore.open(root / _STORE)
