"""The map from vectors of texts to vectors of preference.

Shapes: n texts, D their width, r components, h hidden units, d width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from honeyguide.core.artifact import Arrays
from honeyguide.core.ragged import FloatArray

Kind = Literal["mlp", "linear", "identity"]
_LEAST = 1e-6  # of the largest variance: a direction in which texts do not differ


class TextMap(nn.Module):
    """``f(x) = W2 leaky(W1 x + b1) + b2``, or ``W x``, or ``x`` itself; of the components ``x = (z - centre) basis``.

    The same for users and items. Centre and basis are of the texts that it was made over, and frozen with it.

    Parameters
    ----------
    kind
        Which of the three.
    centre, basis
        ``[D]`` and ``[D, r]``.
    hidden
        h; read by ``"mlp"`` alone.
    dim
        d; r where nothing is mapped.
    """

    def __init__(self, kind: Kind, centre: Tensor, basis: Tensor, hidden: int, dim: int) -> None:
        super().__init__()
        width = basis.shape[1]
        self.kind, self.hidden, self.dim = kind, hidden, dim if kind != "identity" else width
        self.centre: Tensor
        self.basis: Tensor
        self.register_buffer("centre", centre)
        self.register_buffer("basis", basis)
        layers: list[nn.Module] = []
        if kind == "mlp":
            layers = [nn.Linear(width, hidden), nn.LeakyReLU(), nn.Linear(hidden, dim)]
            nn.init.normal_(layers[0].weight)  # type: ignore[arg-type]  # inputs have length one, so their entries are small
        elif kind == "linear":
            layers = [nn.Linear(width, dim, bias=False)]
        self.layers = nn.Sequential(*layers)

    @classmethod
    def over(cls, texts: FloatArray, kind: Kind, components: int, hidden: int, dim: int) -> Self:
        """A new map of the leading principal components of ``texts`` ``[m, D]``, with the roots of their deviations.

        What texts differ by is spread over more directions than in the encoder's space, which makes it easier to
        learn from. Nothing is turned where nothing is learnt (``"identity"``).
        """
        width = texts.shape[1]
        described = texts[texts.any(axis=1)].astype(np.float64)
        if kind == "identity" or len(described) < 2:
            return cls(kind, torch.zeros(width), torch.eye(width), hidden, dim)
        centre = described.mean(axis=0)
        x = described - centre
        values, directions = np.linalg.eigh(x.T @ x / len(x))  # rising
        kept = [k for k in np.argsort(-values)[:components] if values[k] > _LEAST * values.max()]
        basis = directions[:, kept] * values[kept] ** -0.25  # deviations to the power 1/2
        basis /= np.sqrt(np.square(x @ basis).sum(axis=1).mean())
        fixed = (torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in (centre, basis))
        return cls(kind, next(fixed), next(fixed), hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, r]`` to ``[n, d]``."""
        mapped: Tensor = self.layers(x)
        return mapped

    @property
    def is_linear(self) -> bool:
        """Whether a sum may be taken before the map as well as after it."""
        return self.kind != "mlp"

    @property
    def n_parameters(self) -> int:
        """Numbers that are learnt."""
        return sum(p.numel() for p in self.parameters())

    def read(self, texts: FloatArray) -> FloatArray:
        """Components of texts, float32 ``[n, D]`` to ``[n, r]``; zeros where there is no text."""
        x = (texts - self.centre.numpy(force=True)) @ self.basis.numpy(force=True)
        return np.asarray(x * texts.any(axis=1, keepdims=True), np.float32)

    def of_components(self, x: FloatArray) -> FloatArray:
        """float32 ``[n, r]`` to ``[n, d]``, without a gradient."""
        with torch.inference_mode():
            there = torch.from_numpy(np.ascontiguousarray(x)).to(self.basis.device)
            mapped: FloatArray = self(there).float().numpy(force=True)
        return mapped

    def pack(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and metadata for an artifact."""
        arrays = {f"map.{name}": t.detach().float().cpu().numpy() for name, t in self.state_dict().items()}
        return arrays, {"kind": self.kind, "hidden": self.hidden, "dim": self.dim}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], meta: dict[str, Any]) -> Self:
        """Undo :meth:`pack`."""
        state = {
            n.removeprefix("map."): torch.from_numpy(np.array(a)) for n, a in arrays.items() if n.startswith("map.")
        }
        found = cls(meta["kind"], state["centre"], state["basis"], meta["hidden"], meta["dim"]).eval()
        found.load_state_dict(state)
        return found
