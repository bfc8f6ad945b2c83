"""What goes over the wire: strict models, every field bounded."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from honeyguide.pipeline.config import Name

Id = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00]+$")]
_Whole = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_String = Annotated[str, StringConstraints(max_length=16_000)]  # bounded, so halves of surrogate pairs are refused
_Flat = bool | _Whole | _Number | _String | None
_Inner = _Flat | list[_Flat] | dict[_String, _Flat]
_Value = _Flat | list[_Inner] | dict[_String, _Inner]
Fields = dict[Annotated[str, StringConstraints(min_length=1, max_length=64)], _Value]
EventId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]

MOST_EVENTS, MOST_ITEMS = 1000, 1000  # of one request
_LARGEST = 16_000  # characters of the fields of an item or a user


def _is_text(value: Any) -> Any:
    """A time is written out: numbers would be guessed to be seconds or milliseconds."""
    if isinstance(value, str) and not value.strip().lstrip("+-").replace(".", "", 1).isdigit():
        return value
    raise ValueError("a time is a text such as 2026-01-31T12:00:00Z")


def _is_number(value: Any) -> Any:
    """A whole number may be written 5.0, but is neither true nor a text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError("this is no number")


_Size = Annotated[int, Field(strict=False, ge=1, le=100), BeforeValidator(_is_number)]
_Seconds = Annotated[int, Field(strict=False, ge=60, le=30 * 86_400), BeforeValidator(_is_number)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EventIn(_Wire):
    """Something a user did."""

    event_id: EventId = Field(description="Given by the client; sent again it is the same event.")
    user_id: Id
    item_id: Id
    kind: Name = "view"
    weight: float | None = Field(
        default=None,
        ge=-1000,
        le=1000,
        allow_inf_nan=False,
        description="Positive: liked; by default as the kind says.",
    )
    timestamp: Annotated[datetime, Field(strict=False), BeforeValidator(_is_text)] | None = Field(
        default=None, description="When it happened; by default now. UTC without a zone."
    )


class EventsIn(_Wire):
    """Events of one request: kept whole, or not at all."""

    events: list[EventIn] = Field(min_length=1, max_length=MOST_EVENTS)


class EventsOut(_Wire):
    """All of them are on disk."""

    accepted: int = Field(description="Events that were not there yet.")
    repeated: int = Field(description="Events that were there already.")


class ItemIn(_Wire):
    """What is known of an item."""

    item_id: Id
    fields: Fields

    @field_validator("fields")
    @classmethod
    def _bounded(cls, value: Fields) -> Fields:
        return _bounded(value)


class ItemsIn(_Wire):
    """Items of one request."""

    items: list[ItemIn] = Field(min_length=1, max_length=MOST_ITEMS)


class ItemsOut(_Wire):
    """All of them are on disk."""

    stored: int
    recommendable: int = Field(description="How many of them the model can recommend from now on that it did not know.")


class UserIn(_Wire):
    """What is known of a user."""

    fields: Fields

    @field_validator("fields")
    @classmethod
    def _bounded(cls, value: Fields) -> Fields:
        return _bounded(value)


class Forced(_Wire):
    """A variant to look at, whoever asks; its list is not logged."""

    experiment: Name
    variant: Name


class RecommendIn(_Wire):
    """A request for a list; without a user and a session, what is popular."""

    user_id: Id | None = None
    session: list[Id] = Field(
        default_factory=list, max_length=200, description="Items of an anonymous visit, oldest first."
    )
    k: _Size | None = Field(default=None, description="Items of a page; by default as the pipeline says.")
    scenario: Name = "default"
    where: list[Text] = Field(
        default_factory=list, max_length=10, description="Conditions over item fields: 'year < 1990'."
    )
    exclude: list[Id] = Field(default_factory=list, max_length=1000)
    session_id: Id | None = Field(
        default=None,
        description="Of an anonymous visit: it keeps to one variant of an experiment, and events that bring it as "
        "their user_id count for what it was shown.",
    )
    force: Forced | None = Field(default=None, description="Needs the scope admin.")
    explain: bool = False
    trace: bool = False


class CommandIn(_Wire):
    """What a user says about the list: 'shorter, no crime', 'more like the second one', 'undo'."""

    user_id: Id
    command: Text
    shown: list[Id] = Field(
        default_factory=list, max_length=100, description="What is before the user's eyes, in order."
    )
    k: _Size = Field(default=10)
    scenario: Name = "default"


class ExplainIn(_Wire):
    """Why an item is where it is for a user or a session."""

    item_id: Id
    user_id: Id | None = None
    session: list[Id] = Field(default_factory=list, max_length=200)
    recommendation_id: Name | None = Field(
        default=None, description="Of the list it stands in: the model that made it is asked, which may be a variant's."
    )
    k: _Size = Field(default=10, description="Places that count for what would change.")
    change: bool = Field(default=False, description="Also what would take the item off the first k places.")
    paths: bool = Field(default=False, description="Also how the evidence and the item are joined.")


class Piece(_Wire):
    """An item of the history that the score rests on, and what it adds, on the scale of the model."""

    item_id: str
    title: str
    adds: float


class Changed(_Wire):
    """The fewest items that were found without which the item leaves the first k places; every set was scored."""

    items: list[str]
    titles: list[str]
    k: int
    rank_without: int
    smallest: bool = Field(description="Whether it is certain that fewer do not suffice.")


class ExplainOut(_Wire):
    """The reason, checked: without the evidence the score falls. Ranks are by the model's score among all items."""

    item_id: str
    why: str
    said_by: str = Field(description="'template', or the language model whose words were let through.")
    evidence: list[str]
    verified: bool
    rank: int
    rank_without: int
    n_items: int
    because: list[Piece]
    wanted: list[str] = Field(description="What was said in commands, and is true of the item.")
    paths: list[str] | None = None
    change: Changed | None = Field(default=None, description="Null where it was not asked for, or none was found.")


class Wanted(_Wire):
    """One thing that holds from now on."""

    id: str
    said: str
    positive: bool
    hard: bool
    words: str


class Echo(_Wire):
    """How a command was understood."""

    added: list[str]
    taken_back: list[str]
    as_text: list[str] = Field(description="Words that are none of the catalogue: items like them are sought by text.")
    undone: bool
    cleared: bool


class Mark(_Wire):
    """An event of a user, which can be taken back by its id."""

    event_id: str
    item_id: str
    title: str
    kind: str
    weight: float


class Catalogue(_Wire):
    """What there is, and commands that it understands."""

    items: int
    fields: list[str]
    examples: list[str]


class SearchIn(_Wire):
    """A search: by text, and by what the user likes where one is named."""

    query: Text
    user_id: Id | None = None
    k: _Size = Field(default=10)
    where: list[Text] = Field(default_factory=list, max_length=10)


class ItemOut(_Wire):
    """One place of a list."""

    item_id: str
    rank: int
    score: float
    title: str = Field(description="What the item is called: of the column of titles, or its id.")
    fields: dict[str, Any]
    why: str | None = None
    evidence: list[str] = []


class ListOut(_Wire):
    """A list, and the handle of its next page."""

    recommendation_id: str
    source: Literal["personal", "session", "popular", "latest"]
    model: str
    version: str
    experiment: str | None = Field(default=None, description="That the list belongs to.")
    variant: str | None = None
    items: list[ItemOut]
    next_page: int | None
    trace: list[dict[str, Any]] | None = None


class CommandOut(ListOut):
    """What was understood, all that holds now, and the list that obeys."""

    heard: bool
    echo: Echo
    note: str = ""
    preferences: list[Wanted]


class Profile(_Wire):
    """What is known of a user, as the service uses it."""

    user_id: str
    fields: dict[str, Any]
    preferences: list[Wanted]
    liked: list[str]
    hidden: list[str]
    marks: list[Mark] = Field(description="The latest events since the fit, the last one first.")


class ExperimentsOut(_Wire):
    """What runs, and what it has shown."""

    fault: str | None = Field(description="Of the file, since its last change; what ran before goes on.")
    experiments: list[dict[str, Any]]


class Problem(_Wire):
    """What went wrong, and what to do about it."""

    error: str
    remedy: str | None = None


class TokenIn(_Wire):
    """For how long a token is wanted, and what for."""

    seconds: _Seconds = 3600
    scopes: list[Literal["read", "write"]] = Field(default=["read", "write"], min_length=1, max_length=2)


class TokenOut(_Wire):
    """A key of one user, for a browser; it ends by itself, and with the key that it was made with."""

    token: str
    scopes: list[str]
    seconds: int


class ItemKept(_Wire):
    """What is known of an item."""

    item_id: str
    fields: dict[str, Any]


class UserKept(_Wire):
    """Whose fields were kept."""

    user_id: str


class WantsOut(_Wire):
    """What still holds."""

    preferences: list[Wanted]


class SimilarOut(_Wire):
    """Items that are alike."""

    by: Literal["model", "text"] = Field(
        description="What says so: the model, or, where it cannot or does not know the item, the items' texts."
    )
    items: list[ItemOut]


class Exported(_Wire):
    """Every row that names a user, by table, and the history of the fit."""

    user_id: str
    history: list[str]
    events: list[dict[str, Any]]
    users: list[dict[str, Any]]
    exposure_log: list[dict[str, Any]]
    preferences: list[dict[str, Any]]


class Deleted(_Wire):
    """Rows that are gone."""

    rows: int


class Health(_Wire):
    """Whether the service answers, and from what."""

    status: Literal["ok", "degraded"]
    warming: bool = Field(description="Whether something that makes answers fast is being prepared.")
    tenants: dict[str, dict[str, Any]]


def _bounded(fields: Fields) -> Fields:
    if len(str(fields)) > _LARGEST:
        raise ValueError(f"fields hold more than {_LARGEST:,} characters")
    return fields
