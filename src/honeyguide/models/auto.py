"""The best recommender for a data set within a budget of CPU-seconds: a portfolio, halving, and a blend."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field
from threadpoolctl import threadpool_limits

from honeyguide.core import artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, ConfigError, DataError
from honeyguide.core.fitting import Change, FitOptions, ModelConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.core.requests import Recommendations
from honeyguide.core.resources import Estimate
from honeyguide.data.valid import asks_what_follows
from honeyguide.encode.items import encoding_seconds
from honeyguide.encode.text import text_encoder
from honeyguide.models.blend import Blend
from honeyguide.models.choice import alike
from honeyguide.models.content.cold_map import ColdMap
from honeyguide.models.fusion import cross_fitted, ndcg_of, shortlist
from honeyguide.models.parts import pack_parts, require_updatable, similar_by_history, unpack_parts, update_parts
from honeyguide.models.portfolio import Arm, portfolio, readable
from honeyguide.models.refine import refined
from honeyguide.models.trials import VALID, Trial, Trials

_FLOORS = ("popularity", "floor")  # tried whatever they cost
_WITHOUT_ORDER, _COMPANIONS = ("itemknn", "ials", "gfcf", "ease", "slim"), 4  # beside the map for cold items; at most
_CHEAP = 0.2  # share of what is left that one closed-form model may be expected to cost
_READING = 0.2  # share of the budget that it may take to read the texts from which networks begin
_CLOSED = 0.4  # share of the budget for all of them
_REFINED = 0.2  # share of the budget for better options of these, where order says nothing
_CLOSE, _WALKS = 0.7, 3  # of the best score on valid: whose options are searched; and of how many at most
_FUSION = 0.1  # share of the budget that is kept for learning the blend
_FIRST = 0.15  # share of what is left that the first round of halving spends on all arms together
_LAST = 0.1  # share of the budget that is kept for learning the events of valid, where they are to be learnt
_CERTAIN = 0.05  # level of the paired test below which a blend is called better
_OVER = 0.15  # share of the budget by which a blend, reading texts for cold items, or learning valid, may pass it
_SLOWER = 1.3  # times the expected, that reading texts may take on a busy machine, with what is calibrated then
_WEAK = 0.2  # of the best score on valid: a model below this share of it is no part of a blend
_BESIDE, _BESIDE_MOST, _ABOVE = 5e7, 4.5e8, 1.2  # bytes beside one fit: least, most; and how far an estimate is passed
_REPEATS = 4  # most seeds of the best arm
_MOST_OF = 0.5  # share of a fit of the best arm below which another seed is not worth it


class AutoConfig(ModelConfig):
    """Options of :class:`Auto`.

    Parameters
    ----------
    budget
        CPU-seconds for everything: fitting, choosing and blending.
    wall
        Wall seconds after which nothing new is begun.
    models
        Only these models are tried; empty for all that suit the data.
    text
        Encoder of the items' text (:func:`~honeyguide.encode.text.text_encoder`); ``"off"`` leaves text aside.
    segments
        As for :class:`~honeyguide.models.blend.Blend`.
    """

    budget: float = Field(default=600.0, gt=0)
    wall: float | None = Field(default=None, gt=0)
    models: tuple[str, ...] = ()
    text: str = "auto"
    segments: int = Field(default=3, ge=1)


class Auto(Recommender):
    """Tries the portfolio of the data set, and stands for the best single model or a blend of several.

    1. Models in closed form, from the cheapest; the first of them is an answer within seconds. Where valid does not
       ask what follows (order-free data, random splits), better options for the best of them.
    2. Models that learn in epochs, by successive halving (Jamieson & Talwalkar 2016): all train for a share of
       the budget, the better half goes on, until one is left, which trains to its end.
    3. A blend of what was found; parts that add nothing on users the weights have not seen are left out.
    4. While the budget lasts, the best of 2 again with another seed, as one more part.
    5. Where items have words, a :class:`~honeyguide.models.content.cold_map.ColdMap` over what was chosen, so that
       items without events have a place and new ones can be added.
    6. If the options of the fit say ``learn_valid``, the events of valid are learnt too, by an update.

    Everything is judged by NDCG@10 on valid. The blend is used only if it is better than the best single
    model beyond noise; else models that noise cannot tell from the best count the same. What was tried, at what cost,
    and what each part adds stands in ``report.search``.
    """

    name = "auto"
    Config = AutoConfig
    config: AutoConfig
    capabilities: ClassVar[frozenset[str]] = frozenset({"fold_in", "similar", "cold_items", "add_items", "update"})
    learns_valid_itself = True

    chosen: Recommender

    def estimate(self, data: Dataset) -> Estimate:
        """The budget; the least memory that an answer takes, and the most: models that do not fit are left out."""
        arms = [arm for arm in self._portfolio(data, self._reading(data)) if arm.lacks() is None]
        costs = [arm.build(self.config.seed).estimate(data) for arm in arms]
        tried = [c.memory_bytes for c in costs if c.cpu_seconds <= self.config.budget]
        least = min((c.memory_bytes for c in costs), default=0.0) + _BESIDE
        return Estimate(least, self.config.budget, _ABOVE * max(tried, default=0.0) + _BESIDE_MOST)

    def _fit(self, data: Dataset, options: FitOptions) -> None:
        if not len(data.histories("train").values):
            raise DataError(
                f"{self.name} has no positive event to learn from.",
                "See what 'honeyguide data describe' says of the ratings, and lower --positive.",
            )
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.checkpoint or Path(temporary)
            budget = self.config.budget * (1 - _LAST if options.learn_valid else 1)
            trials = Trials(data, folder, options, budget, self.config.wall, self.config.seed)
            arms = self._to_try(data, trials)
            put_off = self._closed_forms([arm for arm in arms if not arm.epochs], data, trials)
            if trials.few and trials.done and trials.done[-1].arm.model in _FLOORS:
                self._choose(trials.done[-1].model, trials)  # the last floor: nobody can tell which is better
            elif not asks_what_follows(data):
                self._refine(trials)
            best = self._halve([arm for arm in arms if arm.epochs], trials)
            self._put_off(put_off, trials)
            if trials.best is None:
                raise ConfigError(
                    f"{self.name} could not fit any of {', '.join(arm.label for arm in arms) or 'no models'}.",
                    "Leave 'models' empty for all that suit the data; the reasons are in the notes above.",
                )
            self._blend(data, trials)
            if best is not None:
                self._repeat(best, data, trials)
            if readable(data, self.config.text):
                self._place_cold(data, trials)
            if options.learn_valid:
                self._take_valid_in(data, trials, options)
            self.report.search = trials.ladder

    def _to_try(self, data: Dataset, trials: Trials) -> list[Arm]:
        """The portfolio without what is not installed; where next to nobody is there to judge by, the floors alone."""
        cost = self._reading(data)
        suitable, found = self._portfolio(data, cost, trials.options.device), []
        floors = any(arm.model in _FLOORS for arm in suitable)
        for arm in suitable:
            extra = arm.lacks()
            if extra is not None:
                trials.skip(arm.label, f"the extra [{extra}] is not installed")
            elif trials.few and floors and arm.model not in _FLOORS:
                trials.skip(arm.label, f"{trials.n_judges} users on valid are too few to choose by")
            else:
                found.append(arm)
        if cost > _READING * self.config.budget and asks_what_follows(data) and any(arm.epochs for arm in found):
            why = f"reading the texts is expected to take {cost:.0f} CPU-seconds, over {_READING:.0%} of the budget"
            trials.skip(
                "texts in networks", f"{why}: these begin without them; a budget of {cost / _READING:.0f} would do"
            )
        return found

    def _portfolio(self, data: Dataset, reading: float, device: str = "auto") -> list[Arm]:
        """What suits the data, where ``reading`` all texts takes so many CPU-seconds."""
        c, begin = self.config, reading <= _READING * self.config.budget
        return portfolio(data, c.models, c.text, begin=begin, budget=c.budget, device=device)

    def _reading(self, data: Dataset) -> float:
        """CPU-seconds that reading the texts of all items is expected to take; 0 where none are read."""
        text = self.config.text
        return encoding_seconds(data.items, text_encoder(text)) if readable(data, text) else 0.0

    # -- the search ---------------------------------------------------------------------------

    def _closed_forms(self, arms: list[Arm], data: Dataset, trials: Trials) -> list[tuple[Arm, float, float]]:
        """The floors, then every arm that is not expected to cost too much, cheapest first.

        Returns those that are, what they are expected to cost and what they might: there may be room for them later.
        """
        put_off: list[tuple[Arm, float, float]] = []
        costs = {arm.label: arm.build(self.config.seed).estimate(data).cpu_seconds for arm in arms}
        for arm in sorted(arms, key=lambda arm: (arm.model not in _FLOORS, costs[arm.label])):
            allowed = min(_CHEAP * trials.left, _CLOSED * self.config.budget - trials.spent)
            if arm.model not in _FLOORS and trials.best is not None and costs[arm.label] > allowed:
                put_off.append((arm, costs[arm.label], max(0.0, allowed)))
                continue
            self._try(arm, trials)
        return put_off

    def _put_off(self, arms: list[tuple[Arm, float, float]], trials: Trials) -> None:
        """The models in closed form that were too dear at first, where those that learn in epochs left room."""
        for arm, expected, allowed in arms:
            most = trials.left * (1 - _FUSION)
            if expected > most and trials.best is not None:
                why = f"{allowed:.0f} were allowed at first, {most:.0f} were left at the end"
                trials.skip(arm.label, f"expected to take {expected:.0f} CPU-seconds; {why}")
                continue
            self._try(arm, trials)

    def _try(self, arm: Arm, trials: Trials) -> None:
        trial = trials.run(arm)
        if trial is not None and trial is trials.best:
            self._choose(trial.model, trials)

    def _refine(self, trials: Trials) -> None:
        """Better options for the best of the models in closed form; where order says nothing, these carry the rest."""
        until, before = trials.left - _REFINED * self.config.budget, trials.best
        found = [t for t in trials.done if t.arm.model not in _FLOORS and before and t.value >= _CLOSE * before.value]
        found = sorted(found, key=lambda trial: -trial.value)[:_WALKS]
        for rest, trial in enumerate(found):
            step = (trials.left - until) / (len(found) - rest)
            refined(trial, trials, trials.left - step)
        if trials.best is not None and trials.best is not before:
            self._choose(trials.best.model, trials)

    def _halve(self, arms: list[Arm], trials: Trials) -> Trial | None:
        """Successive halving over arms that train in epochs; returns the last one, trained to its end."""
        alive: list[Arm] = list(arms)
        rounds = max(0, math.ceil(math.log2(max(1, len(alive)))))
        for number in range(rounds):
            limit = _FIRST * 2**number * trials.left * (1 - _FUSION) / len(alive)
            found = [(arm, trials.run(arm, limit)) for arm in alive]
            ranked = sorted((f for f in found if f[1] is not None), key=lambda f: -f[1].value)  # type: ignore[union-attr]
            alive = [arm for arm, _ in ranked[: math.ceil(len(alive) / 2)]]
        last = self._finish(alive[0], trials) if alive else None
        if trials.best is not None and trials.best.arm.epochs:
            self._choose(trials.best.model, trials)
        return last

    def _finish(self, arm: Arm, trials: Trials) -> Trial | None:
        """The last fit of an arm; where it must know its epochs, they are planned so that several seeds may fit."""
        tried = trials.last(arm)
        if tried is None and arm.planned:
            tried = trials.run(arm, _FIRST * trials.left)
        if tried is None:
            return None if arm.planned else trials.run(arm, trials.left * (1 - _FUSION))
        affordable = trials.left * (1 - _FUSION) / tried.per_epoch
        if affordable < 1:
            return tried
        if not arm.planned:
            return trials.run(arm, trials.left * (1 - _FUSION))
        fits = int(np.clip(round(affordable / tried.epochs), 1, _REPEATS))
        return trials.run(arm.over(int(np.clip(affordable // fits, 1, tried.epochs))))

    def _repeat(self, best: Trial, data: Dataset, trials: Trials) -> None:
        """The best arm with other seeds, while the budget has room for most of one more fit and the blend gains."""
        for seed in range(self.config.seed + 1, self.config.seed + _REPEATS):
            limit = trials.left - 1.3 * trials.last_blend
            if limit < _MOST_OF * best.cpu_seconds:
                break
            arm, most = best.arm.again(seed), int(limit / best.per_epoch)
            found = trials.run(arm.over(min(best.epochs, max(1, most)))) if arm.planned else trials.run(arm, limit)
            if found is None or not self._blend(data, trials):
                break

    def _blend(self, data: Dataset, trials: Trials) -> bool:
        """Blend what is worth it, and choose the blend if it is better beyond noise; says whether it was chosen.

        Else what noise cannot tell from the best counts the same, if that is not worse beyond noise. The best of
        many owes its place to luck too, their mean does not: nothing of it was chosen by a small difference.
        """
        best = trials.best
        if best is None or trials.few:
            return False
        pool = [trial for trial in trials.done if trial.value >= _WEAK * best.value]
        if len(pool) < 2:
            return False
        expected, room = trials.blending(len(pool)), trials.left + _OVER * self.config.budget
        if expected > room:
            trials.skip(f"blend of {len(pool)} models", _too_dear("", expected, room))
            return False
        with trials.spending() as spent, threadpool_limits(1, "blas"):  # its products are small: threads would spin
            found = trials.candidates(pool)
            kept, adds = shortlist(found, self.config.seed)
            single = ndcg_of(found, pool.index(best))
            chosen = found.of_parts(kept)
            mixed = cross_fitted(chosen, np.zeros(0, np.int64), self.config.seed)
            parts = [pool[i] for i in kept]
            segments, seed = self.config.segments, self.config.seed
            blend = Blend.of([p.model for p in parts], data, found=chosen, segments=segments, seed=seed)
        better = trials.note_blend(parts, [adds[i] for i in kept], mixed, single, spent.cpu, _CERTAIN)
        if better:
            self._choose(blend, trials)
        if trials.blended is not None:
            return better
        close = alike(found, pool.index(best))
        mean = ndcg_of(found, *close)
        if len(close) > 1 and trials.note_mean([pool[i] for i in close], mean, single):
            self._choose(Blend.of([pool[i].model for i in close], data, learned=False), trials)
        return False

    def _place_cold(self, data: Dataset, trials: Trials) -> None:
        """A map for cold items over what was chosen, with the best of the models that read no order beside it."""
        cost = self._reading(data)
        if _SLOWER * cost > trials.left + _OVER * self.config.budget:
            why = _too_dear("reading the texts is ", cost, trials.left)
            trials.skip(ColdMap.name, f"{why}: items without events have no place, none can be added")
            return
        found = [t for t in trials.done if t.arm.model in _WITHOUT_ORDER]
        found = sorted(found, key=lambda trial: -trial.value)[:_COMPANIONS]
        options = {"encoder": self.config.text, "seed": self.config.seed, "valid_users": trials.judges}
        with trials.spending() as spent:
            chosen = ColdMap.over(self.chosen, data, [t.model for t in found], **options)
        trials.note_cold(chosen.report.search, spent.cpu)
        self._choose(chosen, trials)

    def _take_valid_in(self, data: Dataset, trials: Trials, options: FitOptions) -> None:
        """Nothing is left to choose by valid: what was chosen learns its events, if it can and the budget has room."""
        cost, room = trials.relearning(self.chosen), (1 + _OVER) * self.config.budget - trials.spent
        if cost > room:
            trials.skip(VALID, _too_dear("learning them is ", cost, max(0.0, room)))
            return
        with trials.spending() as spent:
            try:
                self.chosen.learn_valid(data, replace(options, checkpoint=None))
            except CapabilityError as error:
                trials.skip(VALID, f"they are not learnt: {error.message}")
                return
        self.report.learnt = self.chosen.report.learnt
        trials.note_valid(spent.cpu)

    def _choose(self, model: Recommender, trials: Trials) -> None:
        self.chosen = model
        if trials.options.on_better is not None:
            trials.options.on_better(model)

    # -- use ----------------------------------------------------------------------------------

    def score_histories(self, histories: Ragged, users: IntArray | None = None) -> FloatArray:
        """float32 ``[n, n_items]``, of the model that was chosen."""
        return self.chosen.score_histories(histories, users)

    def similar(self, items: IntArray, k: int = 10) -> Recommendations:
        """What the chosen model calls similar; where it does not know, what follows a history of that item alone."""
        if "similar" in self.chosen.capabilities:
            return self.chosen.similar(items, k)
        return Recommendations(*similar_by_history(self, items, k), self._fitted())

    def require(self, capability: str) -> None:
        """As for every model; new and cold items need a data set in which items have words, updates a part for them."""
        super().require(capability)
        if capability == "update":
            require_updatable(self, [self.chosen])
        if capability in ("cold_items", "add_items") and capability not in self.chosen.capabilities:
            dear = next((e for e in self.report.search if (e["step"], e["label"]) == ("skipped", ColdMap.name)), None)
            raise CapabilityError(
                f"this {self.name} was fitted without text, so {capability!r} is not possible.",
                f"Fit it with a larger budget: {dear['why']}."
                if dear is not None
                else "Fit it on items with titles, with an encoder installed: pip install 'honeyguide[text]'.",
            )

    def _add_items(self, items: pl.DataFrame) -> None:
        self.chosen = self.chosen.add_items(items)

    def _update(self, change: Change, options: FitOptions) -> None:
        """That of the model that was chosen; nothing is chosen again."""
        update_parts(self, [self.chosen], change, options)

    @property
    def updates_exactly(self) -> bool:
        """Whether the model that was chosen does."""
        return self.chosen.updates_exactly

    @property
    def stands_for(self) -> str:
        """What was chosen, in words."""
        return self.chosen.stands_for

    @property
    def made_of(self) -> tuple[Recommender, ...]:
        """What was chosen."""
        return (self.chosen,)

    def _state(self) -> tuple[artifact.Arrays, dict[str, Any]]:
        arrays, described = pack_parts([self.chosen])
        return arrays, {"chosen": described}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> None:
        self.chosen = unpack_parts(arrays, meta["chosen"], self.item_ids)[0]


def _too_dear(what: str, cost: float, room: float) -> str:
    """Why a step is left out."""
    return f"{what}expected to take {cost:.0f} CPU-seconds, more than the {room:.0f} left"
