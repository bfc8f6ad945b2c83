"""Systems that tell ratings, side by side on the same questions: rules, factors, and a language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError
from honeyguide.data.ratings import RatingQuestions
from honeyguide.data.splits import global_time
from honeyguide.encode.items import item_texts
from honeyguide.lm import ratings as by_lm
from honeyguide.lm.port import LM
from honeyguide.lm.tasks import Task
from honeyguide.metrics.arrays import Vector
from honeyguide.metrics.predictive import auc, mae, rmse
from honeyguide.models.ratings.biased_mf import BiasedMF
from honeyguide.models.ratings.means import Means, RatingModel

LEAST = 5  # ratings a person must have given before being asked about
COLD = 5  # ratings of an item in train, at most, for it to be cold
_RESAMPLES = 500


@dataclass(frozen=True)
class Bench:
    """Questions split by time, and the texts of the items.

    Parameters
    ----------
    train, valid, test
        Questions with histories of at least :data:`LEAST` ratings; ``train`` has all.
    texts
        Of the items, by code.
    popularity
        Number of ratings of each item in train.
    """

    train: RatingQuestions
    valid: RatingQuestions
    test: RatingQuestions
    texts: list[str]
    popularity: npt.NDArray[np.int64]

    @classmethod
    def of(cls, data: Dataset, columns: Sequence[str] | None = None) -> Bench:
        """The first 85 % of the events in time are train, the next 5 % valid, the last 10 % test.

        Raises
        ------
        DataError
            If there are no ratings, times or texts.
        """
        split = global_time(data, valid=0.05, test=0.1)
        train = RatingQuestions.of(split, "train")
        texts = item_texts(data.items, columns)
        if not any(texts):
            raise DataError(
                "the items have no text.", "Give a folder with a table of items, items.csv, beside the events."
            )
        return cls(
            train,
            RatingQuestions.of(split, "valid", least=LEAST),
            RatingQuestions.of(split, "test", least=LEAST),
            texts,
            np.bincount(train.items, minlength=data.n_items),
        )

    def with_history(self) -> RatingQuestions:
        """The questions of train with a history of at least :data:`LEAST` ratings: what examples are drawn from."""
        return self.train.take(np.flatnonzero(self.train.history.lengths >= LEAST))

    def cold(self, questions: RatingQuestions) -> npt.NDArray[np.int64]:
        """Rows of questions about items with at most :data:`COLD` ratings in train."""
        return np.flatnonzero(self.popularity[questions.items] <= COLD)

    def worded(self, questions: RatingQuestions, longest: int) -> list[by_lm.RatingQuestion]:
        """Questions in words."""
        return by_lm.worded(questions, self.texts, longest)


def figures(truth: npt.ArrayLike, predicted: npt.ArrayLike, liked: float = 4.0, seed: int = 0) -> dict[str, Any]:
    """RMSE, MAE and AUC of ratings from ``liked`` on, with 95 % intervals by resampling the questions."""
    y, p = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    measures: dict[str, Callable[[Vector, Vector], float]] = {
        "rmse": rmse,
        "mae": mae,
        "auc": lambda y, p: auc(y >= liked, p),
    }
    drawn = np.random.default_rng(seed).integers(len(y), size=(_RESAMPLES, len(y)))
    found: dict[str, Any] = {"n": len(y)}
    for name, measure in measures.items():
        again = [measure(y[rows], p[rows]) for rows in drawn]
        found[name] = measure(y, p)
        found[f"{name}_ci"] = np.nanquantile(again, [0.025, 0.975]).tolist()
    return found


def auc_lead(
    truth: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike, liked: float = 4.0, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """AUC of the first predictions less that of the second, with its 95 % interval, the same questions resampled."""
    y, a, b = (np.asarray(values, np.float64) for values in (truth, first, second))
    drawn = np.random.default_rng(seed).integers(len(y), size=(_RESAMPLES, len(y)))
    again = [auc(y[rows] >= liked, a[rows]) - auc(y[rows] >= liked, b[rows]) for rows in drawn]
    low, high = np.nanquantile(again, [0.025, 0.975]).tolist()
    return auc(y >= liked, a) - auc(y >= liked, b), (low, high)


def rules() -> dict[str, RatingModel]:
    """What a language model has to beat, unfitted."""
    return {
        "global mean": Means(users=False, items=False),
        "user mean": Means(items=False),
        "item mean": Means(users=False),
        "user and item": Means(),
        "biased MF": BiasedMF(dim=16),
    }


def predict_ratings(
    data: Dataset,
    lm: LM,
    *,
    shots: int = 0,
    tune: int = 0,
    regression: bool = False,
    sample: int = 200,
    history: int = 10,
    columns: Sequence[str] | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """A table of rules, factors and a language model on the same test questions, split by time.

    Parameters
    ----------
    data
        With ratings of whole numbers, times and texts of items.
    lm
        With ``logprobs`` or ``choose``; else what it writes is read.
    shots
        Examples of train shown in every prompt.
    tune
        Examples of train that a local model is tuned on first (LoRA, one epoch); 0 for none.
    regression
        Tune a linear head on squared errors instead of the words, and read that.
    sample
        Test questions, drawn.
    history
        Ratings told in a prompt, the latest.
    columns
        Of the items' text; chosen from the table by default.
    seed
        Of what is drawn.
    progress
        Is told what goes on.

    Returns
    -------
    dict
        ``{"protocol", "model", "rows": [{"system", "n", "rmse", "mae", "auc", "..._ci", "unread"}]}``.

    Raises
    ------
    ConfigError
        If there is nothing to ask, or a model that cannot be tuned is to be, or a head without examples.
    """
    if regression and not tune:
        raise ConfigError("a regression head without examples knows nothing.", "Give --tune N as well.")
    tell = progress or (lambda text: None)
    bench, rng = Bench.of(data, columns), np.random.default_rng(seed)
    if not len(bench.test) or len(bench.with_history()) < shots + tune:
        raise ConfigError("there are not enough ratings for that.", "Ask for fewer shots, or give more events.")
    test = bench.test.take(np.sort(rng.permutation(len(bench.test))[:sample]))
    rows = []
    for name, model in rules().items():
        tell(name)
        rows.append({"system": name, **figures(test.truth, model.fit(bench.train).predict(test)), "unread": 0})
    scale: by_lm.Scale = tuple(int(r) for r in np.unique(bench.train.truth) if r == int(r))
    pool = bench.with_history()
    pool = pool.take(rng.permutation(len(pool))[: shots + tune])
    words, answers = bench.worded(pool, history), pool.truth.tolist()
    task = by_lm.rating_task(scale, list(zip(words[:shots], answers[:shots], strict=True)))
    asked, regressed = bench.worded(test, history), None
    if tune:
        tell(f"tuning on {tune} examples")
        regressed = _tuned(lm, task, words[shots:], answers[shots:], asked if regression else None, seed)
    tell(lm.name)
    name = f"{lm.name}, {shots} shots" + (f", tuned on {tune}" if tune else "")
    if regressed is not None:
        rows.append(
            {
                "system": f"{name}, regression head",
                **figures(test.truth, np.clip(regressed, scale[0], scale[-1])),
                "unread": 0,
            }
        )
    elif lm.capabilities & {"logprobs", "choose"}:
        found = by_lm.probabilities(lm, task, asked, scale, lambda i: tell(f"{i + 1}/{len(asked)}"))
        for way, predicted in (
            ("expected", by_lm.expected(found, scale)),
            ("likeliest", by_lm.likeliest(found, scale)),
        ):
            rows.append({"system": f"{name}, {way}", **figures(test.truth, predicted), "unread": 0})
    else:
        said = by_lm.written(lm, task, asked, float(bench.train.truth.mean()))
        rows.append({"system": f"{name}, written", **figures(test.truth, said.ratings), "unread": said.unread})
    protocol = f"split by time 85:5:10, {len(test)} test questions with {LEAST} earlier ratings or more"
    return {"protocol": protocol, "model": lm.name, "rows": rows}


def _tuned(
    lm: LM,
    task: Task[by_lm.RatingQuestion, float],
    words: Sequence[by_lm.RatingQuestion],
    ratings: Sequence[float],
    asked: Sequence[by_lm.RatingQuestion] | None,
    seed: int,
) -> Vector | None:
    """Tune a model on examples: on its words, or, where something is asked at once, a head that then answers."""
    lm.require("tune")
    from honeyguide.lm.local import Local
    from honeyguide.lm.regression import regress
    from honeyguide.lm.tuning import TuneConfig, sft

    if not isinstance(lm, Local):
        raise ConfigError(f"{lm.name} cannot be tuned.", "Name a model of transformers: transformers:smollm2.")
    config = TuneConfig(batch=8, learning_rate=1e-3, seed=seed)
    if asked is None:
        sft(lm, by_lm.tuning_examples(task, words, ratings), config)
        return None
    examples = [(task.prompt(question), rating) for question, rating in zip(words, ratings, strict=True)]
    return regress(lm, examples, config).predict([task.prompt(question) for question in asked])
