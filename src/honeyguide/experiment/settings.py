"""Models and their configurations as people write them: names, ``option=value`` and TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel

from honeyguide.core.errors import ConfigError, UnknownNameError, suggestion
from honeyguide.core.fitting import ModelConfig
from honeyguide.core.recommender import Recommender
from honeyguide.models.registry import model_class

Settings = dict[str, Any]


def build_model(name: str, settings: Mapping[str, Any] | None = None) -> Recommender:
    """An unfitted model with the given options.

    Raises
    ------
    UnknownNameError
        If the model or an option does not exist; close names are suggested.
    ConfigError
        If a value is not allowed.
    """
    cls = model_class(name)
    _check_names(name, cls.Config, settings or {})
    return cls(**(settings or {}))


def parse_settings(texts: Iterable[str]) -> Settings:
    """Options from ``name=value`` texts; values are TOML, bare words are strings, ``none`` is ``None``.

    A dotted name reaches into a nested option: ``loss.negatives=256``.
    """
    settings: Settings = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise ConfigError(f"{text!r} is not an option.", "Write name=value, for example dim=128.")
        *path, last = name.strip().split(".")
        place = settings
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{text!r}: {part!r} has a value already.", "Name each option once.")
        place[last] = _value(value.strip())
    return settings


def to_toml(name: str, config: ModelConfig) -> str:
    """A configuration file; :func:`from_toml` reads it back to an equal configuration."""
    options = _as_toml(config.model_dump(mode="json"))
    return tomli_w.dumps({"model": name, "options": options})


def from_toml(path: str | Path) -> tuple[str, Settings]:
    """The model's name and its options from a configuration file.

    Raises
    ------
    ConfigError
        If the file is missing, is not TOML, or does not name a model.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.", "Write one with 'honeyguide config init MODEL --out FILE'."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.", "Correct the file at that place.") from error
    unknown = set(content) - {"model", "options"}
    if "model" not in content or unknown:
        what = f"has an unknown entry {sorted(unknown)[0]!r}" if unknown else "does not name a model"
        raise ConfigError(f"{path} {what}.", 'It needs: model = "NAME" and, if wanted, a table [options].')
    return str(content["model"]), _from_toml(content.get("options", {}))


def check_by_model(settings: Mapping[str, Any], models: Collection[str], done: str) -> None:
    """Check that options by model are about models that are there.

    Parameters
    ----------
    settings
        Options by name of a model.
    models
        Names of those that are there.
    done
        What is done with them, for the message: ``compared``.

    Raises
    ------
    ConfigError
        If a name is none of theirs, or has a value in place of options.
    """
    for name, given in settings.items():
        if name not in models:
            remedy = f"{suggestion(name, models)}Write MODEL.OPTION=VALUE; the models are {', '.join(models)}."
            raise ConfigError(f"options are given for {name!r}, which is not {done}.", remedy)
        if not isinstance(given, Mapping):
            raise ConfigError(f"{name}={given} names no option of {name}.", f"Write {name}.OPTION={given}.")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Settings:
    """``base`` with the values of ``over``, nested tables merged."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _value(text: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _as_toml(value: Any) -> Any:
    """TOML has no null: ``None`` is written as the word ``none``."""
    if isinstance(value, dict):
        return {key: _as_toml(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_toml(inner) for inner in value]
    return "none" if value is None else value


def _from_toml(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _from_toml(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_from_toml(inner) for inner in value]
    return None if value == "none" else value


def _check_names(model: str, config: type[BaseModel], settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        if key not in config.model_fields:
            raise UnknownNameError(f"option of {model}", key, config.model_fields)
        inner = config.model_fields[key].annotation
        if isinstance(value, Mapping) and isinstance(inner, type) and issubclass(inner, BaseModel):
            _check_names(f"{model}.{key}", inner, value)
