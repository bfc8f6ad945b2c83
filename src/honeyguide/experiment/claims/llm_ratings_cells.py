"""The work behind seed 52: rules, small networks and a language model on the same test ratings of ml-100k.

Where the profile ``cpu`` draws test questions (:func:`asked`), every system is also judged on just these.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray
from honeyguide.data.load import load_data
from honeyguide.data.ratings import RatingQuestions
from honeyguide.experiment.papers import Profile, Result
from honeyguide.experiment.ratings import Bench, figures, rules
from honeyguide.lm import ratings as by_lm
from honeyguide.metrics.arrays import Vector

DATA = "ml-100k"
COLUMNS = ("title", "genres")
GROUPS = 5  # parts of the drawn test questions, each with its own examples where examples are shown
SHOTS = 4
SIZES: dict[Profile, tuple[int, ...]] = {"cpu": (24, 48, 96, 192, 384), "paper": (128, 512, 1024, 2048, 4000)}
NETWORKS = range(3)  # seeds
_SAMPLE: dict[Profile, int] = {"cpu": 200, "paper": 2000}
_SOME: dict[Profile, int] = {"cpu": 80, "paper": 500}  # of them, asked at each size but the last
_COLD: dict[Profile, int] = {"cpu": 120, "paper": 1000}
_WRITTEN: dict[Profile, int] = {"cpu": 30, "paper": 300}
_HISTORY: dict[Profile, int] = {"cpu": 5, "paper": 10}
_EPOCHS: dict[Profile, int] = {"cpu": 5, "paper": 20}
Rows = npt.NDArray[np.int64]


def bench_of() -> tuple[Dataset, Bench]:
    """The ratings, split by time."""
    data = load_data(DATA)
    return data, Bench.of(data, COLUMNS)


def asked(bench: Bench, profile: Profile) -> RatingQuestions:
    """The test questions that a language model is asked, in the order of the draw."""
    return bench.test.take(np.random.default_rng(52).permutation(len(bench.test))[: _SAMPLE[profile]])


def cold(bench: Bench, profile: Profile) -> RatingQuestions:
    """Some of the test questions about cold items."""
    rows = bench.cold(bench.test)
    return bench.test.take(np.random.default_rng(52).permutation(rows)[: _COLD[profile]])


def examples(bench: Bench, n: int, seed: int) -> RatingQuestions:
    """``n`` questions of train, drawn; a smaller draw of the same seed is the beginning of a larger one."""
    pool = bench.with_history()
    return pool.take(np.random.default_rng([52, seed]).permutation(len(pool))[:n])


def by_rules(profile: Profile) -> Result:
    """Rules and biased MF on all test questions, on the drawn ones, on all cold ones and on the drawn cold ones."""
    data, bench = bench_of()
    found = {name: model.fit(bench.train) for name, model in rules().items()}
    rare = cold(bench, profile)
    told = {name: model.predict(rare) for name, model in found.items()}
    return {"events": data.interactions.height, "told of the drawn cold": told} | {
        where: {name: figures(questions.truth, model.predict(questions)) for name, model in found.items()}
        for where, questions in _places(bench, profile).items()
    }


def _places(bench: Bench, profile: Profile) -> dict[str, RatingQuestions]:
    return {
        "all": bench.test,
        "drawn": asked(bench, profile),
        "cold": bench.test.take(bench.cold(bench.test)),
        "drawn cold": cold(bench, profile),
    }


def networks(seed: int) -> Callable[[Profile], Result]:
    """Transformer-MLP with ids and kinds, and with vectors of the titles, by number of examples."""

    def run(profile: Profile) -> Result:
        data, bench = bench_of()
        facts = {"ids": _kinds(data), "text": _titles(data)}
        whole, found = bench.with_history(), dict[str, Any]()
        for size in (*SIZES[profile], len(whole)):
            for name, table in facts.items():
                learnt = whole if size == len(whole) else examples(bench, size, seed)
                found[f"{name} {size}"] = _network(bench, name, table, learnt, seed, profile)
        return {"whole": len(whole), "systems": found}

    return run


def _network(
    bench: Bench, name: str, table: FloatArray, learnt: RatingQuestions, seed: int, profile: Profile
) -> dict[str, Any]:
    import torch

    from honeyguide.models.ratings.history_mlp import HistoryMLP, HistoryOptions

    many = len(learnt) > 20_000
    options = HistoryOptions(
        dim=32, blocks=1, batch=512 if many else 32, epochs=_EPOCHS[profile] if many else 20, seed=seed
    )
    model = HistoryMLP(table, ids=name == "ids", options=options)
    model.fit(learnt, bench.valid.take(np.arange(0, len(bench.valid), 4)))
    found = {where: figures(q.truth, model.predict(q)) for where, q in _places(bench, profile).items()}
    if many:
        with torch.no_grad():
            model.network.facts.copy_(model.network.facts[np.random.default_rng(seed).permutation(len(table))])
        found["shuffled"] = figures(bench.test.truth, model.predict(bench.test))
    return found


def _kinds(data: Dataset) -> FloatArray:
    """float32 ``[m, genres]`` of zeros and ones."""
    each = [set(kinds or ()) for kinds in data.items["genres"].to_list()]
    genres = sorted(set().union(*each))
    return np.array([[kind in kinds for kind in genres] for kinds in each], np.float32)


def _titles(data: Dataset) -> FloatArray:
    """float32 ``[m, 384]``: MiniLM's vectors of titles and genres."""
    from honeyguide.encode.items import item_text_vectors
    from honeyguide.encode.text import text_encoder

    return item_text_vectors(data, text_encoder("minilm"), COLUMNS)


