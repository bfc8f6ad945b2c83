"""The work behind seed 29: a language model tuned on few windows, beside sequence models that learn from the same.

Everything is judged on the last event of people of ml-100k, over the whole catalogue without what they have seen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.core.recommender import Recommender
from honeyguide.experiment.papers import Profile, Result
from honeyguide.metrics.holdout import holdout_ndcg, of_scores, rank_catalogue

DATA = "ml-100k"
SIZES: dict[Profile, tuple[int, ...]] = {"cpu": (24, 48, 96), "paper": (256, 1024, 4096)}
SEEDS = range(3)
RIVALS = ("sasrec", "gru4rec")
SPACES = ("minilm", "lm", "lm-mean")
COLD = 5  # training events of an item, at most, for it to be cold
_HISTORY: dict[Profile, int] = {"cpu": 5, "paper": 10}
_TEST: dict[Profile, int] = {"cpu": 120, "paper": 943}
_SOME: dict[Profile, int] = {"cpu": 40, "paper": 943}  # people for whom each size but the last writes
_VALID: dict[Profile, int] = {"cpu": 50, "paper": 500}
_BATCH = 8
_SMALL: dict[str, Any] = {"dim": 32, "max_len": 50, "epochs": 40, "patience": 5, "batch_tokens": 512, "lr": 2e-3}
_WHOLE: dict[str, Any] = {"dim": 32, "blocks": 1, "heads": 1, "max_len": 50, "epochs": 20, "patience": 3, "lr": 2e-3}
_ANSWER = 24
Rows = npt.NDArray[np.int64]


class Bench:
    """People, their histories and their last events."""

    def __init__(self, profile: Profile) -> None:
        from honeyguide.data.load import load_data
        from honeyguide.models.language.grounding import titles_of

        self.data: Dataset = load_data(DATA)
        self.train, self.before = self.data.histories("train"), self.data.histories("train", "valid")
        self.valid, self.test = self.data.histories("valid"), self.data.histories("test")
        self.counts = self.data.popularity("train")
        self.titles = titles_of(self.data.items, "title")[1]
        people = np.random.default_rng(29).permutation(np.flatnonzero(self.test.lengths))
        self.drawn = people[: _TEST[profile]]
        self.some = self.drawn[: _SOME[profile]]
        self.for_valid = np.random.default_rng(30).permutation(np.flatnonzero(self.valid.lengths))[: _VALID[profile]]
        self.profile = profile

    def figures(self, scores: FloatArray, people: Rows) -> dict[str, float]:
        """NDCG and hit rate at 10, overall, on the tail (the less popular half of the events) and on cold items.

        ``scores`` are those of ``people``, ``[n, m]``.
        """
        before, truth = self.before.take(people), self.test.take(people)

        ndcg = holdout_ndcg(of_scores(scores), before, truth)
        lists = rank_catalogue(of_scores(scores), before, truth, 10)
        wanted = truth.values  # one for each
        hit = (lists == wanted[:, None]).any(axis=1)
        order = np.argsort(-self.counts, kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        half = self.counts[order].cumsum().searchsorted(self.counts.sum() / 2)
        tail, cold = rank[wanted] > half, self.counts[wanted] <= COLD
        return {
            "n": len(people),
            "ndcg@10": float(ndcg.mean()),
            "ndcg@10_se": float(ndcg.std(ddof=1) / len(ndcg) ** 0.5),
            "hit@10": float(hit.mean()),
            "tail": float(hit[tail].mean()) if tail.any() else float("nan"),
            "cold": float(hit[cold].mean()) if cold.any() else float("nan"),
            "n_cold": int(cold.sum()),
            "mean_rank": float(rank[lists].mean()),
            "in_catalogue": float((lists >= 0).mean()),
        }

    def of_model(self, model: Recommender) -> dict[str, Any]:
        """Figures of a model for everybody, and for the people who are drawn."""
        everybody = np.flatnonzero(self.test.lengths)
        return {
            name: self.figures(model.score_histories(self.before.take(people), people.astype(np.int32)), people)
            for name, people in (("all", everybody), ("drawn", self.drawn))
        }


def floors(profile: Profile) -> Result:
    """Popularity, the linear floor, item neighbours and the text profile on all events."""
    from honeyguide.models.registry import model_class

    bench = Bench(profile)
    return {
        name: bench.of_model(model_class(name)().fit(bench.data)) for name in ("popularity", "floor", "text-profile")
    }


def rivals(seed: int) -> Callable[[Profile], Result]:
    """Sequence models on as many windows as the language model gets, every window a person of its own."""

    def run(profile: Profile) -> Result:
        from honeyguide.models.language.bigrec import windows_of
        from honeyguide.models.registry import model_class

        bench, found = Bench(profile), dict[str, Any]()
        for size in SIZES[profile]:
            few = as_people(bench.data, *windows_of(bench.train, size, _HISTORY[profile], seed))
            for name in RIVALS:
                options = {**_SMALL, **({"blocks": 1, "heads": 1} if name == "sasrec" else {}), "seed": seed}
                found[f"{name} {size}"] = bench.of_model(model_class(name)(**options).fit(few))
        return found

    return run


def as_people(data: Dataset, windows: Ragged, targets: IntArray) -> Dataset:
    """A data set with a person for every window, over the same catalogue; a tenth of the targets are valid."""
    from honeyguide.data.build import build

    whole = windows.concat(Ragged.from_lists([[int(t)] for t in targets]))
    place = np.arange(len(whole.values)) - whole.offsets[whole.rows]
    last = whole.ages() == 0
    aside = last & (whole.rows % 10 == 0) & (whole.lengths[whole.rows] > 2)
    ids = data.item_ids.values.gather(whole.values)
    events = pl.DataFrame(
        {"user_id": whole.rows, "item_id": ids, "position": place, "split": np.where(aside, "valid", "train")}
    )
    return build(f"{data.name}, {len(targets)} windows", events, data.items)


def language(profile: Profile) -> Result:
    """One pass of tuning over the largest number of windows; at each size it writes a title for every person drawn."""
    from honeyguide.lm.batched import complete
    from honeyguide.lm.local import Local, LocalConfig
    from honeyguide.lm.tuning import TuneConfig, sft
    from honeyguide.models.language import grounding
    from honeyguide.models.language.bigrec import examples_of, prompt_of, windows_of

    bench, longest, sizes = Bench(profile), _HISTORY[profile], SIZES[profile]
    lm = Local(LocalConfig(os.environ.get("HONEYGUIDE_LM", "smollm2").removeprefix("transformers:")))
    name = lm.name
    states = lm.hidden([title or " " for title in bench.titles])  # read once for both spaces of the model itself
    spaces = {
        "minilm": grounding.vectors_of(bench.titles, "minilm"),
        "lm": np.stack([row[-1] for row in states]),
        "lm-mean": np.stack([row.mean(axis=0) for row in states]),
    }

    def write(histories: Ragged) -> list[str]:
        prompts = [prompt_of([bench.titles[i] for i in history[-longest:]]) for history in histories]
        return [grounding.cleaned(text) for text in complete(lm, prompts, max_tokens=_ANSWER)]

    def far(texts: list[str], space: str = SPACES[0]) -> FloatArray:
        return grounding.distances(grounding.vectors_of(texts, space, lm), spaces[space])

    def curve_at(people: Rows) -> dict[str, Any]:
        texts = write(bench.before.take(people))
        return {"texts": texts, **said(texts, bench.titles), **bench.figures(-far(texts), people)}

    curve = {"0": curve_at(bench.some)}

    def on_step(step: int, loss: float) -> None:
        size = (step + 1) * _BATCH
        if size in sizes[:-1]:
            curve[str(size)] = curve_at(bench.some)

    windows, targets = windows_of(bench.train, sizes[-1], longest, 0)
    config = TuneConfig(batch=_BATCH, learning_rate=1e-3)
    done = sft(lm, examples_of(windows, targets, bench.titles), config, on_step)
    texts = write(bench.before.take(bench.drawn))
    on_valid = far(write(bench.train.take(bench.for_valid)))
    near = {space: far(texts, space) for space in SPACES}
    return {
        "model": name,
        "parameters": done.parameters,
        "losses": done.losses,
        "curve": curve,
        "texts": texts,
        **said(texts, bench.titles),
        "spaces": {space: bench.figures(-distance, bench.drawn) for space, distance in near.items()},
        "some": bench.figures(-near[SPACES[0]][: len(bench.some)], bench.some),
        "weighed": weighed_by(bench, near[SPACES[0]], on_valid),
    }


def said(texts: list[str], titles: list[str]) -> dict[str, Any]:
    """How many of the texts are titles of the catalogue, nearly, or neither, and how many differ."""
    from honeyguide.lm.ground import Grounder

    outcomes = [found.outcome for found in Grounder(titles).ground_all(texts)]
    exact = set(titles)
    return {
        "exact": float(np.mean([text in exact for text in texts])),
        "near": float(np.mean([o != "none" and t not in exact for o, t in zip(outcomes, texts, strict=True)])),
        "neither": float(np.mean([o == "none" and t not in exact for o, t in zip(outcomes, texts, strict=True)])),
        "distinct": len(set(texts)) / max(1, len(texts)),
    }


def weighed_by(bench: Bench, near: FloatArray, on_valid: FloatArray) -> dict[str, Any]:
    """Distances weighed by popularity and, for five seeds, by SASRec on all events; gamma from valid."""
    from honeyguide.models.language.grounding import MODEL_GAMMAS, POPULARITY_GAMMAS, min_max
    from honeyguide.models.registry import model_class

    share = min_max(bench.counts)
    found: dict[str, Any] = {"popularity": _chosen(bench, near, on_valid, share, share, POPULARITY_GAMMAS)}
    for seed in range(5):
        model = model_class("sasrec")(**_WHOLE, seed=seed).fit(bench.data)
        told = [model.score_histories(h) for h in (bench.train.take(bench.for_valid), bench.before.take(bench.drawn))]
        found[f"sasrec {seed}"] = {
            **_chosen(bench, near, on_valid, min_max(told[1]), min_max(told[0]), MODEL_GAMMAS),
            "alone": bench.figures(told[1], bench.drawn),
        }
    return found


def _chosen(
    bench: Bench,
    near: FloatArray,
    on_valid: FloatArray,
    weight: FloatArray,
    valid_weight: FloatArray,
    gammas: tuple[float, ...],
) -> dict[str, Any]:
    from honeyguide.models.language.grounding import weighed

    histories, truth = bench.train.take(bench.for_valid), bench.valid.take(bench.for_valid)
    values = []
    for gamma in gammas:
        scores = -weighed(on_valid, valid_weight, gamma)
        values.append(float(holdout_ndcg(of_scores(scores), histories, truth).mean()))
    gamma = gammas[int(np.argmax(values))]
    return {
        "gamma": gamma,
        "valid": max(values),
        "figures": bench.figures(-weighed(near, weight, gamma), bench.drawn),
    }


def of_seeds(results: Mapping[str, Result], system: str, where: str, metric: str = "ndcg@10") -> list[float]:
    """A figure of a rival, seed by seed."""
    return [results[f"rivals-{seed}"][system][where][metric] for seed in SEEDS]
