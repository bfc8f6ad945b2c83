"""Requests made up from the OpenAPI document: every answer is one that it documents, and none is a fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
)
from tests.serve.conftest import Served, serve
from tests.serve.test_access import KEYED

from honeyguide.serve.service import PROBLEMS

OPERATIONS = [route for route in KEYED if route != "GET /openapi.json"]
NOT_SENT = [ignored_auth, missing_required_header, unsupported_method]  # they send requests of their own: test_access


def checked(served: Served, route: str, mode: GenerationMode, examples: int) -> None:
    method, path = route.replace(":path}", "}").split(" ")
    schema = schemathesis.openapi.from_dict(served.get("/openapi.json"))
    operation = schema[path][method]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Case) -> None:
        answer = send(served, case)
        known = BEYOND.get(answer.status_code, [])
        case.validate_response(answer, excluded_checks=[*known, *NOT_SENT])

    check()


def send(served: Served, case: Case) -> Any:
    """Like a client of its own, with a key."""
    how = case.as_transport_kwargs(base_url="http://testserver")
    del how["cookies"]  # none is documented
    headers = {name: value for name, value in how["headers"].items() if name.lower() != "authorization"}
    request: Callable[..., Any] = served.client.request
    return request(**{**how, "headers": {**headers, **served.auth()}})


BARE = (
    "GET /metrics",
    "GET /v1/operator",
    "GET /v1/catalogue",
    "GET /v1/experiments",
)  # there is nothing in them to be wrong
BEYOND = {  # what a schema cannot say
    400: [positive_data_acceptance],  # a condition over columns that are not there
    413: [positive_data_acceptance, negative_data_rejection],
}
MADE = [(route, mode) for route in OPERATIONS for mode in GenerationMode if mode.is_positive or route not in BARE]


@pytest.fixture(scope="module")
def shared(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("openapi")
    yield from serve(models / "ials", folder, f"sqlite:///{folder / 'store.db'}")


@pytest.mark.parametrize(("route", "mode"), MADE)
def test_answers_are_as_documented(shared: Served, route: str, mode: GenerationMode) -> None:
    checked(shared, route, mode, examples=10)


@pytest.mark.full
@pytest.mark.parametrize(("route", "mode"), MADE)
def test_many_more_answers_are_as_documented(shared: Served, route: str, mode: GenerationMode) -> None:
    checked(shared, route, mode, examples=300)


@pytest.mark.parametrize("name", ["home", "página", "главная", "a-b_c.9", "a b", "a/b", "a\n", "a`b", "a\u00a0b", ""])
def test_a_name_is_refused_where_the_document_says_so(shared: Served, name: str) -> None:
    said = shared.get("/openapi.json")["components"]["schemas"]["RecommendIn"]["properties"]["scenario"]
    allowed = bool(name) and re.search(said["pattern"].replace("$", r"\Z"), name, re.ASCII) is not None
    answer = shared.client.post("/v1/recommend", json={"user_id": "1", "scenario": name}, headers=shared.auth())
    assert answer.status_code == (200 if allowed else 422)
    assert allowed == name.replace("-", "").replace(".", "").replace("_", "").isalnum()


def test_every_answer_that_is_refused_is_documented(shared: Served) -> None:
    paths = shared.get("/openapi.json")["paths"]
    for route in OPERATIONS:
        method, path = route.replace(":path}", "}").split(" ")
        documented = set(paths[path][method.lower()]["responses"])
        missing = {"200", *map(str, PROBLEMS)} - documented
        assert not missing, (route, missing)