def _model() -> Any:
    """The language model of ``$HONEYGUIDE_LM``, by default SmolLM2 with exact probabilities."""
    from honeyguide.lm.registry import language_model

    name = os.environ.get("HONEYGUIDE_LM", "transformers:smollm2")
    return language_model(name, **({"reuse": True} if name.startswith("transformers:") else {}))


def _read(questions: RatingQuestions, found: Vector) -> dict[str, Any]:
    """What a judge needs of the probabilities ``[n, 5]`` to these questions."""
    return {
        "truth": questions.truth,
        "expected": by_lm.expected(found),
        "likeliest": by_lm.likeliest(found),
        "mean": found.mean(axis=0),
        "figures": figures(questions.truth, by_lm.expected(found)),
        "figures of the likeliest": figures(questions.truth, by_lm.likeliest(found)),
    }


def zero(profile: Profile) -> Result:
    """Without examples: read as probabilities, the same without what is said to no question, and as written."""
    _, bench = bench_of()
    lm, task, questions = _model(), by_lm.rating_task(), asked(bench, profile)
    words = bench.worded(questions, _HISTORY[profile])
    found = by_lm.probabilities(lm, task, words)
    neutral = by_lm.probabilities(lm, task, [by_lm.NEUTRAL])[0]
    said = by_lm.written(lm, task, words[: _WRITTEN[profile]], float(bench.train.truth.mean()))
    some = questions.take(np.arange(_WRITTEN[profile]))
    return {
        "model": lm.name,
        **_read(questions, found),
        "calibrated": _read(questions, by_lm.calibrated(found, neutral)),
        "written": figures(some.truth, said.ratings) | {"unread": said.unread},
    }


def few(seed: int) -> Callable[[Profile], Result]:
    """With examples drawn for this part of the test questions."""

    def run(profile: Profile) -> Result:
        _, bench = bench_of()
        lm, questions = _model(), asked(bench, profile)
        questions = questions.take(np.array_split(np.arange(len(questions)), GROUPS)[seed])
        shown = examples(bench, SHOTS, seed)
        words = bench.worded(shown, _HISTORY[profile])
        task = by_lm.rating_task(shots=list(zip(words, shown.truth.tolist(), strict=True)))
        return _read(questions, by_lm.probabilities(lm, task, bench.worded(questions, _HISTORY[profile])))

    return run


def tuned(profile: Profile) -> Result:
    """LoRA through one pass over the largest number of examples, asked whenever a size is reached."""
    from honeyguide.lm.local import Local, LocalConfig
    from honeyguide.lm.tuning import TuneConfig, sft

    _, bench = bench_of()
    named = _model()
    lm = named if isinstance(named, Local) else Local(LocalConfig(reuse=True))
    name, sizes, history = lm.name, SIZES[profile], _HISTORY[profile]
    task, questions = by_lm.rating_task(), asked(bench, profile)
    learnt = examples(bench, sizes[-1], 0)
    config = TuneConfig(batch=8, learning_rate=1e-3)
    some = questions.take(np.arange(_SOME[profile]))
    found: dict[str, Any] = {}

    def on_step(step: int, loss: float) -> None:
        size = (step + 1) * config.batch
        if size in sizes[:-1]:
            found[str(size)] = _read(some, by_lm.probabilities(lm, task, bench.worded(some, history)))

    told = by_lm.tuning_examples(task, bench.worded(learnt, history), learnt.truth.tolist())
    done = sft(lm, told, config, on_step)
    rare, mixed = cold(bench, profile), np.random.default_rng(0).permutation(len(bench.texts))
    others = [bench.texts[i] for i in mixed]  # every item has the title of another
    return {
        "model": name,
        "parameters": done.parameters,
        "losses": done.losses,
        "sizes": found
        | {str(sizes[-1]): _read(questions, by_lm.probabilities(lm, task, bench.worded(questions, history)))},
        "cold": _read(rare, by_lm.probabilities(lm, task, bench.worded(rare, history))),
        "shuffled": _read(questions, by_lm.probabilities(lm, task, by_lm.worded(questions, others, history))),
    }


def regressed(profile: Profile) -> Result:
    """A head on the state of the last token, tuned on the largest number of examples by squared error."""
    from honeyguide.lm.local import Local, LocalConfig
    from honeyguide.lm.regression import regress
    from honeyguide.lm.tuning import TuneConfig

    _, bench = bench_of()
    named, task, history = _model(), by_lm.rating_task(), _HISTORY[profile]
    lm = named if isinstance(named, Local) else Local(LocalConfig())
    learnt = examples(bench, SIZES[profile][-1], 0)
    words = bench.worded(learnt, history)
    told = [(task.prompt(question), rating) for question, rating in zip(words, learnt.truth.tolist(), strict=True)]
    found = regress(lm, told, TuneConfig(batch=8, learning_rate=1e-3))

    def answered(questions: RatingQuestions) -> dict[str, Any]:
        prompts = [task.prompt(question) for question in bench.worded(questions, history)]
        return figures(questions.truth, np.clip(found.predict(prompts), by_lm.FIVE[0], by_lm.FIVE[-1]))

    return {
        "examples": len(told),
        "losses": found.tuned.losses,
        "drawn": answered(asked(bench, profile)),
        "cold": answered(cold(bench, profile)),
    }
