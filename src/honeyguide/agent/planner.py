"""From preferences to a list: filter, matcher, attenuator and aggregator over the candidates of a pipeline (RecBot).

Shapes: c candidates, h events of the history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from honeyguide.agent.grammar import Shown
from honeyguide.agent.intent import Intent, TextIntent
from honeyguide.agent.lexicon import PEOPLE
from honeyguide.agent.preferences import Preferences, Want
from honeyguide.core.inner_product import unit
from honeyguide.core.ragged import FloatArray, IntArray
from honeyguide.pipeline.asked import Asked
from honeyguide.pipeline.config import Rule
from honeyguide.pipeline.pipeline import Order, Pipeline, Step
from honeyguide.pipeline.stock import Stock

PARTS = ("base", "semantic", "collaborative", "fields", "attenuation")


@dataclass(frozen=True)
class PlannerConfig:
    """Weights of the parts; those that have nothing to say drop out, and the others are scaled to the same sum.

    Parameters
    ----------
    base
        Of the order that the pipeline made.
    semantic
        Of the likeness of items to what is wanted, by text.
    collaborative
        Of what the part of the history that matters for the intent calls for.
    fields
        Of the share of wanted fields that an item has.
    attenuation
        Of the likeness to what is not wanted, by text and by fields; a penalty of its own, for *not X* in a query
        calls for X.
    """

    base: float = 0.5
    semantic: float = 0.5
    collaborative: float = 0.5
    fields: float = 0.5
    attenuation: float = 0.5


class Planner:
    """Makes the list that preferences ask for.

    Parameters
    ----------
    pipeline
        Retrieves, ranks and filters.
    config
        Weights.
    intent
        Attention of a wish over a history: by text, or a head trained for this catalogue.
    """

    def __init__(self, pipeline: Pipeline, config: PlannerConfig | None = None, intent: Intent | None = None) -> None:
        self.pipeline, self.stock, self.config = pipeline, pipeline.stock, config or PlannerConfig()
        self.intent = intent or TextIntent(self.stock)

    def run(self, asked: Asked, preferences: Preferences) -> Order:
        """The order for a request under preferences; the trace says which tool did what.

        Hard wants are rules: they hold in every source of candidates, on this page and on every later one. A field that
        is not known breaks no rule: a list is never emptied by what the catalogue does not say.
        """
        order, parts, said = self.parts(asked, preferences)
        return self.weighed(order, parts, said)

    def weighed(self, order: Order, parts: Mapping[str, FloatArray], said: dict[str, object]) -> Order:
        """The candidates in the order of the weighted sum of what the tools say; absent ones have no weight.

        Parameters
        ----------
        order, parts, said
            As :meth:`parts` gave them.
        """
        if not parts:
            return order
        total = sum(self.config_of(name) for name in parts)
        if total <= 0:
            return order
        scores = sum(self.config_of(name) / total * part for name, part in parts.items())
        best = np.argsort(-np.asarray(scores), kind="stable")
        step = Step("aggregate", 0.0, len(best), len(best), said)
        return Order(order.items[best], np.asarray(scores, np.float32)[best], (*order.trace, step))

    def parts(self, asked: Asked, preferences: Preferences) -> tuple[Order, dict[str, FloatArray], dict[str, object]]:
        """The candidates, what each tool says of them (``[c]``, mean 0, deviation 1), and what it was asked.

        What the aggregator weighs; empty where nothing is wanted.
        """
        wants = list(preferences.wants.values())
        hidden = self._codes([w for w in wants if w.relation == "like" and (w.positive or w.hard)])
        rules = tuple(Rule(filter=text) for text in conditions_of(wants))
        words = _words([want for want in wants if want.positive])
        if words and self.stock.reads_instructions:  # the model that ranks hears of it too
            asked = replace(asked, instruction=words)
        asked = asked.narrowed(rules, hidden)
        order = self._obeyed(self.pipeline.run(asked), rules)
        if not wants or not len(order.items):
            return order, {}, {}
        parts, said = self._parts(asked, order, wants)
        return order, {name: standard(part) for name, part in parts.items()}, said

    def _obeyed(self, order: Order, rules: Sequence[Rule]) -> Order:
        """Without what the person does not want, though it be pinned."""
        may = np.ones(len(order.items), np.bool_)
        for rule in rules:
            may &= self.stock.mask(str(rule.filter))[order.items]
        return order if may.all() else Order(order.items[may], order.scores[may], order.trace)

    def config_of(self, name: str) -> float:
        """The weight of a part."""
        weight: float = getattr(self.config, name)
        return weight

    def _parts(
        self, asked: Asked, order: Order, wants: Sequence[Want]
    ) -> tuple[dict[str, FloatArray], dict[str, object]]:
        """What each tool says of the candidates, ``[c]``, higher is better; and what it was asked."""
        items = order.items
        parts: dict[str, FloatArray] = {"base": -np.log1p(np.arange(len(items), dtype=np.float32))}
        said: dict[str, object] = {}
        wanted, unwanted = [w for w in wants if w.positive], [w for w in wants if not w.positive and not w.hard]
        fields, penalty = self._fields(items, wanted), self._fields(items, unwanted)
        if fields is not None:
            parts["fields"] = fields
            said["fields"] = [w.said() for w in wanted if w.field]
        if penalty is not None:
            parts["attenuation"] = -standard(penalty)
            said["not wanted"] = [w.said() for w in unwanted]
        spoken = [w for w in (*wanted, *unwanted) if w.relation in ("about", "like") or isinstance(w.value, str)]
        if not spoken or not self._reads_text():  # texts are read when a want is about them
            return parts, said
        query = self._meaning(wanted)
        if query is not None:
            parts["semantic"] = self.stock.text_vectors[items] @ query
            intent = self.intent.scores(asked.history, query)
            if intent is not None:
                parts["collaborative"] = intent[items]
            said["wanted"] = [w.said() for w in wanted]
        against = self._meaning(unwanted)
        if against is not None:
            likeness = standard(self.stock.text_vectors[items] @ against)
            parts["attenuation"] = parts.get("attenuation", 0) - likeness
            said["not wanted"] = [w.said() for w in unwanted]
        return parts, said

    def _reads_text(self) -> bool:
        try:
            return len(self.stock.text_vectors) > 0
        except Exception:  # no words, or no encoder: the other tools go on
            return False

    def _fields(self, items: IntArray, wants: Sequence[Want]) -> FloatArray | None:
        """How many of the wants about fields each item has: what can be checked, counted."""
        texts = [text for w in wants if (text := condition_of(replace(w, positive=True), lenient=False)) is not None]
        if not texts:
            return None
        return np.asarray(np.sum([self.stock.mask(text)[items] for text in texts], axis=0), np.float32)

    def _meaning(self, wants: Sequence[Want]) -> FloatArray | None:
        """The direction of what wants are about, float32 ``[d]`` of length one: texts, names, and items."""
        words = _words(wants)
        vectors = [self.stock.text_of(words)] if words else []
        items = self._codes([w for w in wants if w.relation == "like"])
        vectors += list(self.stock.text_vectors[items])
        if not vectors:
            return None
        return unit(np.sum(vectors, axis=0))

    def _codes(self, wants: Sequence[Want]) -> IntArray:
        names = [str(w.value) for w in wants]
        codes = encode(self.stock, names)
        return codes[codes >= 0]


def _words(wants: Sequence[Want]) -> str:
    """What wants are about, as one text."""
    return " ".join(str(w.value) for w in wants if w.relation in ("about", "is") and isinstance(w.value, str))


def shown_of(stock: Stock, items: IntArray) -> Shown:
    """What a person sees, for the next command."""
    table = stock.items[items.tolist()]
    medians = {
        column: float(value)
        for column, dtype in table.schema.items()
        if dtype.is_numeric() and column != "item_id" and (value := table[column].median()) is not None
    }
    return Shown(tuple(str(i) for i in stock.ids.decode(items).to_list()), medians)


def encode(stock: Stock, item_ids: Sequence[str]) -> IntArray:
    """Codes of external ids as they come in text; -1 for what is not in the catalogue."""
    if not item_ids:
        return np.empty(0, np.int32)
    import polars as pl

    return stock.ids.encode(pl.Series("item_id", list(item_ids), pl.String).cast(stock.ids.dtype, strict=False))


def conditions_of(wants: Sequence[Want]) -> list[str]:
    """The conditions that hard wants put on every list; of several values that a field may have, one is enough."""
    hard = [(w, text) for w in wants if w.hard and (text := condition_of(w)) is not None]
    either: dict[str, list[str]] = {}
    for want, text in hard:
        if want.positive and want.relation == "is":
            either.setdefault(want.field, []).append(text)
    others = [text for want, text in hard if not (want.positive and want.relation == "is")]
    return [" or ".join(texts) for texts in either.values()] + others


def condition_of(want: Want, *, lenient: bool = True) -> str | None:
    """A want as a condition over the item table; ``None`` where it cannot be checked.

    Parameters
    ----------
    want
        About a field.
    lenient
        Whether items whose field is not known pass.
    """
    if not want.field:
        return None
    name = f"'{want.field}'"
    if want.relation == "is":
        value = str(want.value).replace("\\", "\\\\").replace("'", "\\'")
        text = f"{name} {'contains' if want.field in PEOPLE else '=='} '{value}'"
    else:
        text = f"{name} {want.relation} {float(want.value)!r}"
    if not want.positive:
        text = f"not {text}"
    return f"({name} is missing or {text})" if lenient else text


def standard(scores: FloatArray) -> FloatArray:
    """Mean 0 and deviation 1; zeros where all are the same."""
    spread = float(scores.std())
    return np.asarray((scores - scores.mean()) / spread if spread > 1e-9 else np.zeros_like(scores), np.float32)
