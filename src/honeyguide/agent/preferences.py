"""What a person wants, as commands said it: an immutable state, changed by deltas, whose ids come from code alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from honeyguide.agent.lexicon import stem, words_of
from honeyguide.core.errors import ConfigError

Relation = Literal["is", "<", "<=", ">", ">=", "like", "about"]
RELATIONS = ("is", "<", "<=", ">", ">=", "like", "about")
Standing = Literal["held", "dropped", "archived", "not mentioned"]
CATEGORIES = ("category", "department", "kind")  # another one of these is another errand
_LONGEST = 300  # characters of a value
_MOST = 100  # wants that hold at a time
_SAME = 0.5  # share of words from which on a free text is the earlier one said again


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
        if self.relation == "about":
            return _overlap(str(self.value), str(other.value)) >= _SAME
        return self.relation not in ("is", "like", "about") or self.value == other.value


def _overlap(a: str, b: str) -> float:
    """Words that two texts share, of all that they have."""
    one, two = ({stem(w) for w in words_of(text)} for text in (a, b))
    return len(one & two) / max(len(one | two), 1)


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
    note
        Why another parser than the one asked for understood it; empty where it did itself.
    """

    add: tuple[Want, ...] = ()
    retract: tuple[str, ...] = ()
    clear: bool = False
    undo: bool = False
    heard: bool = True
    note: str = ""


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
    epoch
        How often another category was asked for.
    archived
        What held in earlier epochs.
    dropped
        What was taken back, and not asked for again since: *no budget any more* is not *nothing said of a budget*.
    """

    wants: Mapping[str, Want] = field(default_factory=dict)
    issued: int = 0
    earlier: tuple[Mapping[str, Want], ...] = ()
    epoch: int = 0
    archived: Mapping[str, Want] = field(default_factory=dict)
    dropped: Mapping[str, Want] = field(default_factory=dict)

    def after(self, delta: Delta) -> Preferences:
        """The state that a delta leaves.

        What it does not touch is kept; what it contradicts gives way to what was said last; what is said
        again keeps its id. *Only* another value of a field takes the place of the first; another category archives
        all that was said of the one before. Texts are cut, and the oldest wants dropped, where there are too many.
        """
        if delta.undo:
            return self._undone()
        wants = {} if delta.clear else {i: w for i, w in self.wants.items() if i not in delta.retract}
        gone = {i: w for i, w in self.wants.items() if i not in wants}
        archived, epoch = dict(self.archived), self.epoch
        if any(_other_errand(old, new) for old in wants.values() for new in delta.add):
            archived, wants, epoch = archived | wants, {}, epoch + 1
        issued, added = self.issued, set[str]()
        for want in map(_cut, delta.add):
            same = [i for i, w in wants.items() if w.rivals(want) or (i not in added and _only(w, want))]
            for i in same[1:]:
                del wants[i]
            if not same:
                issued += 1
                same = [f"c{issued}"]
            wants[same[0]] = want
            added.add(same[0])
        for oldest in list(wants)[:-_MOST]:
            del wants[oldest]
        if wants == self.wants:
            return self
        asked = [want for i, want in wants.items() if i in added]
        dropped = {i: w for i, w in {**self.dropped, **gone}.items() if not any(_same_matter(w, a) for a in asked)}
        return Preferences(wants, issued, (*self.earlier, self.wants)[-20:], epoch, archived, dropped)

    def _undone(self) -> Preferences:
        if not self.earlier:
            return self
        wants = self.earlier[-1]
        archived, dropped = ({i: w for i, w in old.items() if i not in wants} for old in (self.archived, self.dropped))
        return replace(self, wants=wants, earlier=self.earlier[:-1], archived=archived, dropped=dropped)

    def standing(self, column: str) -> Standing:
        """What is known of a person's wants about a field."""
        for name, wants in (("held", self.wants), ("dropped", self.dropped), ("archived", self.archived)):
            if any(want.field == column for want in wants.values()):
                return name  # type: ignore[return-value]
        return "not mentioned"

    def of(self, *, positive: bool, hard: bool) -> list[Want]:
        """The wants of one of the four kinds."""
        return [w for w in self.wants.values() if (w.positive, w.hard) == (positive, hard)]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; :meth:`from_dict` reads it back."""
        return {
            "wants": {i: asdict(w) for i, w in self.wants.items()},
            "issued": self.issued,
            "earlier": [{i: asdict(w) for i, w in state.items()} for state in self.earlier],
            "epoch": self.epoch,
            "archived": {i: asdict(w) for i, w in self.archived.items()},
            "dropped": {i: asdict(w) for i, w in self.dropped.items()},
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
            before = (_wants(content.get(name, {})) for name in ("archived", "dropped"))
            return cls(_wants(content["wants"]), int(content["issued"]), earlier, int(content.get("epoch", 0)), *before)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"these are no preferences: {error}.", "Give what to_dict() returned.") from error


def _cut(want: Want) -> Want:
    value = want.value[:_LONGEST] if isinstance(want.value, str) else want.value
    return replace(want, value=value, words=want.words[:_LONGEST])


def _only(old: Want, new: Want) -> bool:
    """Whether both say *only* of a field: the second takes the place of the first."""
    return old.field == new.field and all(w.relation == "is" and w.positive and w.hard for w in (old, new))


def _other_errand(old: Want, new: Want) -> bool:
    return _only(old, new) and old.value != new.value and any(name in new.field.lower() for name in CATEGORIES)


def _same_matter(old: Want, new: Want) -> bool:
    """Whether ``new`` is about what ``old`` was about."""
    return old.field == new.field and (old.relation not in ("is", "like", "about") or old.value == new.value)


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
