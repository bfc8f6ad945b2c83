"""honeyguide: from a log of what people did to a recommender one can question, command and trust.

>>> import honeyguide as hg
>>> data = hg.load_data("goodbooks-mini")
>>> model = hg.model("floor").fit(data)
>>> requests = hg.requests_for(data, [13, 30])
>>> found = model.recommend(requests, k=5)
>>> hg.reasons(model, requests, found, data.items)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from honeyguide.api import load as load
    from honeyguide.api import model as model
    from honeyguide.api import reasons as reasons
    from honeyguide.api import requests_for as requests_for
    from honeyguide.core.dataset import Dataset as Dataset
    from honeyguide.core.errors import HoneyguideError as HoneyguideError
    from honeyguide.core.fitting import FitOptions as FitOptions
    from honeyguide.core.ragged import Ragged as Ragged
    from honeyguide.core.recommender import Recommender as Recommender
    from honeyguide.core.requests import Recommendations as Recommendations
    from honeyguide.core.requests import Requests as Requests
    from honeyguide.data.load import load_data as load_data
    from honeyguide.experiment.compare import compare as compare
    from honeyguide.experiment.parts import with_test as with_test
    from honeyguide.experiment.parts import with_valid as with_valid
    from honeyguide.models.registry import register_plugin as register_plugin

__version__ = "0.1.0"

# Public names and where they live; imported on first use so that `import honeyguide` is instant.
_PUBLIC = {
    "Dataset": "honeyguide.core.dataset",
    "Ragged": "honeyguide.core.ragged",
    "Requests": "honeyguide.core.requests",
    "Recommendations": "honeyguide.core.requests",
    "Recommender": "honeyguide.core.recommender",
    "FitOptions": "honeyguide.core.fitting",
    "HoneyguideError": "honeyguide.core.errors",
    "load_data": "honeyguide.data.load",
    "model": "honeyguide.api",
    "load": "honeyguide.api",
    "register_plugin": "honeyguide.models.registry",
    "requests_for": "honeyguide.api",
    "reasons": "honeyguide.api",
    "compare": "honeyguide.experiment.compare",
    "with_valid": "honeyguide.experiment.parts",
    "with_test": "honeyguide.experiment.parts",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'honeyguide' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
