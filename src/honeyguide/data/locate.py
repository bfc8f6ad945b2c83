"""From what a person types to the tables of a data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from honeyguide.core.errors import DataError, UnknownNameError
from honeyguide.data.readers import SUFFIXES, TEXT_SEPARATORS
from honeyguide.data.spec import FILE_NAME, DatasetSpec, TableSpec, read_spec

VARIABLE = "HONEYGUIDE_DATA"
MAIN_TABLES = ("interactions", "items", "users")
FURTHER_TABLES = ("impressions", "queries", "reviews", "relations", "dialogues")
_RECBOLE = {"interactions": ".inter", "items": ".item", "users": ".user"}
_PACKAGE = Path(str(resources.files("honeyguide.data")))


@dataclass(frozen=True)
class Source:
    """Where the tables of a data set are.

    Parameters
    ----------
    name
        Of the data set.
    spec
        Its ``dataset.toml``, or an empty one.
    files
        File of every table that is there.
    url
        SQLAlchemy URL, if it is a database; table names then stand in ``spec``.
    """

    name: str
    spec: DatasetSpec
    files: Mapping[str, Path]
    url: str | None = None

    def table_spec(self, table: str) -> TableSpec:
        """What the ``dataset.toml`` says of a table."""
        if table in MAIN_TABLES:
            found: TableSpec = getattr(self.spec, table)
            return found
        return self.spec.tables.get(table, TableSpec())


def known_data() -> list[str]:
    """Names that :func:`~honeyguide.data.load.load_data` knows: bundled ones and those under ``$HONEYGUIDE_DATA``."""
    names = {path.name for path in (_PACKAGE / "bundled").iterdir() if path.is_dir()}
    root = _home()
    if root is not None:
        names |= {path.name for path in root.iterdir() if path.is_dir() and _loadable(path)}
        names |= {path.stem for path in root.iterdir() if path.is_file() and path.suffix in SUFFIXES}
    return sorted(names)


def locate(ref: str | Path) -> Source:
    """Find a data set.

    Parameters
    ----------
    ref
        A folder, a file of interactions, a bundled name, a name under ``$HONEYGUIDE_DATA``, or a
        SQLAlchemy URL (``?table=NAME`` names the table of interactions); a folder or file wins over a name.

    Raises
    ------
    UnknownNameError
        If nothing is known by that name.
    DataError
        If a path does not exist or a folder holds no interactions.
    """
    if isinstance(ref, str) and "://" in ref:
        return _database(ref)
    path = Path(ref)
    if not path.exists():
        path = _by_name(str(ref))
    if path.is_file():
        spec = DatasetSpec()
        if path.name == FILE_NAME:
            return _folder(path.parent)
        return Source(path.stem, spec, {"interactions": path})
    return _folder(path)


def _database(ref: str) -> Source:
    """A database; ``?table=NAME`` in its URL names the table of interactions."""
    import sqlalchemy as sa

    try:
        url = sa.make_url(ref)
        table = url.query.get("table")
        spec = DatasetSpec(interactions=TableSpec(file=str(table) if table else None))
        plain = url.difference_update_query(["table"]).render_as_string(hide_password=False)
        return Source(Path(url.database or "database").stem, spec, {}, url=plain)
    except (sa.exc.ArgumentError, ValueError):
        remedy = "Write it as dialect://user:password@host/name."
        raise DataError("the URL is not one of SQLAlchemy.", remedy) from None  # the cause may hold the password


def _by_name(name: str) -> Path:
    candidates = [_PACKAGE / "bundled" / name]
    root = _home()
    if root is not None:
        candidates += [root / name, *(root / f"{name}{suffix}" for suffix in SUFFIXES)]
    found = next((path for path in candidates if path.exists()), None)
    if found is not None and name not in ("", ".", ".."):
        return found
    if len(Path(name).parts) > 1 or Path(name).suffix in (*SUFFIXES, *TEXT_SEPARATORS):
        raise DataError("there is no such file or folder.", "Check the path.", file=name)
    raise UnknownNameError("data set", name, known_data())


def _home() -> Path | None:
    value = os.environ.get(VARIABLE)
    return Path(value) if value and Path(value).is_dir() else None


def _folder(folder: Path) -> Source:
    spec = _spec_of(folder)
    files = {}
    for table in (*MAIN_TABLES, *FURTHER_TABLES, *spec.tables):
        described: TableSpec = getattr(spec, table) if table in MAIN_TABLES else spec.tables.get(table, TableSpec())
        path = _find(folder, table, described)
        if path is not None:
            files[table] = path
    if "interactions" not in files:
        there = ", ".join(sorted(p.name for p in folder.iterdir() if p.suffix in (*SUFFIXES, *TEXT_SEPARATORS)))
        raise DataError(
            f"the folder holds no table of interactions; its data files: {there or 'none'}.",
            f"Name a file interactions.csv (or .parquet, .jsonl), or write in {FILE_NAME}: "
            '[interactions] file = "...".',
            file=str(folder),
        )
    return Source(spec.name or folder.resolve().name, spec, files)


def _spec_of(folder: Path) -> DatasetSpec:
    own = folder / FILE_NAME
    known = _PACKAGE / "known" / f"{folder.resolve().name}.toml"
    if own.is_file():
        return read_spec(own)
    if known.is_file():
        spec = read_spec(known)
        if spec.interactions.file is None or (folder / spec.interactions.file).is_file():
            return spec
    return DatasetSpec()


def _find(folder: Path, table: str, spec: TableSpec) -> Path | None:
    if spec.file is not None:
        path = folder / spec.file
        if not path.is_file():
            raise DataError(
                f"{FILE_NAME} names it as the table {table}, but it is not there.", "Correct the name.", file=str(path)
            )
        return path
    named = [folder / f"{table}{suffix}" for suffix in SUFFIXES]
    found = next((path for path in named if path.is_file()), None)
    if found is None and table in _RECBOLE:
        atomic = sorted(folder.glob(f"*{_RECBOLE[table]}"))
        found = atomic[0] if len(atomic) == 1 else None
    return found


def _loadable(folder: Path) -> bool:
    try:
        _folder(folder)
    except DataError:
        return False
    return True
