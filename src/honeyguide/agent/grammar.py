"""From a command to what it changes, by a grammar over the words of the catalogue: deterministic, without a model.

A command is cut into clauses. A cue at the head of a clause says the polarity and how firm it is (*no*, *less*, *only*,
*more*); what follows is bounds (*under 300 pages*, *before 1990*), comparatives (*shorter*), items (*like the second
one*, *like The Hobbit*) and names of the catalogue (*crime*, *by Agatha Christie*). Words that are none of these are
free text. A clause without a cue of its own is one more of the list before it (*no crime, horror or romance*), until
*but*.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from honeyguide.agent.clauses import TOKEN, Clause, clauses, number_of
from honeyguide.agent.lexicon import COMPARED, PEOPLE, Lexicon, Measure, stem, words_of
from honeyguide.agent.phrases import (
    BOUNDS,
    CLEAR,
    FINE,
    FREE,
    HEADS,
    IDLE,
    OPPOSITE,
    ORDINALS,
    SPEAKERS,
    SPOKEN,
    TIMES,
    UNDO,
)
from honeyguide.agent.preferences import Delta, Preferences, Relation, Want

_MOST_WORDS = 120


# *keep crime away from me*: the cue stands on both sides
_AWAY = re.compile(r"\bkeep (?:the |any |all )?((?:(?!keep|away)[^\s,;.!?]+ )+)away(?: from (?:me|us|my \w+))?")


@dataclass(frozen=True)
class Shown:
    """What the person has before the eyes, for *the second one* and *shorter*.

    Parameters
    ----------
    item_ids
        External ids, in order.
    medians
        By field of numbers, the middle value of what is shown.
    """

    item_ids: tuple[str, ...] = ()
    medians: dict[str, float] | None = None


class Grammar:
    """Understands commands over one catalogue.

    Parameters
    ----------
    lexicon
        Its words.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon

    def parse(self, command: str, before: Preferences, shown: Shown | None = None) -> Delta:
        """What a command changes.

        Parameters
        ----------
        command
            As it was typed; data, never an instruction to anything but this grammar.
        before
            What holds: only that can be retracted, and only where its words are echoed.
        shown
            What the person sees.
        """
        shown = shown or Shown()
        text = _lowered(command)
        plain = text.strip(" .!?,")
        if plain in UNDO:
            return Delta(undo=True)
        if plain in CLEAR:
            return Delta(clear=True)
        add: list[Want] = []
        retract: list[str] = []
        clear, mood = False, (True, False)
        for clause, resets in clauses(self._in_minutes(TOKEN.findall(text)[:_MOST_WORDS])):
            said = " ".join(clause)
            if said in CLEAR:
                clear, add = True, []
                continue
            freed = self._freed(said, before)
            if freed is not None:
                retract += freed
                continue
            if resets:
                mood = (True, False)
            found, mood = self._wants(Clause(clause), mood, shown, said)
            add += found
        kept = tuple(dict.fromkeys(add))
        return Delta(kept, tuple(dict.fromkeys(retract)), clear, heard=bool(kept or retract or clear))

    def mentions(self, command: str, shown: Shown | None = None) -> list[Want]:
        """What a command speaks of, in order, each as if it were asked for: for a parser that decides how it is meant.

        Parameters
        ----------
        command
            As it was typed.
        shown
            What the person sees.
        """
        text = _lowered(command)
        found: list[Want] = []
        for clause, _ in clauses(self._in_minutes(TOKEN.findall(text)[:_MOST_WORDS])):
            said = " ".join(clause)
            found += self._wants(Clause(clause), (True, False), shown or Shown(), said, deaf=True)[0]
        return list(dict.fromkeys(found))

    def echoed(self, command: str, before: Preferences) -> list[str]:
        """Ids of the wants that a command names, and so may take back."""
        stems = {stem(w) for w in words_of(command)}
        return [i for i, want in before.wants.items() if stems & self._echoes(want)]

    # -- taking back --------------------------------------------------------------------------

    def _freed(self, said: str, before: Preferences) -> list[str] | None:
        """Ids of wants that a clause takes back, whose words it must echo; ``None`` where it takes nothing back."""
        said = said.removeprefix("please ").removeprefix("i ")
        said = said if said.startswith("you can show ") else said.removeprefix("you can ")
        head = next((f for f in FREE if said.startswith(f + " ")), None)
        tail = next((f for f in FINE if f in said), None)
        if head is None and tail is None:
            return None
        echo = said.removeprefix(head or "") if head is not None else said.split(tail or "")[0]
        stems = {stem(w) for w in words_of(echo)} - {"the", "about", "limit", "any", "rule", "filter"}
        return [i for i, want in before.wants.items() if stems & self._echoes(want)]

    def _echoes(self, want: Want) -> set[str]:
        """Stems by which a want is named."""
        names = [*words_of(str(want.value)), *words_of(want.words), *words_of(want.field.replace("_", " "))]
        own = next((m for m in self.lexicon.measures if m.field == want.field), None)
        if own is not None:
            names += [*own.nouns, *own.less, *own.more]
        return {stem(w) for w in names if w not in IDLE}

    # -- wanting ------------------------------------------------------------------------------

    def _wants(
        self, clause: Clause, mood: tuple[bool, bool], shown: Shown, said: str, *, deaf: bool = False
    ) -> tuple[list[Want], tuple[bool, bool]]:
        """The wants of a clause, and the mood in which the next one goes on; ``deaf`` to cues, the mood stays."""
        found: list[Want] = []
        free: list[str] = []
        own = False
        while clause.place < len(clause.tokens):
            bound = self._bound(clause, said)
            if bound is not None:  # it goes on no list: *no crime, before 1990*
                found += bound if mood[0] or not own else [self._turned(w) for w in bound]
                continue
            cue = next((c for c in HEADS if clause.at(c[0])), None)
            before = clause.tokens[clause.place - 1] if clause.place else ""
            if cue is not None and not free and not (cue[0][0] in SPOKEN and before not in SPEAKERS):
                clause.place, own = clause.place + len(cue[0]), True
                if deaf:
                    continue
                if cue[0] == ("like",) and not mood[0]:
                    mood = (False, False)  # not *like* it: that cannot be checked
                elif cue[0] not in (("something",), ("some",)) or mood[0]:
                    mood = (cue[1], cue[2])
                continue
            surname = bool(free) and before == free[-1]  # Harry Potter is not a Potter
            want = self._item(clause, mood, shown) or self._name(clause, mood, surname)
            want = want or self._adjective(clause, mood, shown, own)
            if want is not None:
                found.append(want)
            else:
                free += [] if clause.word in IDLE or self.lexicon.measured_by(clause.word) else [clause.word]
                clause.place += 1
        if free and not all(w.isdigit() for w in free):
            text = " ".join(free)
            on_no_list = not own and COMPARED.issuperset(free)  # *no crime, newer*, though no field says what is new
            found.append(Want(mood[0] or on_no_list, False, "about", "", text, text))
        return found, mood

    def _in_minutes(self, tokens: list[str]) -> list[str]:
        """*2 hours* as *120 minutes*, where minutes are what the catalogue counts."""
        if self.lexicon.measured_by("minutes") is None:
            return tokens
        found = list(tokens)
        for i, (number, unit) in enumerate(pairwise(tokens)):
            value = number_of(number)
            if unit in ("hour", "hours", "hrs", "h") and value is not None:
                found[i], found[i + 1] = f"{60 * value:g}", "minutes"
        return found

    def _turned(self, bound: Want) -> Want:
        """A bound that is not wanted is the opposite bound."""
        if bound.relation not in OPPOSITE:
            return replace(bound, positive=False)
        return replace(bound, relation=OPPOSITE[bound.relation])

    def _bound(self, clause: Clause, said: str) -> list[Want] | None:
        """Numbers: *under 300 pages*, *between 1990 and 2000*, *in the 90s*, *4 stars or more*."""
        start = clause.place
        if (
            clause.word == "between"
            and (low := number_of(clause.peek())) is not None
            and clause.peek(2) in ("and", "to")
        ):
            high = number_of(clause.peek(3))
            measure = self._unit(clause, start + 4, (low, high or low), times=False)
            if high is not None and measure is not None:
                clause.place = max(clause.place, start + 4)
                return [
                    Want(True, True, ">=", measure.field, low, said),
                    Want(True, True, "<=", measure.field, high, said),
                ]
        decade = re.fullmatch(r"(?:(1[5-9]|20)?(\d0))s", clause.word)
        year = self.lexicon.measured_by("year")
        if decade and year is not None:
            first = float(f"{decade[1] or ('19' if int(decade[2]) > 20 else '20')}{decade[2]}")
            clause.place += 1
            return [
                Want(True, True, ">=", year.field, first, clause.tokens[start]),
                Want(True, True, "<", year.field, first + 10, clause.tokens[start]),
            ]
        found = next((b for b in BOUNDS if clause.at(b[0])), None)
        if found is not None:
            ahead = len(found[0])
            while clause.peek(ahead) in ("the", "year", "a", "about"):  # before the year 1950
                ahead += 1
            number = number_of(clause.peek(ahead))
            if number is None:
                return None
            del clause.tokens[start + len(found[0]) : start + ahead]
            times = bool(TIMES & set(found[0]))
            measure = self._unit(clause, start + len(found[0]) + 1, (number,), times, " ".join(found[0]))
            if measure is None:
                return None
            clause.place = max(clause.place, start + len(found[0]) + 1)
            return [Want(True, True, found[1], measure.field, number, " ".join(clause.tokens[start : clause.place]))]
        number = number_of(clause.word)
        if number is not None:
            return self._trailing(clause, start, number)
        return None

    def _trailing(self, clause: Clause, start: int, number: float) -> list[Want] | None:
        """*300 pages or less*, *4 stars and up*, *1995* alone."""
        measure = self._unit(clause, start + 1, (number,), times=False)
        if measure is None:
            return None
        end = max(clause.place, start + 1)
        rest = " ".join(clause.tokens[end : end + 2])
        relation: Relation | None = None
        if rest.startswith(("or less", "or fewer", "or under", "or older", "or below", "max", "at most", "tops")):
            relation = "<="
        elif rest.startswith(
            ("or more", "or better", "and up", "or up", "or newer", "or above", "plus", "minimum", "at least")
        ):
            relation = ">="
        clause.place = end
        if relation is None:
            return [Want(True, True, "is", measure.field, number, " ".join(clause.tokens[start:end]))]
        clause.place += 1 if rest.startswith(("max", "tops", "plus", "minimum")) else 2
        return [Want(True, True, relation, measure.field, number, " ".join(clause.tokens[start : clause.place]))]

    def _unit(
        self, clause: Clause, after: int, numbers: Sequence[float], times: bool, said: str = ""
    ) -> Measure | None:
        """The field that numbers are about: by the unit behind them, the word before, a year, or a comparative."""
        unit = clause.tokens[after] if after < len(clause.tokens) else ""
        found = self.lexicon.measured_by(unit) or self.lexicon.measured_by(stem(unit))
        if found is not None:
            clause.place = after + 1
            return found
        if clause.tokens[clause.place].startswith("$") or (after and clause.tokens[after - 1].startswith("$")):
            return self.lexicon.measured_by("price")
        before = clause.tokens[clause.place - 1] if clause.place else ""
        noun = self.lexicon.measured_by(before) or self.lexicon.measured_by(stem(before))
        if noun is not None:
            return noun
        comparative = self.lexicon.measure(said.split(" ")[0]) if said else None
        if comparative is not None:
            return comparative[0]
        year = self.lexicon.measured_by("year")
        if year is not None and (times or all(1500 <= n <= 2100 for n in numbers)) and all(n >= 1000 for n in numbers):
            return year
        return None

    def _item(self, clause: Clause, mood: tuple[bool, bool], shown: Shown) -> Want | None:
        """*the second one*, *#3*, *number three*, *like The Hobbit*."""
        start, place, step = clause.place, None, 0
        ordinal = ORDINALS.get(clause.word)
        if clause.word == "the" and clause.peek() in ORDINALS:
            ordinal, step = ORDINALS[clause.peek()], 1
        if ordinal is not None and clause.peek(step + 1) in (
            "",
            "one",
            "item",
            "book",
            "movie",
            "film",
            "product",
            "result",
        ):
            place, step = ordinal, step + (2 if clause.peek(step + 1) else 1)
        elif clause.word.startswith("#") and clause.word[1:].isdigit():
            place, step = int(clause.word[1:]), 1
        elif clause.word == "number" and number_of(clause.peek()) is not None:
            place, step = int(number_of(clause.peek()) or 0), 2
        if place is not None:
            index = place - 1 if place > 0 else len(shown.item_ids) + place
            if 0 <= index < len(shown.item_ids):
                clause.place = start + step
                words = " ".join(clause.tokens[start : clause.place])
                return Want(mood[0], mood[1] and not mood[0], "like", "", shown.item_ids[index], words)
            return None
        before = clause.tokens[start - 1] if start else ""
        if before in ("like", "to", "than") or clause.word == "like":
            at = start + (clause.word == "like")
            title = self.lexicon.title(clause.tokens, at)
            if title is not None:
                clause.place = at + title[0]
                words = " ".join(clause.tokens[at : clause.place])
                return Want(mood[0], mood[1] and not mood[0], "like", "", title[1], words)
        return None

    def _adjective(self, clause: Clause, mood: tuple[bool, bool], shown: Shown, own: bool) -> Want | None:
        """*shorter* than what is shown, which can be checked; *short*, which is a matter of degree.

        A comparative goes on no list, as a bound does not: *no crime, shorter*.
        """
        word = clause.word
        found = self.lexicon.measure(word)
        if found is None:
            return None
        measure, sign = found
        clause.place += 1
        compared = word.endswith("er") or word in ("better", "worse")
        words = word
        if compared:
            middle = (shown.medians or {}).get(measure.field, measure.middle)
            below = (sign < 0) == (mood[0] or not own)
            return Want(True, True, "<" if below else ">", measure.field, float(middle), words)
        relation: Relation = "<=" if sign < 0 else ">="
        edge = measure.low if sign < 0 else measure.high
        return Want(mood[0], mood[1], relation, measure.field, float(edge), words)

    def _name(self, clause: Clause, mood: tuple[bool, bool], surname: bool = False) -> Want | None:
        """A value of the catalogue; who made it and in which language is firm where it is said so."""
        parts = [p for token in clause.tokens[clause.place :] for p in token.split("-")]
        found = self.lexicon.name(parts, 0)
        if found is None or (len(parts) and parts[0] in IDLE and found[0] == 1):
            return None
        n, field, value = found
        if surname and n == 1 and field in PEOPLE:
            return None
        start, taken = clause.place, 0
        while taken < n:
            taken += clause.word.count("-") + 1
            clause.place += 1
        before = clause.tokens[start - 1] if start else ""
        firm = mood[1] or (mood[0] and before in ("by", "in", "from") and field != "tags" and "genre" not in field)
        return Want(mood[0], firm, "is", field, value, " ".join(clause.tokens[start : clause.place]))


def _lowered(command: str) -> str:
    """In small letters, with single spaces, and with cues that stand on both sides put in front."""
    return _AWAY.sub(r"avoid \1", " ".join(command.lower().replace("’", "'").split()))
