from __future__ import annotations

import pytest
from tests.agent.test_lm_parser import Scripted

from honeyguide.agent.claims.recbot_parsers import serving
from honeyguide.agent.golden import shown, written
from honeyguide.agent.golden.catalogues import CATALOGUES
from honeyguide.agent.grammar import Grammar
from honeyguide.agent.lexicon import Lexicon
from honeyguide.agent.lm_parser import LMParser
from honeyguide.agent.parsers import parser_model, parser_over
from honeyguide.agent.preferences import Preferences
from honeyguide.core.errors import ConfigError
from honeyguide.lm.endpoint import Endpoint, EndpointConfig

BOOKS = Grammar(Lexicon.of(CATALOGUES["books"]))


def test_parsers_have_names() -> None:
    assert parser_model("grammar") is None and parser_over(BOOKS, None) is BOOKS
    model = parser_model("endpoint:qwen@http://127.0.0.1:1/v1")
    assert isinstance(model, Endpoint) and model.config.model == "qwen"
    assert isinstance(parser_over(BOOKS, model), LMParser)


@pytest.mark.parametrize("name", ["", "gramar", "lm:", "lm:nosuch", "endpoint:qwen", "endpoint:http://x/v1"])
def test_a_name_that_is_none_says_what_would_be(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        parser_model(name)
    assert error.value.remedy is not None and "smollm2" in error.value.remedy


def test_an_endpoint_understands_a_command_and_its_absence_is_seen() -> None:
    lm = Scripted({"crime": "exclude", "fantasy": "more"})
    with serving(lm) as url:
        endpoint = Endpoint(EndpointConfig(url, "any", retries=0))
        parser = parser_over(BOOKS, endpoint)
        delta = parser.parse("spare me crime, rather fantasy", Preferences(), shown("books"))
        assert written(delta) == "-hard tags is crime | +soft tags is fantasy" and not delta.note
        assert {"crime", "fantasy"} <= set((lm.asked[0].schema or {})["properties"])
    gone = parser.parse("no crime", Preferences(), shown("books"))
    assert written(gone) == "-hard tags is crime" and "did not answer" in gone.note


def test_what_is_compared_is_on_no_list_of_what_is_unwanted() -> None:
    """*Newer* after a comma is wanted, though no field of the catalogue says what is new."""
    grammar = Grammar(Lexicon.of(CATALOGUES["products"]))
    (unwanted, wanted) = grammar.parse("no lipstick, newer", Preferences()).add
    assert not unwanted.positive and wanted.positive and wanted.value == "newer"
