"""Seed 19, "TiM4Rec: time-aware structured state space duality for sequential recommendation" (arXiv 2409.16182)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.data.load import load_data
from honeyguide.experiment.claims.tim4rec_cost import LENGTHS, cost_by_length, slope, tisasrec_bytes
from honeyguide.experiment.papers import Cell, Claim, Judgement, Paper, Profile, Result, verdict
from honeyguide.metrics.holdout import model_ndcg
from honeyguide.metrics.stats import t_interval

if TYPE_CHECKING:
    from torch import Tensor

    from honeyguide.models.sequence.tim4rec import TiM4Rec

_DATA = "ml-100k"
_SEEDS = range(5)
_AGREE = 1e-4
_YEARS = 20 * 365 * 86_400_000_000  # twenty years in microseconds
# One width, length, batch and stopping rule for every network, so that all see the same windows.
_SIZES: dict[Profile, dict[str, Any]] = {
    "cpu": {"dim": 32, "max_len": 50, "epochs": 15, "batch_tokens": 1024, "warmup": 50},
    "paper": {"dim": 64, "max_len": 200, "epochs": 100},
}
_OWN: dict[str, dict[str, Any]] = {
    "gaps": {"time": "gaps"},
    "none": {"time": "none"},
    "shuffled": {"time": "gaps"},
    "released": {"faithful": True, "prefixes": 2},
    "sasrec": {},
}


def with_shuffled_gaps(data: Dataset, seed: int) -> Dataset:
    """The same events in the same order, with the gaps of every user in a random order."""
    frame = data.interactions
    times, users = frame["timestamp"].cast(pl.Int64).to_numpy(), frame["user"].to_numpy()
    first = np.append(True, users[1:] != users[:-1])
    inner = np.flatnonzero(~first)  # the events that have a gap before them, sorted by user
    drawn = inner[np.lexsort((np.random.default_rng(seed).random(len(inner)), users[inner]))]
    gaps = np.diff(times, prepend=times[:1])
    gaps[inner] = gaps[drawn]
    gaps[first] = 0
    run = np.cumsum(gaps)
    group = np.cumsum(first) - 1
    moved = times[first][group] + run - run[first][group]
    column = pl.Series("timestamp", moved).cast(frame.schema["timestamp"])
    return replace(data, interactions=frame.with_columns(column))


def _trained(system: str, seed: int, profile: Profile) -> Result:
    """Test NDCG@10 of one network and seed; epochs chosen on valid."""
    from honeyguide.models.registry import model_class

    data = _times_of(load_data(_DATA))
    if system == "shuffled":
        data = with_shuffled_gaps(data, seed)
    name = "sasrec" if system == "sasrec" else "tim4rec"
    model = model_class(name)(**_SIZES[profile], **_OWN[system], seed=seed).fit(data)
    curve = model.report.curve
    return {
        "ndcg@10": _ndcg(model, data),
        "valid_ndcg@10": max(entry["valid_ndcg@10"] for entry in curve),
        "epochs": len(curve),
        "parameters": model.n_parameters,
        "cpu_seconds": model.report.cpu_seconds,
    }


def _floors(profile: Profile) -> Result:
    """Test NDCG@10 of popularity and of the linear floor."""
    from honeyguide.models.registry import model_class

    data = load_data(_DATA)
    return {name: _ndcg(model_class(name)().fit(data), data) for name in ("popularity", "floor")}


def _ndcg(model: Any, data: Dataset) -> float:
    return float(model_ndcg(model, data.histories("train", "valid"), data.histories("test")).mean())


def _times_of(data: Dataset) -> Dataset:
    if data.times() is None:
        raise DataError(f"{data.name} has no times.", "Give the data set with its column of times.")
    return data


def _forms(profile: Profile) -> Result:
    """Largest differences between the three forms, by length; gradients; one event at a time against all at once."""
    import torch

    from honeyguide.nn.ssd import ssd_chunked, ssd_quadratic, ssd_step

    def inputs(length: int, heads: int, width: int, dtype: Any = torch.float32) -> list[Tensor]:
        torch.manual_seed(length)
        u, b, c = (torch.randn(2, length, *shape, dtype=dtype) for shape in ((heads, width), (width,), (width,)))
        return [u, -torch.rand(2, length, heads, dtype=dtype) * 0.5, b / width**0.5, c / width**0.5]

    worst = {}
    for length in (50, 100, 200):
        u, log_a, b, c = inputs(length, 4, 32)  # four heads of width 32, a state of 32: the published block
        quadratic, chunked = ssd_quadratic(u, log_a, b, c)[0], ssd_chunked(u, log_a, b, c)[0]
        state, steps = torch.zeros(2, 4, 32, 32), []
        for t in range(length):
            y, state = ssd_step(u[:, t], log_a[:, t], b[:, t], c[:, t], state)
            steps.append(y)
        recurrent = torch.stack(steps, 1)
        pairs = ((quadratic, chunked), (chunked, recurrent), (quadratic, recurrent))
        worst[str(length)] = max(float((a - b).abs().max()) for a, b in pairs)
    small = [part.requires_grad_() for part in inputs(6, 2, 2, torch.float64)]
    right = torch.autograd.gradcheck(ssd_quadratic, small, raise_exception=False)
    right &= torch.autograd.gradcheck(partial(ssd_chunked, chunk=4), small, raise_exception=False)
    return {"worst": worst, "gradients": right, "network": _stepped()}


def _stepped() -> float:
    """Largest difference between states of a network fed by the event and all at once, over 150 events."""
    import torch

    from honeyguide.models.sequence.tim4rec import TiM4RecConfig, TiM4RecNetwork

    torch.manual_seed(0)
    options: dict[str, Any] = {"max_len": 200}
    network = TiM4RecNetwork(100, TiM4RecConfig(**options).resolve(np.full(100, 90))).eval()
    items, times = torch.randint(0, 100, (4, 150)), torch.randint(0, 10**11, (4, 150)).cumsum(1)
    with torch.inference_mode():
        whole, memory, steps = network.hidden(items, times), None, []
        for t in range(150):
            state, memory = network.go_on(network.items(items[:, t : t + 1]), times[:, t : t + 1], memory)
            steps.append(state)
    return float((whole - torch.cat(steps, 1)).abs().max())


def _judge_forms(results: Mapping[str, Result]) -> Judgement:
    found = results["forms"]
    worst = max(*found["worst"].values(), found["network"])
    note = (
        f"lengths {', '.join(found['worst'])}, float32; gradients against finite differences in float64: "
        f"{'equal' if found['gradients'] else 'different'}; the whole network, 150 events one at a time against all at "
        f"once: {found['network']:.1e}"
    )
    return Judgement(worst, verdict(worst <= _AGREE and found["gradients"]), note=note)


def _of(results: Mapping[str, Result], system: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([results[f"{system}-s{seed}"]["ndcg@10"] for seed in _SEEDS])


def _judge_time(results: Mapping[str, Result]) -> Judgement:
    gaps, none, shuffled = (_of(results, system) for system in ("gaps", "none", "shuffled"))
    low, high = t_interval(gaps - none)[1]
    control = t_interval(shuffled - gaps)[1]
    floors, released = results["floors"], results["released-s0"]
    note = (
        f"means of {len(gaps)} seeds: with gaps {gaps.mean():.4f}, without {none.mean():.4f}, gaps shuffled within "
        f"each user {shuffled.mean():.4f} (against true gaps [{control[0]:.4f}, {control[1]:.4f}]); popularity "
        f"{floors['popularity']:.4f}, linear floor {floors['floor']:.4f}; time path as released, one seed: "
        f"{released['ndcg@10']:.4f} in {released['cpu_seconds']:.0f} CPU-s, against "
        f"{results['gaps-s0']['cpu_seconds']:.0f}"
    )
    holds = low > 0 and shuffled.mean() <= gaps.mean()
    return Judgement(float((gaps - none).mean()), verdict(bool(holds)), (low, high), note)


def _judge_sasrec(results: Mapping[str, Result]) -> Judgement:
    ours, theirs = _of(results, "gaps"), _of(results, "sasrec")
    note = (
        f"means of {len(ours)} seeds: tim4rec {ours.mean():.4f} ({results['gaps-s0']['parameters']:,} weights), sasrec "
        f"{theirs.mean():.4f} ({results['sasrec-s0']['parameters']:,}); same width, windows, softmax over all items"
    )
    difference = ours - theirs
    return Judgement(float(difference.mean()), verdict(bool(difference.mean() >= 0)), t_interval(difference)[1], note)


def _judge_cost(results: Mapping[str, Result]) -> Judgement:
    found = results["cost"]
    seconds = {name: slope(found[name]["seconds"]) for name in ("tim4rec", "sasrec", "tisasrec")}
    memory = {name: slope(found[name]["bytes"]) for name in ("tim4rec", "sasrec", "tisasrec")}
    rows = [
        f"length {length}: "
        + ", ".join(
            f"{name} {1e3 * found[name]['seconds'][i]:.1f} ms and {found[name]['bytes'][i] / 1e6:.1f} MB"
            for name in ("tim4rec", "sasrec", "tisasrec")
        )
        for i, length in enumerate(LENGTHS)
    ]
    rows.append(
        f"TiSASRec's relations of all pairs (keys and values, one layer, one sequence): "
        f"{', '.join(f'{tisasrec_bytes(length) / 1e6:.1f} MB at {length}' for length in LENGTHS)}"
    )
    holds = seconds["tim4rec"] <= 1.2 and seconds["sasrec"] > seconds["tim4rec"] and memory["tisasrec"] > 1.7
    text = ", ".join(f"{name} {seconds[name]:.2f} (memory {memory[name]:.2f})" for name in seconds)
    return Judgement(text, verdict(holds), note="; ".join(rows))


def _sensitivity(profile: Profile) -> Result:
    """What moves the scores of a fitted model: the date, the gaps, the padding; ours and as released."""
    from honeyguide.models.sequence.tim4rec import TiM4Rec

    data = _times_of(load_data(_DATA))
    options = {**_SIZES[profile], "epochs": 4 if profile == "cpu" else 50}
    ours = TiM4Rec(**options).fit(data)
    released = TiM4Rec(**{**options, "epochs": options["epochs"] // 2}, faithful=True, prefixes=2).fit(data)
    histories = data.histories("train", "valid")
    assert histories.times is not None
    before = ours.score_histories(histories)
    date = ours.score_histories(replace(histories, times=histories.times + _YEARS))
    other = with_shuffled_gaps(data, 0).histories("train", "valid")
    gaps = ours.score_histories(other)
    return {
        "date": float(np.abs(date - before).max()),
        "gaps": float(np.abs(gaps - before).max()),
        "spread": float(before.std()),
        "padding": _padded(ours, data),
        "padding_released": _padded(released, data),
        "stream_released": _padded(released, data, stream=True),
    }


def _padded(model: TiM4Rec, data: Dataset, stream: bool = False) -> float:
    """Largest change of a state, or of the normalised gaps as released, when 10 padded places follow 20 events."""
    import torch
    from torch.nn import functional as F

    long = np.flatnonzero(data.histories("train").lengths >= 20)[:100]
    rows = data.histories("train").take(long).last(20)
    assert rows.times is not None
    items = torch.from_numpy(rows.values.astype(np.int64)).reshape(-1, 20)
    times = torch.from_numpy(rows.times.copy()).reshape(-1, 20)
    with torch.inference_mode():
        if stream:
            short, padded = model.network.gaps(times), model.network.gaps(F.pad(times, (0, 10)))[:, :20]
        else:
            short = model.network.hidden(items, times)[:, -1]
            padded = model.network.hidden(F.pad(items, (0, 10)), F.pad(times, (0, 10)))[:, 19]
    return float((short - padded).abs().max())


def _judge_sensitivity(results: Mapping[str, Result]) -> Judgement:
    found = results["sensitivity"]
    holds = found["date"] == 0 and found["gaps"] > 1e-3 and found["padding"] <= 1e-6 and found["stream_released"] > 0.1
    text = (
        f"date {found['date']:.1e}, gaps {found['gaps']:.1e}, padding {found['padding']:.1e}; "
        f"as released, padding {found['padding_released']:.1e}, and {found['stream_released']:.1e} of the gaps"
    )
    note = (
        "largest change of a score when all times move by 20 years and when each user's gaps are shuffled (scores have "
        f"a standard deviation of {found['spread']:.2f}), and of a state when 10 padded places follow 20 events; as "
        "released, also of the normalised gaps that the steps are made from"
    )
    return Judgement(text, verdict(holds), note=note)


def _cells(*systems: str) -> tuple[Cell, ...]:
    return tuple(Cell(f"{s}-s{seed}", partial(_trained, s, seed)) for s in systems for seed in _SEEDS)


PAPER = Paper(
    seed=19,
    module="honeyguide.models.sequence.tim4rec",
    claims=(
        Claim(
            "forms",
            "the quadratic, chunked and recurrent computations agree, and their gradients are right",
            "random cases",
            "largest difference",
            "at most 1e-4",
            (Cell("forms", _forms),),
            _judge_forms,
        ),
        Claim(
            "time",
            "reading gaps is better than not, and shuffled gaps are no better than true ones",
            _DATA,
            "NDCG@10, gaps minus none",
            "interval above 0",
            (
                *_cells("gaps", "none", "shuffled"),
                Cell("floors", _floors),
                Cell("released-s0", partial(_trained, "released", 0)),
            ),
            _judge_time,
        ),
        Claim(
            "sasrec",
            "at least as good as SASRec of the same width, samples and loss",
            _DATA,
            "NDCG@10, tim4rec minus sasrec",
            "at least 0",
            _cells("gaps", "sasrec"),
            _judge_sasrec,
        ),
        Claim(
            "cost",
            "cost near linear in length from 50 to 800, where attention is not",
            "random sequences",
            "exponent of CPU-seconds from 200 to 800",
            "tim4rec at most 1.2 and below sasrec; TiSASRec's memory above 1.7",
            (Cell("cost", cost_by_length),),
            _judge_cost,
        ),
        Claim(
            "sensitivity",
            "the date and padding change nothing, gaps do; in the released form padding does",
            _DATA,
            "largest changes",
            "0, above 0, 0; above 0",
            (Cell("sensitivity", _sensitivity),),
            _judge_sensitivity,
        ),
    ),
)
