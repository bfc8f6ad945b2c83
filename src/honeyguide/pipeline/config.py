"""What a pipeline does, as a TOML file says it: frozen, typed, no unknown keys."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from honeyguide.core.errors import ConfigError

M = TypeVar("M", bound=BaseModel)
# ASCII's letters and digits, ``_.-`` and all that is not ASCII, by what is left out: ``\w`` and ``\p{L}`` are other
# characters to Python than to a reader of the schema
_NAME = r"^[^\x00-\x2c\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\xa0]+$"


def _is_name(value: str) -> str:
    if re.fullmatch(_NAME, value) and not value.endswith("\n"):
        return value
    raise ValueError("a name is made of letters, digits and the characters _ . -")


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    AfterValidator(_is_name),
    Field(json_schema_extra={"pattern": _NAME}),
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Retrieve(_Part):
    """A source of candidates.

    Parameters
    ----------
    source
        ``"model"``: the best of the model; ``"similar"``: what is similar to the latest events; ``"popular"``;
        ``"latest"``: the highest of the column ``by``, or what was added last; ``"text"``: what is like the query,
        or like the history.
    n
        How many.
    last
        ``"similar"``: events that are looked at.
    by
        ``"latest"``: a column of numbers or times.
    """

    source: Literal["model", "similar", "popular", "latest", "text"]
    n: int = Field(default=200, ge=1, le=10_000)
    last: int = Field(default=5, ge=1, le=100)
    by: str | None = None

    @model_validator(mode="after")
    def _column(self) -> Self:
        if self.source != "latest" and self.by is not None:
            raise ValueError("only the source 'latest' has 'by', a column of numbers or times")
        return self


class Rank(_Part):
    """How candidates are ordered.

    Parameters
    ----------
    by
        ``"model"``: by its scores; ``"fusion"``: by reciprocal ranks in the sources, ``sum 1 / (60 + rank)``
        (Cormack et al. 2009).
    """

    by: Literal["model", "fusion"] = "model"


class Rule(_Part):
    """One rule; exactly one of ``filter``, ``boost`` and ``pin``.

    Parameters
    ----------
    filter
        Only items of which the condition (:mod:`honeyguide.data.expressions`) is true.
    boost, weight
        Items of which the condition is true are moved by ``weight`` standard deviations of the candidates' scores.
    pin, position
        External ids of items that stand from this place of the list on (the first is 1), whatever the model thinks.
    scenario
        Only in these; empty for everywhere.
    """

    filter: str | None = None
    boost: str | None = None
    weight: float = Field(default=1.0, ge=-100, le=100)
    pin: tuple[str | int, ...] | None = None
    position: int = Field(default=1, ge=1, le=1000)
    scenario: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.filter, self.boost, self.pin)) != 1:
            raise ValueError("a rule has exactly one of filter, boost and pin")
        return self


class Diversify(_Part):
    """How alike neighbours in a list may be.

    Parameters
    ----------
    method
        ``"mmr"`` (Carbonell & Goldstein 1998), ``"dpp"`` (greedy maximum of a determinantal point process, Chen et al.
        2018), or ``"none"``.
    weight
        Of variety against relevance, in [0, 1].
    by
        Vectors of the ``"model"`` or of the items' ``"text"``.
    depth
        Places that are filled this way; what comes after keeps its order.
    scenario
        Only in these; empty for everywhere.
    """

    method: Literal["mmr", "dpp", "none"] = "none"
    weight: float = Field(default=0.3, ge=0, le=1)
    by: Literal["model", "text"] = "model"
    depth: int = Field(default=50, ge=1, le=1000)
    scenario: tuple[Name, ...] = ()


class Explore(_Part):
    """How the head of a list is drawn at random, so that what was not shown can be learnt of.

    The service draws, for every list by its own id; what is pinned stays in its place.

    Parameters
    ----------
    method
        ``"epsilon"``: with probability ``epsilon`` the head is shuffled; ``"softmax"``: place by place, an item that
        stood at r is drawn with a weight of ``r ** (-1 / temperature)`` (Plackett-Luce); or ``"none"``.
    epsilon
        Share of lists that are shuffled.
    temperature
        Near 0 the order stays, at 1 the second item has half the weight of the first.
    depth
        Places of the head.
    scenario
        Only in these; empty for everywhere.
    """

    method: Literal["epsilon", "softmax", "none"] = "none"
    epsilon: float = Field(default=0.1, gt=0, le=1)
    temperature: float = Field(default=0.5, ge=0.1, le=10)
    depth: int = Field(default=20, ge=2, le=50)
    scenario: tuple[Name, ...] = ()


class PipelineConfig(_Part):
    """The whole; the default is the model's best, without rules.

    Parameters
    ----------
    retrieve, rank, rules, diversify, explore
        The stages.
    page
        Items of a page.
    index
        How the source ``"model"`` of the service finds the best, where a score is an inner product: ``"exact"`` looks
        at all items; ``"ivf"`` and ``"hnsw"`` (faiss) and ``"cells"`` (numpy) at some, with 95 % of the best among
        them; ``"auto"`` does so from 20,000 items on. It is read when a model is.
    encoder
        Of texts, for ``source = "text"`` and ``by = "text"``.
    """

    retrieve: tuple[Retrieve, ...] = Field(default=(Retrieve(source="model"),), min_length=1)
    rank: Rank = Rank()
    rules: tuple[Rule, ...] = ()
    diversify: Diversify = Diversify()
    explore: Explore = Explore()
    page: int = Field(default=10, ge=1, le=1000)
    index: Literal["auto", "exact", "ivf", "cells", "hnsw"] = "auto"
    encoder: str = "auto"

    @property
    def reads_text(self) -> bool:
        """Whether vectors of the items' texts are needed."""
        by_text = self.diversify.method != "none" and self.diversify.by == "text"
        return by_text or any(source.source == "text" for source in self.retrieve)


def read_pipeline(path: str | Path) -> PipelineConfig:
    """The pipeline that a TOML file describes.

    Raises
    ------
    ConfigError
        If the file cannot be read or says what is not known; it names the place.
    """
    return read_toml(path, PipelineConfig, "docs/how-to/pipeline.md")


def read_toml(path: str | Path, kind: type[M], page: str) -> M:
    """The typed content of a TOML file.

    Parameters
    ----------
    path
        The file.
    kind
        What it describes.
    page
        Where that is documented.

    Raises
    ------
    ConfigError
        If the file cannot be read or says what is not known; it names the place.
    """
    try:
        content: dict[str, Any] = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", "Name a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.", "Correct the file at that place.") from error
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = (
            "there is no such key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        )
        raise ConfigError(
            f"{path}: {place or 'the file'}: {what[:1].lower()}{what[1:]}.",
            f"Known: {', '.join(kind.model_fields)}; see {page}.",
        ) from None
