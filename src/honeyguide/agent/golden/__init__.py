"""Commands whose meaning was written down by hand, over three small catalogues, and how a parser agrees with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from honeyguide.agent.golden.catalogues import CATALOGUES
from honeyguide.agent.grammar import Shown
from honeyguide.agent.preferences import Delta, Want

KINDS = ("-hard", "-soft", "+soft", "+hard")


@dataclass(frozen=True)
class Command:
    """One command.

    Parameters
    ----------
    catalogue
        Name of the catalogue that is before the person's eyes.
    text
        As it is typed.
    meaning
        In the notation of :func:`written`.
    """

    catalogue: str
    text: str
    meaning: str


def commands() -> list[Command]:
    """All of them."""
    text = files("honeyguide.agent.golden").joinpath("commands.tsv").read_text(encoding="utf-8")
    return [Command(*line.split("\t")) for line in text.splitlines()[1:]]


def shown(catalogue: str) -> Shown:
    """What the person sees: the first five items, and the middle of each number."""
    table = CATALOGUES[catalogue]
    numbers = [c for c, dtype in table.schema.items() if dtype.is_numeric() and c != "item_id"]
    medians = {column: float(table[column].median()) for column in numbers}  # type: ignore[arg-type]
    return Shown(tuple(str(i) for i in table["item_id"].to_list()[:5]), medians)


def written(delta: Delta) -> str:
    """What a command changes, in a line: ``-hard tags is crime | +hard pages < 300``."""
    if delta.undo:
        return "UNDO"
    parts = ["CLEAR"] if delta.clear else []
    return " | ".join([*parts, *(_want(want) for want in delta.add)]) or "NOTHING"


def f1(pairs: Iterable[tuple[str, str]]) -> dict[str, float]:
    """How well meanings that were heard agree with those that were meant, ``(heard, meant)`` by command.

    Returns
    -------
    dict
        F1 of the wants of each kind, ``-hard`` to ``+hard``: a want is right if its object is, and its kind;
        ``macro``, their mean; ``wants``, over all; ``kinds``, over the kinds alone, whatever they are about; ``exact``,
        the share of commands without a fault.
    """
    right: Counter[str] = Counter()
    heard_n: Counter[str] = Counter()
    meant_n: Counter[str] = Counter()
    kinds = kinds_n = exact = n = 0
    for heard, meant in pairs:
        one, two = Counter(_parts(heard)), Counter(_parts(meant))
        right.update(_kinds((one & two).elements()))
        heard_n.update(own := _kinds(one.elements()))
        meant_n.update(asked := _kinds(two.elements()))
        kinds, kinds_n = kinds + 2 * (Counter(own) & Counter(asked)).total(), kinds_n + len(own) + len(asked)
        exact, n = exact + (one == two), n + 1
    each = {k: 2 * right[k] / max(heard_n[k] + meant_n[k], 1) for k in KINDS}
    whole = 2 * right.total() / max(heard_n.total() + meant_n.total(), 1)
    macro = sum(each.values()) / len(KINDS)
    return {**each, "macro": macro, "wants": whole, "kinds": kinds / max(kinds_n, 1), "exact": exact / max(n, 1)}


def _want(want: Want) -> str:
    value = int(want.value) if isinstance(want.value, float) and want.value % 1 == 0 else want.value
    kind = f"{'+' if want.positive else '-'}{'hard' if want.hard else 'soft'}"
    return " ".join(filter(None, [kind, want.field, want.relation, str(value)]))


def _parts(meaning: str) -> Sequence[str]:
    return [part for part in meaning.split(" | ") if part[:1] in "+-"]


def _kinds(parts: Iterable[str]) -> list[str]:
    return [part.split(" ")[0] for part in parts]
