"""A user with a hidden target, who says what the feed in front of them has too much and too little of (RecBot).

Commands come from differences between what is shown and the target's fields: never from its title, nor from a value
that few items share. What is meant by a command is kept beside its words, so that a parser can be held against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from honeyguide.agent import templates
from honeyguide.agent.facts import Facts
from honeyguide.agent.lexicon import PEOPLE, Lexicon, Measure, words_of
from honeyguide.agent.preferences import Delta, Preferences, Want
from honeyguide.core.ragged import IntArray

_URGENT = 1.5  # of a want that hides what is now looked for: it is spoken of before anything else


@dataclass(frozen=True)
class Habits:
    """How a user talks.

    Parameters
    ----------
    two
        Chance that a command says two things.
    hard
        Chance that a wish about a name is firm.
    choices
        Of how many of the widest differences one is said.
    shared
        Items that must have a value for it to be said: a rarer one would give the target away.
    back
        Chance, for what is no longer wanted, that it is taken back rather than spoken against.
    """

    two: float = 0.35
    hard: float = 0.4
    choices: int = 4
    shared: int = 10
    back: float = 0.5


@dataclass(frozen=True)
class Said:
    """One command.

    Parameters
    ----------
    text
        What is typed.
    wants
        What is meant.
    retracts
        What is meant to hold no longer, by the ids of the user's own account.
    reasons
        The differences that led to it.
    """

    text: str
    wants: tuple[Want, ...] = ()
    retracts: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Wish:
    gap: float  # 0 to 1: how wide the difference is
    texts: tuple[str, ...]
    wants: tuple[Want, ...] = ()
    retracts: tuple[str, ...] = ()
    reason: str = ""


class SimulatedUser:
    """One person in one session.

    Parameters
    ----------
    facts, lexicon
        Of the catalogue.
    target
        Item code; hidden from everything that answers.
    seed
        Of what is said, and how.
    habits
        How the user talks.
    """

    def __init__(self, facts: Facts, lexicon: Lexicon, target: int, seed: int, habits: Habits | None = None) -> None:
        self.facts, self.lexicon, self.habits = facts, lexicon, habits or Habits()
        self.rng = np.random.default_rng([seed, target])
        self.target = target
        self.meant = Preferences()  # what a perfect parser would hold
        self._told: set[tuple[object, ...]] = set()

    def switch(self, target: int) -> None:
        """Want something else from now on."""
        self.target = target
        self._told.clear()

    def say(self, shown: IntArray) -> Said:
        """A command about the feed; an empty one where nothing is left to say.

        Parameters
        ----------
        shown
            Item codes in order.
        """
        wishes = [*self._back(), *self._names(shown), *self._numbers(shown), *self._places(shown)]
        left = [w for w in wishes if not self._told & set(_keys(w)) and not self._leaks(w)]
        picked: list[_Wish] = []
        for _ in range(1 + int(self.rng.random() < self.habits.two)):
            urgent = [w for w in left if w.gap >= _URGENT]
            best = urgent or sorted(left, key=lambda w: -w.gap)[: self.habits.choices]
            if not best:
                break
            chance = np.array([w.gap for w in best])
            picked.append(best[int(self.rng.choice(len(best), p=chance / chance.sum()))])
            matters = {w.field or w.relation for w in picked[-1].wants}
            left = [w for w in left if w is not picked[-1] and not matters & {x.field or x.relation for x in w.wants}]
        if not picked:
            return Said("")
        self._told |= {key for wish in picked for key in _keys(wish)}
        texts = [self._one(w.texts) for w in picked]
        text = texts[0] if len(texts) == 1 else self._one(templates.JOINED).format(a=texts[0], b=texts[1])
        wants = tuple(want for w in picked for want in w.wants)
        retracts = tuple(i for w in picked for i in w.retracts)
        self.meant = self.meant.after(Delta(wants, retracts))
        return Said(self._one(templates.OPENINGS) + text, wants, retracts, tuple(w.reason for w in picked))

    # -- what there is to say -----------------------------------------------------------------

    def _back(self) -> list[_Wish]:
        """What was said and is against the target of now: taken back, or spoken against."""
        found = []
        for i, want in self.meant.wants.items():
            if not self.facts.breaks(want, self.target) or want.relation == "like":
                continue
            gap, reason = (_URGENT if want.hard else 0.8), f"no longer: {want.said()}"
            if self.rng.random() < self.habits.back:
                found.append(_Wish(gap, _taking_back(want), (), (i,), reason))
            elif want.relation == "is":
                said = templates.PERSON if want.field in PEOPLE else templates.NAME
                texts = tuple(t.format(v=spoken(str(want.value))) for t in said[not want.positive, False])
                found.append(_Wish(gap, texts, (replace(want, positive=not want.positive, hard=False),), (), reason))
            else:
                measure = next(m for m in self.lexicon.measures if m.field == want.field)
                own = float(self.facts.numbers[want.field][self.target])
                for texts, wants in self._bounds(measure, own, own < float(want.value)):
                    found.append(_Wish(gap, texts, wants, (), reason))
        return found

    def _names(self, shown: IntArray) -> list[_Wish]:
        found = []
        for field, rows in self.facts.names.items():
            own = rows[self.target]
            if not own or "language" in field:  # codes, which nobody says
                continue
            shares = Counter(value for item in shown.tolist() for value in rows[item])
            for value in sorted({*shares, *own}):
                share = shares[value] / max(len(shown), 1)
                positive = value in own
                gap = 1 - share if positive else share
                if gap < 0.2 or self.facts.support[field, value] < self.habits.shared:
                    continue
                hard = bool(self.rng.random() < self.habits.hard)
                said = templates.PERSON if field in PEOPLE else templates.NAME
                texts = tuple(t.format(v=spoken(value)) for t in said[positive, hard])
                want = Want(positive, hard, "is", field, value, spoken(value))
                found.append(_Wish(gap, texts, (want,), reason=f"{field} {value}: {share:.0%} of what is shown"))
        return found

    def _numbers(self, shown: IntArray) -> list[_Wish]:
        found = []
        for measure in self.lexicon.measures:
            values = self.facts.numbers.get(measure.field)
            if values is None or np.isnan(own := float(values[self.target])):
                continue
            seen = values[shown]
            seen = seen[~np.isnan(seen)]
            if not len(seen) or own == (middle := float(np.median(seen))):
                continue
            below = own < middle
            gap = min(1.0, abs(own - middle) / max(measure.high - measure.low, 1e-9))
            for texts, wants in self._ways(measure, own, middle, below):
                wrong = np.mean([any(_outside(v, w) for w in wants) for v in seen])
                if wrong >= 0.2:
                    reason = f"{measure.field}: {middle:g} is the middle of what is shown"
                    found.append(_Wish(max(gap, 0.1), texts, wants, reason=reason))
        return found

    def _ways(
        self, measure: Measure, own: float, middle: float, below: bool
    ) -> list[tuple[tuple[str, ...], tuple[Want, ...]]]:
        """How to say that the target has less, or more, of something: a comparative, a bound, a decade."""
        field = measure.field
        ways: list[tuple[tuple[str, ...], tuple[Want, ...]]] = []
        words = [w for w in (measure.less if below else measure.more) if w.endswith("er")]
        if words:
            texts = tuple(t.format(c=words[0]) for t in templates.COMPARED)
            ways.append((texts, (Want(True, True, "<" if below else ">", field, middle, words[0]),)))
        return ways + self._bounds(measure, own, below)

    def _bounds(self, measure: Measure, own: float, below: bool) -> list[tuple[tuple[str, ...], tuple[Want, ...]]]:
        """A bound, and a decade, that the target keeps to."""
        field = measure.field
        ways: list[tuple[tuple[str, ...], tuple[Want, ...]]] = []
        is_year, unit = "year" in field, _called(field, templates.UNITS)
        if not is_year and unit is None:
            return ways
        step = 5.0 if is_year else _step((measure.high - measure.low) / 4)
        steps = round(own / step, 6)  # 3.8 / .1 is not 38
        bound = (np.floor(steps) + 1) * step if below else (np.ceil(steps) - 1) * step
        bound = float(round(bound, 6))
        table = (templates.BELOW if below else templates.ABOVE)["year" if is_year else ""]
        text, relation = table[int(self.rng.integers(len(table)))]
        said = text.format(n=f"{bound:g}", u=unit)
        ways.append(((said,), (Want(True, True, relation, field, bound, said),)))
        if is_year and own >= 1900:
            first = float(own // 10 * 10)
            texts = tuple(t.format(n=f"{first:g}") for t in templates.DECADE)
            ends = (Want(True, True, ">=", field, first, texts[0]), Want(True, True, "<", field, first + 10, texts[0]))
            ways.append((texts, ends))
        return ways

    def _places(self, shown: IntArray) -> list[_Wish]:
        """The shown item that is most, and one that is least like the target."""
        if self.target in shown or not len(shown):
            return []  # to point at it, or beside it, would give it away
        alike = np.array([self._alike(int(item)) for item in shown[: len(templates.ORDINALS)]])
        best, worst = int(alike.argmax()), int(self.rng.choice(np.flatnonzero(alike == alike.min())))
        found = []
        for place, positive in ((best, True), (worst, False)):
            if (alike[place] >= 0.5) == positive and (positive or alike[place] < 0.2):
                hard = not positive and bool(self.rng.random() < self.habits.hard)
                ordinal = templates.ORDINALS[place]
                texts = tuple(t.format(o=ordinal) for t in templates.LIKE[positive, hard])
                want = Want(positive, hard, "like", "", self.facts.ids[int(shown[place])], f"the {ordinal} one")
                found.append(_Wish(0.4, texts, (want,), reason=f"the {ordinal} one is {alike[place]:.0%} like it"))
        return found

    def _alike(self, item: int) -> float:
        """Share of names that an item and the target have in common."""
        one, two = (
            {(f, v) for f, rows in self.facts.names.items() for v in rows[code]} for code in (item, self.target)
        )
        return len(one & two) / max(len(one | two), 1)

    # -- how ----------------------------------------------------------------------------------

    def _one(self, texts: Sequence[str]) -> str:
        return texts[int(self.rng.integers(len(texts)))]

    def _leaks(self, wish: _Wish) -> bool:
        return any(leaks(text, self.facts.titles[self.target]) for text in wish.texts)


def leaks(text: str, title: Sequence[str]) -> bool:
    """Whether a command has the words of a title in it, in their order.

    Parameters
    ----------
    text
        A command.
    title
        Words.
    """
    words, n = words_of(text), len(title)
    return n > 0 and any(tuple(words[i : i + n]) == tuple(title) for i in range(len(words) - n + 1))


def spoken(value: str) -> str:
    """A value of the catalogue as people write it."""
    return value if " " in value and value != value.lower() else value.lower().replace("-", " ")


def _taking_back(want: Want) -> tuple[str, ...]:
    if want.relation == "is":
        return tuple(t.format(v=spoken(str(want.value))) for t in templates.RETRACT)
    noun = _called(want.field, templates.NOUNS) or want.field
    return tuple(t.format(m=noun) for t in templates.RETRACT_BOUND)


def _keys(wish: _Wish) -> list[tuple[object, ...]]:
    """What is not said twice: a want in the same words, or the same taking back."""
    keys: list[tuple[object, ...]] = [("back", *wish.retracts)] if wish.retracts else []
    return keys + [(w.positive, w.hard, w.relation, w.field, w.value) for w in wish.wants]


def _outside(value: float, want: Want) -> bool:
    bound = float(want.value)
    return not {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}[want.relation]


def _called(field: str, names: dict[str, str]) -> str | None:
    return next((name for key, name in names.items() if key in field.lower()), None)


def _step(width: float) -> float:
    """1, 2 or 5 times a power of ten, near a width."""
    power = 10.0 ** np.floor(np.log10(max(width, 1e-9)))
    return float(min((m * power for m in (1, 2, 5, 10)), key=lambda s: abs(s - width)))
