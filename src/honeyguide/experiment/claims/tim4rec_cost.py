"""What a pass over a sequence costs against its length: TiM4Rec, SASRec and a layer of TiSASRec."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from honeyguide.core.resources import Stopwatch
from honeyguide.experiment.papers import Profile, Result

if TYPE_CHECKING:
    from torch import Tensor

LENGTHS = (50, 100, 200, 400, 800)
_DIM, _LAYERS, _TIMES = 64, 2, 256  # width, layers, and TiSASRec's buckets of time
_POSITIONS = 3_200  # in a batch, so that every length gives as many


def cost_by_length(profile: Profile) -> Result:
    """CPU-seconds of a forward and backward pass for one sequence, and bytes that are kept for the latter."""
    import torch

    from honeyguide.models.sequence.sasrec import SASRecConfig, SASRecNetwork
    from honeyguide.models.sequence.tim4rec import TiM4RecConfig, TiM4RecNetwork

    found: dict[str, dict[str, list[float]]] = {}
    options: dict[str, Any]
    repeats = 20 if profile == "paper" else 3
    for length in LENGTHS:
        torch.manual_seed(0)
        many, options = np.full(100, 90), {"dim": _DIM, "max_len": length, "blocks": _LAYERS}
        tim = TiM4RecNetwork(10, TiM4RecConfig(**options).resolve(many))
        sas = SASRecNetwork(10, SASRecConfig(**options).resolve(many))
        times = torch.randint(0, 10**11, (_POSITIONS // length, length)).cumsum(1)
        x = torch.randn(*times.shape, _DIM)
        few = times[: max(1, 400 // length)], x[: max(1, 400 // length)]  # relations of all pairs take gigabytes else
        passes: dict[str, tuple[Callable[[], Tensor], int, int]] = {
            "tim4rec": (lambda tim=tim, x=x, t=times: tim.read(x, t), len(x), repeats),  # type: ignore[misc]
            "sasrec": (lambda sas=sas, x=x: sas.read(x), len(x), repeats),  # type: ignore[misc]
            "tisasrec": (_tisasrec(*few), len(few[0]), 1 if length > 200 else repeats),  # seconds each
        }
        for name, (run, rows, times_run) in passes.items():
            entry = found.setdefault(name, {"seconds": [], "bytes": []})
            entry["seconds"].append(min(_seconds(run) for _ in range(times_run)) / rows)
            entry["bytes"].append(_kept(run) / rows)
    return found


def _seconds(run: Callable[[], Tensor]) -> float:
    import torch

    with Stopwatch() as watch:
        torch.autograd.backward(run().square().sum())
    return watch.cpu


def _kept(run: Callable[[], Tensor]) -> float:
    """Bytes of all tensors that autograd keeps for the backward pass, each storage once."""
    import torch

    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run()
    del output
    return float(sum(sizes.values()))


def _tisasrec(times: Tensor, x: Tensor) -> Callable[[], Tensor]:
    """``_LAYERS`` layers of attention by intervals (Li, Wang & McAuley 2020, equations 5 to 8), without feed-forward.

    z_i = sum_j a_ij (V x_j + R^V[r_ij]),  a = softmax(Q x_i (K x_j + R^K[r_ij]) / sqrt(d)), where r_ij is the clipped
    interval between two events: tensors of L x L x d for keys and for values.
    """
    import torch

    from honeyguide.nn.time_stream import MICROSECONDS

    parameters = [torch.randn(3, _DIM, _DIM) * 0.1, torch.randn(2, _TIMES, _DIM) * 0.1]
    project, relations = (p.requires_grad_() for p in parameters)
    days = (times[:, :, None] - times[:, None]).abs() / MICROSECONDS / 86_400
    buckets = days.long().clamp_max(_TIMES - 1)  # [b, t, t]
    later = torch.ones(times.shape[1], times.shape[1], dtype=torch.bool).triu(1)

    def run() -> Tensor:
        state = x
        for _ in range(_LAYERS):
            q, k, v = (state @ w for w in project)
            keys, values = relations[0][buckets], relations[1][buckets]  # [b, t, t, d]
            scores = (q @ k.mT + (keys @ q[..., None])[..., 0]) / _DIM**0.5
            weights = scores.masked_fill(later, -torch.inf).softmax(-1)
            state = state + weights @ v + (weights[:, :, None] @ values)[:, :, 0]
        return state

    return run


def tisasrec_bytes(length: int) -> float:
    """Of the relations of all pairs of events, keys and values, of one layer and one sequence: 2 L L d float32."""
    return 2.0 * length * length * _DIM * 4


def slope(values: Any) -> float:
    """Exponent of the cost in the length, from 200 to 800."""
    return float(np.log(values[4] / values[2]) / np.log(LENGTHS[4] / LENGTHS[2]))
