"""The data of the models learnt from pairs, shared by those that have a graph."""

from tests.models.factor.conftest import data, one_thread

__all__ = ["data", "one_thread"]
