"""From what names a picture to its bytes, and from bytes that a stranger made to pixels."""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 50_000_000  # of a picture: what it takes in memory is not what it takes on disk
MOST_BYTES = 64 << 20  # of a file
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # not those that start other programs, such as EPS
_DRAFT = 1024  # pixels of a side to which a large JPEG is unpacked at least


class PictureError(ValueError):
    """A picture cannot be used; ``kind`` is the count of :class:`PictureFaults` that it belongs to."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def content_of(value: str | bytes) -> bytes:
    """The bytes of a picture that is named by its path, given as a data URI, or there already.

    Raises
    ------
    PictureError
        If there are none.
    """
    if isinstance(value, bytes):
        if len(value) > MOST_BYTES:
            raise PictureError("refused", f"{len(value):,} bytes are more than a picture has")
        return value
    if value.startswith(("http://", "https://")):
        raise PictureError("refused", f"{value[:80]} is an address, and nothing is fetched: give the file")
    if value.startswith("data:"):
        try:
            return content_of(base64.b64decode(value.partition(",")[2], validate=True))
        except binascii.Error as error:
            raise PictureError("broken", f"a data URI is no base64: {error}") from error
    path = Path(value)
    try:
        if not path.is_file():
            raise PictureError("absent", f"there is no file {value[:200]}")
        if path.stat().st_size > MOST_BYTES:
            raise PictureError("refused", f"{value[:200]} has more than {MOST_BYTES:,} bytes")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError("absent", f"{value[:200]}: {error}") from error


def decode(content: bytes, most_pixels: int = MOST_PIXELS) -> Image:
    """The picture in RGB, upright, what is transparent on white; of an animation the first.

    Its header is read first: what claims more than ``most_pixels`` is never unpacked.

    Raises
    ------
    PictureError
        If it is none.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > most_pixels:
                raise PictureError("broken", f"{width:,} x {height:,} pixels are more than {most_pixels:,}")
            picture.draft("RGB", (_DRAFT, _DRAFT))  # a large JPEG is unpacked at a fraction of its size
            upright = ImageOps.exif_transpose(picture)
            if "transparency" in upright.info or upright.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
                layer = upright.convert("RGBA")
                white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
                return Image.alpha_composite(white, layer).convert("RGB")
            if upright.mode.startswith("I;16") or upright.mode in ("I", "F"):  # grey in more than eight bits
                values = np.asarray(upright, np.float32)
                top = 65535.0 if values.max(initial=0.0) > 255 else 255.0
                return Image.fromarray((np.clip(values / top, 0, 1) * 255).astype(np.uint8)).convert("RGB")
            return upright.convert("RGB")
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError("broken", "it is no picture that can be read: " + str(error)[:120]) from error
    except Exception as error:  # decoders of a dozen formats fail on damaged files in as many ways
        raise PictureError("broken", f"it is damaged: {type(error).__name__}: {str(error)[:120]}") from error
