"""Damaged versions of a saved artifact are put aside, and the last good one is made the current one."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from honeyguide.core.artifact import FORMAT, _current, _digest, _locked, _point, _read_manifest, _versions, read
from honeyguide.core.errors import ArtifactError

DAMAGED = ".damaged"  # behind the name of a version: nobody takes it for one any more
_LOG = logging.getLogger("honeyguide.artifact")


def last_good(directory: str | Path, kind: str) -> str | None:
    """Have a folder's current version be one that can be read.

    Where the current one can be read nothing changes. Else versions are tried from the newest on; each that is damaged
    is renamed to ``vNNNNNN.damaged``, and the first that is whole becomes the current one. A version that is whole but
    of another kind or format, or that the system does not let be read, stays where it is.

    Parameters
    ----------
    directory
        Where :func:`honeyguide.core.artifact.publish` wrote.
    kind
        The kind expected.

    Returns
    -------
    str or None
        Name of the current version; ``None`` where no version can be read.
    """
    root = Path(directory)
    if not _versions(root):
        return None
    with _locked(root):
        try:
            read(root, kind)
            return _current(root)[0]
        except ArtifactError as error:
            _LOG.warning("%s", error)
        for folder in reversed(_versions(root)):
            try:
                read(root, kind, folder.name)
            except ArtifactError as error:
                if _is_damage(folder, kind, error):
                    _put_aside(folder)
                continue
            _point(root, folder.name, _digest(_read_manifest(folder, None, "")))
            _LOG.warning("%s: version %s is in use", root, folder.name)
            return folder.name
    return None


def _is_damage(folder: Path, kind: str, error: ArtifactError) -> bool:
    if isinstance(error.__cause__, (OSError, MemoryError)):
        return False
    try:
        body = _read_manifest(folder, None, "")
    except Exception:  # whatever a damaged manifest makes the parser say
        return True
    return bool(body["format"] == FORMAT and body["kind"] == kind)


def _put_aside(folder: Path) -> None:
    aside = folder.with_name(folder.name + DAMAGED)
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    _LOG.warning("%s is damaged and was put aside as %s", folder, aside.name)
