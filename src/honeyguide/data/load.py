"""Reading a data set from wherever it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError, UnknownNameError
from honeyguide.data.build import build
from honeyguide.data.clean import (
    clean_events,
    clean_ids,
    clean_numbers,
    clean_positions,
    clean_split,
    clean_times,
    clean_weights,
    guess_types,
)
from honeyguide.data.columns import ALIASES, require
from honeyguide.data.declared import settle_order, with_positives, with_weights
from honeyguide.data.locate import MAIN_TABLES, Source, known_data, locate
from honeyguide.data.pictures import attach, where
from honeyguide.data.readers import RawTable, from_frame, read_file, read_sql
from honeyguide.data.reading import Reading
from honeyguide.data.report import ROW, Audit, CheckReport
from honeyguide.data.spec import DatasetSpec, Duplicates, TableSpec, TimeUnit
from honeyguide.data.tables import INTERACTION_COLUMNS, prepare

__all__ = ["ReadOptions", "known_data", "load_data", "read_items", "read_with_report"]

Table = str | Path | pl.DataFrame
_DROP = "duplicates = 'drop' in a dataset.toml, or duplicates='drop' in Python,"


class ReadOptions(TypedDict, total=False):
    """What a caller may say about data; it wins over the ``dataset.toml``.

    Attributes
    ----------
    items, users
        A file or frame of item or user features.
    pictures
        The pictures of items: a column of their table with paths or bytes, a table of them, or a folder of files
        named by item id.
    positive
        Which events count as positive, for example ``"rating >= 4"`` or ``"event in buy,cart"``; ``""`` for all.
    weights
        Weight of an event by the value of ``event``.
    columns
        Meaning to column of the interactions, for example ``{"user_id": "reader"}``.
    split
        ``none`` forgets the published split; any name of :data:`honeyguide.data.splits.STRATEGIES`
        replaces it.
    duplicates
        What to do with repeated events: ``keep`` (the default), ``drop`` or ``error``.
    time_unit
        Unit of a numeric time; found by magnitude where not given.
    order
        ``"rows"`` if the rows of a user stand in the order in which things happened; times, where there are any, go
        first.
    remembered
        How events were read before (``CheckReport.reading``); it wins over guessing and yields to everything else.
    known_items
        Ids of items that somebody else describes: it is no matter for a note that the item table has no row of theirs.
    tables
        Table to file name or database table, for example ``{"interactions": "events"}``.
    name
        For reports.
    """

    items: Table | None
    users: Table | None
    pictures: str | Path | None
    positive: str | None
    weights: Mapping[str, float] | None
    columns: Mapping[str, str] | None
    split: str | None
    duplicates: Duplicates | None
    time_unit: TimeUnit | None
    order: Literal["rows"] | None
    remembered: Reading | None
    known_items: pl.Series | None
    tables: Mapping[str, str] | None
    name: str | None


def load_data(ref: str | Path | pl.DataFrame, **options: Unpack[ReadOptions]) -> Dataset:
    """Read a data set.

    Parameters
    ----------
    ref
        A folder, a file of interactions, a bundled name, a name under ``$HONEYGUIDE_DATA``, a
        SQLAlchemy URL, or a frame.
    **options
        See :class:`ReadOptions`.

    Returns
    -------
    Dataset
        Rows that could not be used are left out and counted in a warning;
        :func:`read_with_report` returns them.

    Raises
    ------
    UnknownNameError
        If nothing is known by that name.
    DataError
        If the data cannot be used: a missing column, an empty file, repeated column names, or
        more than half of the rows unusable.

    Examples
    --------
    >>> from honeyguide.data.load import load_data
    >>> load_data("goodbooks-mini").n_items
    2000
    """
    data, found = read_with_report(ref, **options)
    found.warn()
    return data


def read_with_report(ref: str | Path | pl.DataFrame, **options: Unpack[ReadOptions]) -> tuple[Dataset, CheckReport]:
    """Read a data set and return what was set aside, guessed and converted, without a warning.

    Parameters
    ----------
    ref, **options
        As in :func:`load_data`.
    """
    audit = Audit(options.get("name") or "data")
    return read_audited(ref, options, audit), audit.report()


def read_items(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    pictures: str | Path | None = None,
    remembered: Reading | None = None,
) -> tuple[pl.DataFrame, CheckReport]:
    """Read a table of items alone, one row per id, and say what was set aside.

    Parameters
    ----------
    path
        A file whose id column has one of the names by which a data set's item id is known.
    columns
        Or its name: ``{"item_id": "sku"}``.
    pictures, remembered
        As in :class:`ReadOptions`.

    Raises
    ------
    DataError
        If it has no such column or cannot be read.
    """
    audit = Audit(Path(path).name)
    options: ReadOptions = {"items": path, "name": audit.name, "columns": columns, "pictures": pictures}
    options["remembered"] = remembered
    reader = _Reader(pl.DataFrame(), options, audit)
    items = reader.pictured(reader.features("items", "item_id"), pl.Series("item_id", []))
    assert items is not None
    found = audit.report()
    found.warn()
    return items, found


def read_audited(ref: str | Path | pl.DataFrame, options: ReadOptions, audit: Audit) -> Dataset:
    """Read a data set into ``audit``, which keeps what was found even if this raises."""
    reader = _Reader(ref, options, audit)
    interactions = reader.interactions()
    items, users = reader.features("items", "item_id"), reader.features("users", "user_id")
    shown = reader.pictured(items, interactions["item_id"])
    data = build(audit.name, interactions, shown, users, reader.further())
    _note_unmatched(data, items, options.get("known_items"), audit)
    split = options.get("split")
    if split is None:
        return data
    from honeyguide.data.splits import split_by_name

    return split_by_name(data, split)


class _Reader:
    """Reads the tables of one source."""

    def __init__(self, ref: str | Path | pl.DataFrame, options: ReadOptions, audit: Audit) -> None:
        self.options, self.audit = options, audit
        self.frame = ref if isinstance(ref, pl.DataFrame) else None
        self.source = Source("frame", DatasetSpec(), {}) if isinstance(ref, pl.DataFrame) else locate(ref)
        self.spec = self.source.spec
        audit.name = options.get("name") or self.source.name

    def interactions(self) -> pl.DataFrame:
        """Clean interactions with external ids."""
        raw = self._raw("interactions")
        if raw is None:
            raise DataError("there is no table of interactions.", "Name one: tables={'interactions': ...}.")
        spec, audit, file = self._spec_of_events(), self.audit, raw.file
        explicit = self.options.get("columns") or {}
        remembered = self.options.get("remembered")
        frame, renamed = prepare(raw, spec, INTERACTION_COLUMNS, explicit, audit, remembered)
        require(frame.columns, ("user_id", "item_id"), raw.names, file)
        for column, kind in (("user_id", self.spec.ids.get("user")), ("item_id", self.spec.ids.get("item"))):
            frame = clean_ids(frame, column, file, raw.typed, kind, audit)
        frame = self._meanings(frame, file, spec)
        positive = self.options.get("positive")
        rule = self.spec.positive if positive is None else positive
        frame, rule = with_positives(frame, rule, remembered, renamed, file, audit)
        frame = with_weights(frame, self.options.get("weights") or self.spec.weights, file, audit)
        frame = settle_order(frame, file, audit)
        frame = self._duplicates(frame, file)
        audit.table("interactions", file, frame.height)
        audit.reading = Reading.of(renamed, rule, spec.order)
        return frame.drop(ROW)

    def _spec_of_events(self) -> TableSpec:
        spec, order = self.source.table_spec("interactions"), self.options.get("order")
        remembered, in_database = self.options.get("remembered"), self.source.url is not None
        if order is not None and in_database:
            raise DataError("the rows of a database table stand in no order.", "Name a column of times or positions.")
        if order is None and remembered is not None and not in_database:
            declared = "position" in spec.columns or "position" in (self.options.get("columns") or {})
            order = None if declared else remembered.order
        return spec if order is None else spec.model_copy(update={"order": order})

    def features(self, table: str, key: str) -> pl.DataFrame | None:
        """A table with one row per item or user, or ``None``."""
        raw = self._raw(table)
        if raw is None:
            return None
        frame, _ = prepare(raw, self._with_id_alias(table, key, raw), (key,), {}, self.audit)
        require(frame.columns, (key,), raw.names, raw.file, self._event_name(key))
        kind = self.spec.ids.get("item" if key == "item_id" else "user")
        frame = clean_ids(frame, key, raw.file, raw.typed, kind, self.audit)
        remedy = "Keep one row per id."
        reason = f"{self.audit.called(raw.file, key)} is repeated"
        frame = self.audit.sift(frame, ~frame[key].is_first_distinct(), raw.file, key, reason, remedy)
        self.audit.table(table, raw.file, frame.height)
        return frame.drop(ROW)

    def pictured(self, items: pl.DataFrame | None, used: pl.Series) -> pl.DataFrame | None:
        """The item table with the column of pictures that was asked for; ``used`` are ids that may lack a row."""
        asked = self.options.get("pictures")
        if asked is None:
            return items
        ids = pl.DataFrame({"item_id": used.unique(maintain_order=True)})
        if items is None:
            items = ids
        elif items["item_id"].dtype == ids["item_id"].dtype:
            items = pl.concat([items, ids.join(items, on="item_id", how="anti")], how="diagonal")
        folder = next((path.parent for path in self.source.files.values()), None)
        given = self.options.get("items")
        ref = str(asked) if str(asked) in items.columns else where(str(asked), folder)
        base = folder if given is None or isinstance(given, pl.DataFrame) else Path(given).resolve().parent
        table = None
        if ref not in items.columns and Path(ref).is_file():
            told: ReadOptions = {"columns": self.options.get("columns"), "remembered": self.options.get("remembered")}
            read = _Reader(pl.DataFrame(), {**told, "items": ref}, self.audit)
            table = read.features("items", "item_id")
        return attach(items, ref, base, self.audit, table)

    def further(self) -> dict[str, pl.DataFrame]:
        """The tables that are carried along."""
        extras = {}
        for table in (t for t in self.source.files if t not in MAIN_TABLES):
            raw = self._raw(table)
            if raw is not None:
                frame, _ = prepare(raw, self.source.table_spec(table), ("user_id", "item_id"), {}, self.audit)
                frame = frame if raw.typed else guess_types(frame, set(self.source.table_spec(table).dtypes))
                self.audit.table(table, raw.file, frame.height)
                extras[table] = frame.drop(ROW)
        return extras

    def _raw(self, table: str) -> RawTable | None:
        given = self.options.get(table) if table in ("items", "users") else None
        if isinstance(given, pl.DataFrame):
            return from_frame(given, table)
        if given is not None:
            return read_file(Path(str(given)), TableSpec(), self.audit)
        if self.frame is not None:
            return from_frame(self.frame, "interactions") if table == "interactions" else None
        named = (self.options.get("tables") or {}).get(table)
        if self.source.url is not None:
            return self._sql(table, named or self.source.table_spec(table).file)
        if named is not None and "interactions" in self.source.files:
            path = self.source.files["interactions"].parent / named
            return read_file(path, self.source.table_spec(table), self.audit)
        path_of = self.source.files.get(table)
        return None if path_of is None else read_file(path_of, self.source.table_spec(table), self.audit)

    def _sql(self, table: str, named: str | None) -> RawTable | None:
        try:
            return read_sql(str(self.source.url), named or table, self.audit)
        except UnknownNameError:
            if named is None and table != "interactions":
                return None
            raise

    def _event_name(self, key: str) -> str | None:
        """What events that were read before call a column; ``None`` where a table is read alone."""
        if not self.audit.has_read("interactions"):
            return None
        return (self.options.get("columns") or {}).get(key) or self.spec.interactions.columns.get(key) or key

    def _with_id_alias(self, table: str, key: str, raw: RawTable) -> TableSpec:
        """A feature table may call its key as the interactions do, or just ``id``."""
        spec = self.source.table_spec(table)
        plain = {name.partition(":")[0].casefold().replace("_", "") for name in raw.names}
        if key in spec.columns or any(alias.replace("_", "") in plain for alias in ALIASES[key]):
            return spec
        before = self.options.get("remembered") or Reading()
        candidates = (
            (self.options.get("columns") or {}).get(key),
            self.spec.interactions.columns.get(key),
            before.columns.get(key),
            "id",
        )
        name = next((name for name in candidates if name in raw.names), None)
        return spec if name is None else spec.model_copy(update={"columns": {**spec.columns, key: name}})

    def _meanings(self, frame: pl.DataFrame, file: str, spec: TableSpec) -> pl.DataFrame:
        audit = self.audit
        if "timestamp" in frame.columns:
            frame = clean_times(frame, file, self.options.get("time_unit") or spec.time_unit, audit)
        if "position" in frame.columns:
            frame = clean_positions(frame, file, audit)
        if "label" in frame.columns:
            frame = clean_numbers(frame, "label", file, pl.Float64(), audit)
        if "weight" in frame.columns:
            frame = clean_weights(frame, file, audit)
        if "split" in frame.columns and self.options.get("split") is None:
            frame = clean_split(frame, file, spec.split_values, audit)
        elif "split" in frame.columns:
            frame = frame.drop("split")
        if "event" in frame.columns:
            frame = clean_events(frame, file, audit)
        return frame

    def _duplicates(self, frame: pl.DataFrame, file: str) -> pl.DataFrame:
        keys = [c for c in ("user_id", "item_id", "timestamp", "position", "event", "split") if c in frame.columns]
        if frame.select(keys).n_unique() == frame.height:
            return frame
        repeated = ~frame.select(pl.struct(keys).is_first_distinct()).to_series()
        count, policy = int(repeated.sum()), self.options.get("duplicates") or self.spec.duplicates
        if policy == "error":
            row = int(frame.filter(repeated)[ROW][0])
            remedy = f"Remove them, or say {_DROP}, or 'keep'."
            raise DataError(f"{count:,} events are there more than once.", remedy, file=file, row=row)
        if policy == "drop":
            return self.audit.sift(frame, repeated, file, "item_id", "the event is repeated", "Nothing to do.")
        self.audit.note(f"{file}: {count:,} events are there more than once and were kept ({_DROP} removes them)")
        return frame


def _note_unmatched(data: Dataset, items: pl.DataFrame | None, known: pl.Series | None, audit: Audit) -> None:
    if items is None:
        return
    used = data.item_ids.values.gather(data.interactions["item"].unique())
    if known is not None:
        used = used.filter(~used.cast(known.dtype, strict=False).is_in(known.implode()))
    without = len(used) - int(used.is_in(items["item_id"].cast(used.dtype).implode()).sum())
    if without:
        which = "items with interactions" if known is None else "new items"
        audit.note(f"{without:,} of {len(used):,} {which} have no row in the items table")
