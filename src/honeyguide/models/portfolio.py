"""Which models are worth trying on a data set: a rule that sees its shape, never its name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import MissingExtraError, UnknownNameError
from honeyguide.core.recommender import Recommender
from honeyguide.data.valid import asks_what_follows
from honeyguide.encode.items import text_columns
from honeyguide.encode.text import text_encoder
from honeyguide.models.registry import MODELS, model_class
from honeyguide.models.sequence.lengths import are_long

_SPARSE = {"candidate_exponent": 0.0, "user_exponent": 0.5}  # of GF-CF, where popular items should not be held back


@dataclass(frozen=True)
class Arm:
    """One model with options, a thing to try.

    Parameters
    ----------
    label
        What it is called in tables.
    model, options
        Registered name, and options that differ from the defaults.
    epochs
        Whether it is trained in epochs, so that a fit can be ended early and resumed.
    planned
        Whether its last fit learns best when it knows how many epochs it has: by a falling learning rate.
    """

    label: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    epochs: bool = False
    planned: bool = False

    def build(self, seed: int) -> Recommender:
        """The model, unfitted."""
        return model_class(self.model)(**{**self.options, "seed": seed})

    def lacks(self) -> str | None:
        """The extra that is not installed and without which the model is not there."""
        try:
            model_class(self.model)
        except MissingExtraError as error:
            return error.extra
        return None

    def again(self, seed: int) -> Arm:
        """The same arm with another seed, under a label that says so."""
        return replace(self, label=f"{self.label}, seed {seed}", options={**self.options, "seed": seed})

    def over(self, epochs: int) -> Arm:
        """The same arm with a learning rate that falls over so many epochs."""
        return replace(self, options={**self.options, "schedule": "cosine", "epochs": epochs})


def portfolio(
    data: Dataset,
    models: Iterable[str] = (),
    text: str = "auto",
    *,
    begin: bool = True,
    budget: float = math.inf,
    device: str = "auto",
) -> list[Arm]:
    """The arms for ``data``, those without epochs first.

    Parameters
    ----------
    data
        Its order, whether what is held out follows it, and whether its item table has words, decide.
    models
        Only these, where any are named.
    text
        Encoder of the items' text; ``"off"`` leaves text aside.
    begin
        Whether networks begin from the texts.
    budget
        CPU-seconds of the search: where one fit of a network with the softmax over all items is expected to take
        more, it estimates the sum over the items, so that it gets to see its epochs.
    device
        Where networks train: only what a CPU does counts for ``budget``.

    Raises
    ------
    UnknownNameError
        If one of ``models`` is not there at all.
    """
    wanted = set(models)
    for name in sorted(wanted - set(MODELS)):
        raise UnknownNameError("model", name, MODELS)
    encoder = text if readable(data, text) else None
    arms = [*_closed_form(data, encoder), *_in_epochs(data, encoder if begin else None, budget, device)]
    return [arm for arm in arms if not wanted or arm.model in wanted]


def readable(data: Dataset, text: str) -> bool:
    """Whether items have words, and an encoder for them is wanted and installed."""
    if text == "off" or not text_columns(data.items):
        return False
    try:
        text_encoder(text)
    except MissingExtraError:
        return False
    return True


def _closed_form(data: Dataset, encoder: str | None) -> list[Arm]:
    arms = [
        Arm("popularity", "popularity"),
        Arm("itemknn", "itemknn"),
        Arm("ials", "ials"),
        Arm("ials, alpha 100", "ials", {"alpha": 100.0, "regularization": 20.0}),
        Arm("gfcf", "gfcf"),
        Arm("ease", "ease"),
        Arm("slim", "slim"),
    ]
    if not asks_what_follows(data):
        arms.append(Arm("gfcf, candidate_exponent 0, user_exponent 0.5", "gfcf", _SPARSE))
    if data.ordered:
        arms += [Arm("floor", "floor"), Arm("boosted", "boosted")]
    if encoder is not None:
        arms.append(Arm("text-profile", "text-profile", {"encoder": encoder}))
    return arms


def _in_epochs(data: Dataset, encoder: str | None, budget: float, device: str) -> list[Arm]:
    if not asks_what_follows(data):
        return [Arm("simplex", "simplex", epochs=True), Arm("lightgcn", "lightgcn", epochs=True)]
    start = {"init": "both", "text": encoder} if encoder is not None else {}
    start |= {"schedule": "constant"}  # of use whenever it is ended
    long = are_long(data.histories("train").lengths)
    arms = [Arm(name, name, start, epochs=True, planned=long) for name in ("sasrec", "hstu")]
    return [_within(arm, data, budget, device) for arm in arms]


def _within(arm: Arm, data: Dataset, budget: float, device: str) -> Arm:
    """The arm, with an estimate of its softmax where the exact one passes the budget and is twice as dear or more."""
    if arm.lacks() is not None:
        return arm
    from honeyguide.nn.trainer import choose_device  # needs the extra that is not lacking

    if choose_device(device).type != "cpu":
        return arm
    rough = replace(arm, label=f"{arm.label}, loss importance", options={**arm.options, "loss": "importance"})
    exact, estimated = (a.build(0).estimate(data).cpu_seconds for a in (arm, rough))
    return rough if exact > budget and estimated < exact / 2 else arm
