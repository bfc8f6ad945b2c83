"""What every encoder offers, and how the files it is made of are known to be the right ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from honeyguide.core.errors import EncoderError
from honeyguide.core.ragged import FloatArray

Asset = TypeVar("Asset", contravariant=True)


class Encoder(Protocol[Asset]):
    """Turns assets (texts, pictures) into vectors of length one, the same vector for the same asset.

    Attributes
    ----------
    name
        What the encoder is asked for by.
    version
        Differs whenever the vectors may differ; holds the SHA-256 of the weights.
    modality
        What it reads, for example ``"text"``.
    dim
        Width of the vectors.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def version(self) -> str: ...  # noqa: D102

    @property
    def modality(self) -> str: ...  # noqa: D102

    @property
    def dim(self) -> int: ...  # noqa: D102

    def encode(self, assets: Sequence[Asset]) -> FloatArray:
        """float32 ``[n, dim]``, rows of length one; zeros for an asset that cannot be read."""
        ...


@dataclass(frozen=True)
class Release:
    """The files of an encoder: hexadecimal SHA-256 by name.

    Parameters
    ----------
    weights
        The files with the learnt numbers.
    others
        All else on which the vectors depend: vocabulary, configuration.
    """

    weights: Mapping[str, str]
    others: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path, weights: Sequence[str], others: Sequence[str]) -> Release:
        """The release that lies in ``folder``; ``weights`` and ``others`` are the ends of file names."""
        found = [p for p in sorted(folder.rglob("*")) if p.is_file()]
        digests = {p.relative_to(folder).as_posix(): sha256_of(p) for p in found if p.suffix in {*weights, *others}}
        split = {name for name in digests if Path(name).suffix in weights}
        return cls(
            {name: d for name, d in digests.items() if name in split},
            {name: d for name, d in digests.items() if name not in split},
        )

    @property
    def version(self) -> str:
        """The SHA-256 of the weights and eight digits for all that stands around them."""
        whole = next(iter(self.weights.values())) if len(self.weights) == 1 else _digest(self.weights)
        return f"sha256:{whole}-{_digest(self.others)[:8]}"

    def check(self, name: str, folder: Path) -> None:
        """Compare the files in ``folder`` with this release of the encoder ``name``.

        Raises
        ------
        EncoderError
            If one is missing or differs.
        """
        remedy = "Install its package again, in the version that honeyguide asks for."
        for file, expected in {**self.weights, **self.others}.items():
            path = folder / file
            if not path.is_file():
                raise EncoderError(f"The encoder {name!r} lacks its file {path}.", remedy)
            if sha256_of(path) != expected:
                raise EncoderError(
                    f"The encoder {name!r} was altered: {path} has not the SHA-256 it was released with.", remedy
                )


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(files: Mapping[str, str]) -> str:
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def must_be_version(encoder: Encoder[Asset], version: str) -> None:
    """Refuse an encoder whose vectors cannot be compared with those that are there.

    Raises
    ------
    EncoderError
        If the one that is installed is not the version that they were made with.
    """
    if encoder.version != version:
        raise EncoderError(
            f"The {encoder.modality} encoder {encoder.name!r} is {encoder.version}; "
            f"this model was made with {version}.",
            "Their vectors cannot be compared: install the version it was made with, or fit the model again.",
        )
