"""Models of the Hugging Face hub, as folders."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from honeyguide.core.errors import EncoderError, MissingExtraError

_ENCODER = ("*.safetensors", "*.json", "*.txt", "*.model")  # files of one


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


def fetched(name: str, modality: str, extra: str, instead: str) -> Path:
    """The folder of an encoder of the hub.

    Parameters
    ----------
    name
        Of the model on the hub.
    modality, extra
        What it reads, and the extra that has what fetches it.
    instead
        What may be used where it cannot be had, as the end of a sentence.

    Raises
    ------
    MissingExtraError
        If the client of the hub is not installed.
    EncoderError
        If it cannot be had.
    """
    if find_spec("huggingface_hub") is None:
        raise MissingExtraError(f"The {modality} encoder {name!r}", extra)
    try:
        return hub_folder(name, _ENCODER)
    except NotFetchedError as error:
        raise EncoderError(
            f"The {modality} encoder {name!r} could not be fetched from the Hugging Face hub: {error}",
            f"Where there is a network run 'hf download {name} --local-dir DIR', and give DIR as the encoder; "
            f"or use {instead}.",
        ) from error
