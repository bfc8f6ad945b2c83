"""What a person wants, as commands said it: an immutable state, changed by deltas, whose ids come from code alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from honeyguide.core.errors import ConfigError

Relation = Literal["is", "<", "<=", ">", ">=", "like", "about"]
RELATIONS = ("is", "<", "<=", ">", ">=", "like", "about")
_LONGEST = 300  # characters of a value
_MOST = 100  # wants that hold at a time


@dataclass(frozen=True)
class Want:
    """One thing that is wanted, or not.

    Parameters
    ----------
    positive, hard
        The four kinds: a hard one holds on every later list where the field is known; a soft one moves scores.
    relation
        ``is`` and the comparisons are about ``field``; ``like`` is an item; ``about`` is free text.
    field
        Column of the item table; empty for ``like`` and ``about``.
    value
        A number or a word of the catalogue; an item's external id; a text.
    words
        As it was said.
    """

    positive: bool
    hard: bool
    relation: Relation
    field: str = ""
    value: str | float = ""
    words: str = ""

    def said(self) -> str:
        """In a few words, for people."""
        what = str(self.value if not isinstance(self.value, float) or self.value % 1 else int(self.value))
        if self.relation == "about":
            return f"{'more' if self.positive else 'less'} like “{what}”"
        if self.relation == "like":
            return f"{'like' if self.positive else 'unlike'} {self.words or what}"
        name = self.field.replace("_", " ")
        about = f"{name}: {what}" if self.relation == "is" else f"{name} {self.relation} {what}"
        return about if self.positive else f"{'no' if self.hard else 'less'} {about}"

    def rivals(self, other: Want) -> bool:
        """Whether ``other``, said later, takes the place of this one."""
        if self.relation != other.relation:
            return self.field == other.field and bool(self.field) and _opposed(self, other)
        if self.field != other.field:
            return False
        return self.relation not in ("is", "like", "about") or self.value == other.value


def _opposed(old: Want, new: Want) -> bool:
    """Whether two bounds of a field leave nothing between them."""
    if not (isinstance(old.value, float) and isinstance(new.value, float)):
        return False
    low, high = (old, new) if old.relation in (">", ">=") else (new, old)
    return low.relation in (">", ">=") and high.relation in ("<", "<=") and low.value >= high.value  # type: ignore[operator]


@dataclass(frozen=True)
class Delta:
    """What a command changes.

    Parameters
    ----------
    add
        New wants.
    retract
        Ids of wants that hold no longer.
    clear
        Whether everything before is put aside.
    undo
        Whether the last command is taken back.
    heard
        Whether the command was understood at all.
    """

    add: tuple[Want, ...] = ()
    retract: tuple[str, ...] = ()
    clear: bool = False
    undo: bool = False
    heard: bool = True


@dataclass(frozen=True)
class Preferences:
    """All that holds now, by id, and what held before.

    Parameters
    ----------
    wants
        By id (``c1``, ``c2``, ...), in the order in which they were said.
    issued
        Ids given out so far: none is given twice.
    earlier
        States before each command, latest last, for ``undo``.
    """

    wants: Mapping[str, Want] = field(default_factory=dict)
    issued: int = 0
    earlier: tuple[Mapping[str, Want], ...] = ()

    def after(self, delta: Delta) -> Preferences:
        """The state that a delta leaves.

        What it does not touch is kept; what it contradicts gives way to what was said last; what is said
        again keeps its id. Texts are cut, and the oldest wants dropped, where there are too many to keep.
        """
        if delta.undo:
            if not self.earlier:
                return self
            return replace(self, wants=self.earlier[-1], earlier=self.earlier[:-1])
        wants = {} if delta.clear else {i: w for i, w in self.wants.items() if i not in delta.retract}
        issued = self.issued
        for want in map(_cut, delta.add):
            same = [i for i, old in wants.items() if old.rivals(want)]
            for i in same[1:]:
                del wants[i]
            if same:
                wants[same[0]] = want
            else:
                issued += 1
                wants[f"c{issued}"] = want
        for oldest in list(wants)[:-_MOST]:
            del wants[oldest]
        if wants == self.wants:
            return self
        return Preferences(wants, issued, (*self.earlier, self.wants)[-20:])

    def of(self, *, positive: bool, hard: bool) -> list[Want]:
        """The wants of one of the four kinds."""
        return [w for w in self.wants.values() if (w.positive, w.hard) == (positive, hard)]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; :meth:`from_dict` reads it back."""
        return {
            "wants": {i: asdict(w) for i, w in self.wants.items()},
            "issued": self.issued,
            "earlier": [{i: asdict(w) for i, w in state.items()} for state in self.earlier],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Preferences:
        """Undo :meth:`to_dict`.

        Raises
        ------
        ConfigError
            If it is not such a state.
        """
        try:
            earlier = tuple(_wants(state) for state in content.get("earlier", ()))
            return cls(_wants(content["wants"]), int(content["issued"]), earlier)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"these are no preferences: {error}.", "Give what to_dict() returned.") from error


def _cut(want: Want) -> Want:
    value = want.value[:_LONGEST] if isinstance(want.value, str) else want.value
    return replace(want, value=value, words=want.words[:_LONGEST])


def _wants(content: Mapping[str, Mapping[str, Any]]) -> dict[str, Want]:
    return {str(i): checked(Want(**w)) for i, w in content.items()}


def checked(want: Want, fields: Sequence[str] | None = None) -> Want:
    """``want`` if it is one; whatever comes from outside goes through here.

    Raises
    ------
    ValueError
        If a part of it is not of its type, or names a field that is not there.
    """
    if want.relation not in RELATIONS or not isinstance(want.positive, bool) or not isinstance(want.hard, bool):
        raise ValueError(f"{want!r} is no want")
    if isinstance(want.value, bool) or not isinstance(want.value, str | int | float) or len(str(want.value)) > _LONGEST:
        raise ValueError(f"{want.value!r} is no value")
    if fields is not None and want.field and want.field not in fields:
        raise ValueError(f"there is no field {want.field!r}")
    value = float(want.value) if isinstance(want.value, int) else want.value
    return replace(want, value=value)
