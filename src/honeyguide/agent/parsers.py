"""Parsers of commands by name: ``grammar``, ``lm:NAME`` for a local model, ``endpoint:MODEL@URL``."""

from __future__ import annotations

from honeyguide.agent.grammar import Grammar
from honeyguide.agent.session import Parser
from honeyguide.core.errors import ConfigError
from honeyguide.lm.port import LM

NAMES = "grammar, lm:NAME (lm:smollm2, lm:FILE.gguf) or endpoint:MODEL@http://HOST:PORT/v1"


def parser_model(name: str) -> LM | None:
    """The language model of a parser; ``None`` for the grammar, which needs none.

    Parameters
    ----------
    name
        As above.

    Raises
    ------
    ConfigError
        If there is no such parser or model.
    HoneyguideError
        If what the model needs is not installed.
    """
    if name == "grammar":
        return None
    kind, _, model = name.partition(":")
    if kind not in ("lm", "endpoint") or not model or (kind == "endpoint" and "@" not in model):
        raise ConfigError(f"there is no parser {name!r}.", f"Name {NAMES}.")
    from honeyguide.lm.registry import language_model

    local = model == "smollm2" or model.lower().endswith(".gguf")
    return language_model(model, **({"reuse": True} if local else {}))  # prompts begin alike


def parser_over(grammar: Grammar, lm: LM | None) -> Parser:
    """The parser for a catalogue: a model within what its grammar finds, or the grammar alone."""
    if lm is None:
        return grammar
    from honeyguide.agent.lm_parser import LMParser

    return LMParser(lm, grammar)
