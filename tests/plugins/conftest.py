"""The data of the models learnt from pairs, for plug-ins over them."""

from tests.models.factor.conftest import data, one_thread

__all__ = ["data", "one_thread"]
