"""Models of the Hugging Face hub, as folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class NotFetchedError(Exception):
    """A model of the hub cannot be had; the message is one line."""


def hub_folder(name: str, wanted: Sequence[str]) -> Path:
    """The folder of a model: what was fetched before, else what the hub gives now.

    Parameters
    ----------
    name
        Of the model on the hub.
    wanted
        Patterns of the files that are needed.

    Raises
    ------
    NotFetchedError
        If it cannot be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        try:
            return Path(snapshot_download(name, allow_patterns=list(wanted), local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(snapshot_download(name, allow_patterns=list(wanted)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise NotFetchedError(str(error).splitlines()[0]) from error
