from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.core.errors import ConfigError, MissingExtraError, UnknownNameError
from honeyguide.experiment.settings import build_model, check_by_model, from_toml, merge, parse_settings, to_toml
from honeyguide.models.registry import MODELS, model_class


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("dim=128", {"dim": 128}),
        ("lr=1e-3", {"lr": 0.001}),
        ("clip=none", {"clip": None}),
        ("loss=gbce", {"loss": "gbce"}),
        ('name="a=b"', {"name": "a=b"}),
        ("decays=[0.6, 0.8]", {"decays": [0.6, 0.8]}),
        ("flag=true", {"flag": True}),
        ("loss.negatives=256", {"loss": {"negatives": 256}}),
    ],
)
def test_options_are_parsed(text: str, settings: dict[str, object]) -> None:
    assert parse_settings([text]) == settings


@pytest.mark.parametrize("text", ["dim", "=3", "", "a=1;b"])
def test_what_is_no_option_is_refused(text: str) -> None:
    texts = [text] if text != "a=1;b" else ["a=1", "a.b=2"]
    with pytest.raises(ConfigError):
        parse_settings(texts)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_configuration_survives_toml(name: str, tmp_path: Path) -> None:
    try:
        config = model_class(name).Config()
    except MissingExtraError as error:
        pytest.skip(str(error))
    path = tmp_path / "model.toml"
    path.write_text(to_toml(name, config), encoding="utf-8")
    read_name, settings = from_toml(path)
    assert read_name == name
    assert build_model(name, settings).config == config


def test_changed_options_survive_toml(tmp_path: Path) -> None:
    config = build_model("floor", {"decays": (0.5,), "mixes": (0.25, 0.75), "seed": 9}).config
    path = tmp_path / "floor.toml"
    path.write_text(to_toml("floor", config), encoding="utf-8")
    assert build_model(*from_toml(path)).config == config


def test_wrong_names_get_suggestions() -> None:
    with pytest.raises(UnknownNameError, match=r"no model named 'saserc'.*sasrec"):
        build_model("saserc")
    with pytest.raises(UnknownNameError, match=r"no option of ials named 'factor'.*factors"):
        build_model("ials", {"factor": 3})


def test_wrong_values_are_named() -> None:
    with pytest.raises(ConfigError, match="factors"):
        build_model("ials", {"factors": "many"})


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("model = ", "is not TOML"),
        ("[options]\nseed = 1\n", "does not name a model"),
        ('model = "ease"\nfactors = 3\n', "unknown entry 'factors'"),
    ],
)
def test_faulty_files_are_explained(content: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=fault):
        from_toml(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="config init"):
        from_toml(tmp_path / "none.toml")


keys = st.dictionaries(st.sampled_from("abc"), st.integers() | st.dictionaries(st.sampled_from("xy"), st.integers()))


@given(keys, keys)
def test_merging_prefers_the_second(base: dict[str, object], over: dict[str, object]) -> None:
    merged = merge(base, over)
    assert set(merged) == set(base) | set(over)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            assert merged[key] == {**base[key], **value}  # type: ignore[dict-item]
        else:
            assert merged[key] == value


def test_options_are_of_models_that_are_there() -> None:
    check_by_model(parse_settings(["ease.regularization=3"]), ["ease", "ials"], "compared")
    with pytest.raises(ConfigError, match=r"'eas', which is not compared. Did you mean 'ease'\? .*are ease, ials\."):
        check_by_model(parse_settings(["eas.regularization=3"]), ["ease", "ials"], "compared")
    with pytest.raises(ConfigError, match=r"'dim', which is not tuned. Write MODEL.OPTION=VALUE"):
        check_by_model(parse_settings(["dim=3"]), ["ease", "ials"], "tuned")
    with pytest.raises(ConfigError, match=r"names no option of ease. Write ease.OPTION=3"):
        check_by_model(parse_settings(["ease=3"]), ["ease"], "replayed")
