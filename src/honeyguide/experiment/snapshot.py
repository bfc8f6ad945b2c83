"""A data set frozen to disk, codes and all, so that every cell of a comparison reads the same one."""

from __future__ import annotations

from pathlib import Path

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.ids import Ids

_EXTRA = "extra_"


def freeze(data: Dataset, directory: str | Path) -> Path:
    """Write ``data`` as an artifact of kind ``dataset`` and return its folder."""
    tables = {"interactions": data.interactions, "items": data.items, "users": data.users}
    tables |= {_EXTRA + name: table for name, table in data.extras.items()}
    meta = {"name": data.name, "ordered": data.ordered}
    return artifact.publish(directory, artifact.Artifact("dataset", meta, tables=tables))


def thaw(directory: str | Path) -> Dataset:
    """Read what :func:`freeze` wrote.

    Raises
    ------
    ArtifactError
        If it is missing or damaged.
    """
    content = artifact.read(directory, "dataset")
    items, users = content.tables["items"], content.tables["users"]
    return Dataset(
        name=content.meta["name"],
        interactions=content.tables["interactions"],
        user_ids=Ids(users["user_id"]),
        item_ids=Ids(items["item_id"]),
        items=items,
        users=users,
        extras={name.removeprefix(_EXTRA): t for name, t in content.tables.items() if name.startswith(_EXTRA)},
        ordered=content.meta["ordered"],
    )
