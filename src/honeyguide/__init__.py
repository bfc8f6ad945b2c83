"""honeyguide: from a log of what people did to a recommender one can question, command and trust.

>>> import honeyguide as hg
>>> data = hg.load_data("goodbooks-mini")
>>> model = hg.model("floor").fit(data)
>>> model.recommend(hg.requests_for(data, [42]), k=10).frame(users=[42]).collect()
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public names and where they live; imported on first use so that `import honeyguide` is instant.
_PUBLIC = {
    "Dataset": "honeyguide.core.dataset",
    "Ragged": "honeyguide.core.ragged",
    "Requests": "honeyguide.core.requests",
    "Recommendations": "honeyguide.core.requests",
    "Recommender": "honeyguide.core.recommender",
    "FitOptions": "honeyguide.core.recommender",
    "HoneyguideError": "honeyguide.core.errors",
    "load_data": "honeyguide.data.load",
    "model": "honeyguide.api",
    "load": "honeyguide.api",
    "requests_for": "honeyguide.api",
    "reasons": "honeyguide.api",
    "compare": "honeyguide.experiment.compare",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'honeyguide' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
