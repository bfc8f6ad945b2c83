"""What is run for seed 21: a sequence model without a defence and with LoRec, on clean data and under attacks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.core.plugin import Plugin, PluginConfig
from honeyguide.core.ragged import FloatArray, IntArray, Ragged
from honeyguide.data.attacks import KINDS, fake_profiles, fake_users, promoted_items, unpopular_items
from honeyguide.data.load import load_data
from honeyguide.experiment.attacks import attack, surrogate_profiles
from honeyguide.experiment.claims.text_sequence_cells import figures
from honeyguide.experiment.papers import Profile, Result
from honeyguide.metrics.attack import attack_success
from honeyguide.metrics.predictive import auc

if TYPE_CHECKING:
    from torch import nn

    from honeyguide.nn.forward import Forward, Weights

DATA = {"cpu": "amazon-toys", "paper": "amazon-games"}
SEEDS = range(1, 6)  # options were set on the seed 0
FIRST = SEEDS[0]  # of what is measured once
ATTACKS = (*KINDS, "surrogate")
HARD = ("segment", "surrogate")  # without the text in the profile cpu too
REACHED = ("target_hit_rate@50", "target_ndcg@50")
SHARE, TARGETS = 0.01, 5  # fakes for every genuine user; targets, all of them in every profile
MARGINS = (0.0, 1.5)  # beside the default
LOW = 0.5  # a weight below it is one that bites

_LEAST, _CORE = 14, 3  # of the profile cpu: events of a user and of an item
_FEW = 6  # titles of a prompt in the comparison of readers
_OPTIONS: dict[str, dict[str, Any]] = {
    "cpu": {"dim": 32, "max_len": 20, "epochs": 14, "lr": 3e-3, "average": 0.99, "warmup": 50, "batch_tokens": 1024},
    "paper": {"dim": 64, "max_len": 50, "epochs": 60},
}
_LOREC: dict[str, dict[str, Any]] = {
    "cpu": {"since": 4, "start": 8, "max_len": 20, "batch": 256, "encoder": "minilm"},
    "paper": {"since": 6, "start": 20, "passes": 2, "lm": "transformers:smollm2", "scenario": "games"},
}
_VAT = {"epsilon": 0.2, "start": 3}


def by_seed(seed: int) -> Callable[[Profile], Result]:
    """All systems on the clean data and under every attack, with one seed of models, targets and attacks."""

    def run(profile: Profile) -> Result:
        data = catalogue(profile)
        found: dict[str, Any] = {}
        for kind in ("clean", *ATTACKS):
            attacked, targets = attacked_by(data, kind, seed)
            found[kind] = {"plain": measured("sasrec", {}, attacked, targets, profile, seed)}
            own = {"families": others(kind)}
            found[kind]["lorec"] = measured("sasrec+lorec", {"lorec": own}, attacked, targets, profile, seed)
            if kind in (HARD if profile == "cpu" else ATTACKS):
                blind = {"lorec": {**own, "likeness": 0.0}}
                found[kind]["no-text"] = measured("sasrec+lorec", blind, attacked, targets, profile, seed)
            if kind != "clean" and (seed == FIRST or profile == "paper"):
                found[kind]["vat"] = measured("sasrec+vat", {"vat": _VAT}, attacked, targets, profile, seed)
        return {"data": repr(data), "figures": found}

    return run


def margins(profile: Profile) -> Result:
    """LoRec that flags from the mean on, as in the paper, and from further above it, with one seed of random fakes."""
    data, found = catalogue(profile), dict[str, Any]()
    attacked, targets = attacked_by(data, "random", FIRST)
    for margin in MARGINS:
        own = {"lorec": {"families": others("random"), "margin": margin}}
        found[str(margin)] = measured("sasrec+lorec", own, attacked, targets, profile, FIRST)
    return {"figures": found}


def looks(profile: Profile) -> Result:
    """What keeps a segment attack alive, with one seed: late weights, few epochs, or fakes that are not flagged."""
    from honeyguide.models.sequence.sasrec import SASRec

    data, kind = catalogue(profile), "segment"
    attacked, targets = attacked_by(data, kind, FIRST)
    fakes = tuple(np.flatnonzero(fake_users(attacked)).tolist())
    start, options = int(_LOREC[profile]["start"]), _options(profile, FIRST)
    found: dict[str, Any] = {}
    for name, since in (("known from the first epoch", 0), (f"known from epoch {start}", start)):
        model = SASRec(**options).plug(Known(fakes=fakes, start=since)).fit(attacked)
        found[name] = reached(model, attacked, targets)
    own: dict[str, Any] = {"families": others(kind)}
    eager = {"lorec": {**own, "margin": 0.5}}
    found["margin .5"] = measured("sasrec+lorec", eager, attacked, targets, profile, FIRST)
    long = {"epochs": 2 * options["epochs"], "patience": 2 * options["epochs"]}
    found["plain, twice the epochs"] = measured("sasrec", long, attacked, targets, profile, FIRST)
    found["twice the epochs"] = measured("sasrec+lorec", {"lorec": own, **long}, attacked, targets, profile, FIRST)
    return {"figures": found}


class KnownConfig(PluginConfig):
    """Options of :class:`Known`.

    Parameters
    ----------
    fakes
        Rows of the users who count for nothing.
    start
        From which epoch on.
    """

    fakes: tuple[int, ...] = ()
    start: int = 0


class Known(Plugin):
    """Somebody tells who is a fake: the best that weights can do."""

    name = "known"
    Config = KnownConfig
    config: KnownConfig
    needs: ClassVar[frozenset[str]] = frozenset({"weights"})
    passed = 0  # epochs

    def on_epoch(self, network: nn.Module, epoch: int) -> None:
        """Count."""
        self.passed = epoch + 1

    def keeps_from(self) -> int:
        """The first epoch that is weighted."""
        return self.config.start

    def weights(self, forward: Forward) -> Weights | None:
        """0 for fakes, else 1."""
        import torch

        from honeyguide.nn.forward import Weights

        if self.passed < self.config.start:
            return None
        fakes = torch.tensor(self.config.fakes, device=forward.users.device)
        return Weights(loss=(~torch.isin(forward.users, fakes)).float())


def floors(profile: Profile) -> Result:
    """Popularity and the linear floor on the clean data and under every attack, with one seed."""
    from honeyguide.models.registry import model_class

    data, found = catalogue(profile), dict[str, Any]()
    for kind in ("clean", *ATTACKS):
        attacked, targets = attacked_by(data, kind, FIRST)
        found[kind] = {
            name: reached(model_class(name)().fit(attacked), attacked, targets) for name in ("popularity", "floor")
        }
    return {"figures": found}


def readers(profile: Profile) -> Result:
    """ROC-AUC of a classifier on z alone (LLM4Dec), for each family after the others: titles by MiniLM, and a model."""
    from honeyguide.lm.registry import language_model
    from honeyguide.lm.suspects import states_of_users, titles_of_users

    data, each = catalogue(profile), 16 if profile == "cpu" else 250
    histories, rng = data.histories("train"), np.random.default_rng(0)
    users = rng.choice(np.flatnonzero(histories.lengths >= 2), 4 * each, replace=False)
    pool = histories.take(users)
    lengths = histories.lengths[rng.choice(np.flatnonzero(histories.lengths >= 2), each)]
    targets = unpopular_items(data, each)
    for kind in ATTACKS:
        options: dict[str, Any] = {"length": lengths, "seed": 1}
        make = surrogate_profiles(data, targets, each, **options) if kind == "surrogate" else None
        pool = pool.concat_rows(make if make is not None else fake_profiles(data, kind, targets, each, **options))
    pool = Ragged(pool.offsets, pool.values)
    model = language_model("transformers:smollm2")
    vectors = {
        "titles by minilm": titles_of_users(pool, data.items, "minilm", _FEW),
        "smollm2": states_of_users(pool, data.items, model, DATA[profile].removeprefix("amazon-"), _FEW),
    }
    return {"each": each, "auc": {name: _families(z, each) for name, z in vectors.items()}}


def _families(z: FloatArray, each: int) -> dict[str, float]:
    """Of rows: 4 each of users, then each of every family. Half of the users are learnt from, half are judged."""
    from sklearn.linear_model import LogisticRegression

    spread = z.std(axis=0)
    z = (z - z.mean(axis=0)) / np.where(spread > 0, spread, 1)
    family = np.repeat(np.arange(-4, len(ATTACKS)), each)
    found = {}
    for number, kind in enumerate(ATTACKS):
        judged = (family == number) | np.isin(family, (-2, -1))
        learnt = ~judged
        model = LogisticRegression(C=0.01, max_iter=500, class_weight="balanced").fit(z[learnt], family[learnt] >= 0)
        found[kind] = auc((family[judged] >= 0).astype(np.float64), model.decision_function(z[judged]))
    return found


def catalogue(profile: Profile) -> Dataset:
    """Toys among users with many events, as a dense core: z leaves two titles out and has to have some.

    In the profile paper all of Games.
    """
    from honeyguide.data.build import build, decoded
    from honeyguide.data.splits import leave_last_out

    name = DATA[profile]
    if not (Path(os.environ.get("HONEYGUIDE_DATA", "")) / name).is_dir():
        raise DataError(f"the data set {name!r} is not here.", "Set HONEYGUIDE_DATA to the folder that holds it.")
    whole = load_data(name)
    if profile == "paper":
        return whole
    frame, before = decoded(whole).drop("split"), -1
    while frame.height != before:
        before = frame.height
        frame = frame.filter(pl.len().over("user_id") >= _LEAST).filter(pl.len().over("item_id") >= _CORE)
    items = whole.items.filter(pl.col("item_id").is_in(frame["item_id"].unique().implode()))
    return leave_last_out(build("toys-core", frame, items))


def attacked_by(data: Dataset, kind: str, seed: int) -> tuple[Dataset, IntArray]:
    """The data under an attack, and its targets."""
    targets = unpopular_items(data, TARGETS, seed=seed)
    if kind == "clean":
        return data, targets
    found = attack(data, kind, targets, share=SHARE, each=TARGETS, seed=seed)
    return found, promoted_items(found)


def others(kind: str) -> tuple[str, ...]:
    """The families that fakes are made up of under an attack: never its own."""
    return tuple(family for family in KINDS if family != kind)


def measured(
    name: str, own: Mapping[str, Any], data: Dataset, targets: IntArray, profile: Profile, seed: int
) -> dict[str, Any]:
    """A model's figures: targets shown to genuine users, accuracy, and whom LoRec suspected.

    Item vectors begin at random: those from co-occurrence would have read the fakes before anybody is weighed.
    """
    from honeyguide.models.registry import model_class

    options = _options(profile, seed)
    if "lorec" in own:
        options["lorec"] = {**_LOREC[profile], **own["lorec"]}
    options |= {key: value for key, value in own.items() if key != "lorec"}
    model: Any = model_class(name)(**options).fit(data)
    found = {**reached(model, data, targets), "cpu_seconds": model.report.cpu_seconds}
    if "lorec" in own:
        found |= judged(model.plugins[0].suspects(), data)
        found["rounds"] = model.plugins[0].rounds
    return found


def _options(profile: Profile, seed: int) -> dict[str, Any]:
    """Of the sequence model; every system runs all epochs and keeps the best on valid."""
    return {**_OPTIONS[profile], "patience": _OPTIONS[profile]["epochs"], "init": "normal", "seed": seed}


def reached(model: Any, data: Dataset, targets: IntArray) -> dict[str, float]:
    """T-HR@50 and T-NDCG@50 over genuine users who met no target, and Recall@10 and NDCG@10 on test."""
    success = attack_success(model, data, (50,), targets=targets)
    kept = figures(model, data)
    return {name: float(np.nanmean(success[name])) for name in REACHED} | {
        name: kept[name] for name in ("recall@10", "ndcg@10")
    }


def judged(table: pl.DataFrame, data: Dataset) -> dict[str, float]:
    """Of a table of suspects: ROC-AUC of the suspicion, and the share of genuine and of fake users of low weight."""
    codes = data.user_ids.encode(table["user_id"])
    fake: npt.NDArray[np.bool_] = fake_users(data)[codes]
    low = table["weight"].to_numpy() < LOW
    found = {"genuine_low": float(low[~fake].mean())}
    if fake.any():
        truth = fake.astype(np.float64)
        found |= {"auc": auc(truth, table["suspicion"].to_numpy()), "fakes_low": float(low[fake].mean())}
        found["auc_last"] = auc(truth, table["last"].to_numpy())
    return found
