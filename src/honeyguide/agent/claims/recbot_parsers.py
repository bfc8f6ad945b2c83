"""Cells of seed 18 about parsers and time: F1 of each back end on the golden commands; a command at 100,000 items."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import polars as pl

from honeyguide.agent.golden import Command, commands, f1, shown, written
from honeyguide.agent.golden.catalogues import CATALOGUES
from honeyguide.agent.grammar import Grammar
from honeyguide.agent.lexicon import Lexicon
from honeyguide.agent.lm_parser import IGNORE, KINDS, LMParser, meant
from honeyguide.agent.planner import Planner, shown_of
from honeyguide.agent.preferences import Delta, Preferences
from honeyguide.agent.session import Parser
from honeyguide.core.errors import HoneyguideError
from honeyguide.experiment.papers import Profile, Result
from honeyguide.lm.port import LM, Message, Prompt

_EVERY: dict[Profile, int] = {"cpu": 12, "paper": 1}  # of the golden commands a slow model reads every so manieth
_STUDENT: dict[Profile, int] = {"cpu": 4, "paper": 1}  # and the student
_EXAMPLES: dict[Profile, int] = {"cpu": 400, "paper": 4000}
_ITEMS, _POOL = 100_000, 500


def grammar(profile: Profile) -> Result:
    """The grammar on all golden commands, and on those of simulated users."""
    from honeyguide.agent.claims.recbot_student import simulated

    row = _judged({name: Grammar(Lexicon.of(table)) for name, table in CATALOGUES.items()}, commands())
    return {**row, "simulated": f1((written(heard), written(said)) for heard, said in simulated(400, 0))}


def local_model(profile: Profile) -> Result:
    """SmolLM2 as it is, with examples in the prompt and its answers held to a schema."""
    try:
        return _judged(_lm_parsers(_local()), commands()[:: _EVERY[profile]])
    except HoneyguideError as error:
        return {"missing": error.message}


def endpoint(profile: Profile) -> Result:
    """The same model, asked over HTTP by the protocol of OpenAI."""
    from honeyguide.lm.registry import language_model

    try:
        with serving(_local()) as url:
            return _judged(_lm_parsers(language_model(f"smollm2@{url}")), commands()[:: 2 * _EVERY[profile]])
    except HoneyguideError as error:
        return {"missing": error.message}


def distilled(profile: Profile) -> Result:
    """SmolLM2 with an adapter that learned from the grammar's traces, on golden commands it has not seen."""
    from honeyguide.agent.claims.recbot_student import Student, asked_of, traces

    try:
        student = Student()
    except HoneyguideError as error:
        return {"missing": error.message}
    examples = traces(_EXAMPLES[profile], 0)
    started = time.process_time()
    losses = student.train(examples)
    trained = time.process_time()
    rows = commands()[:: _STUDENT[profile]]
    questions = [asked_of(command) for command in rows]
    phrases = {i: plain for i, c in enumerate(rows) if (plain := _phrase(c)) is not None}
    open_ones = [i for i, (things, _) in enumerate(questions) if things and i not in phrases]
    kinds = dict(zip(open_ones, student.read([questions[i][1] for i in open_ones]), strict=True))
    pairs = []
    for i, command in enumerate(rows):
        things = questions[i][0] if i not in phrases else []
        said = [meant(t, *KINDS[k]) for t, k in zip(things, kinds.get(i, ()), strict=True) if k != IGNORE]
        delta = phrases.get(i, Delta(tuple(dict.fromkeys(said))))
        pairs.append((written(delta), command.meaning))
    return {
        "f1": f1(pairs),
        "commands": len(rows),
        "seconds": (time.process_time() - trained) / len(rows),
        "training": trained - started,
        "examples": len(examples),
        "steps": len(losses),
        "losses": [round(float(np.mean(losses[i : i + 10])), 3) for i in range(0, len(losses), 10)],
        "faults": [[c.text, *pair] for c, pair in zip(rows, pairs, strict=True) if pair[0] != pair[1]][:40],
    }


def _phrase(command: Command) -> Delta | None:
    """What undoes or clears, which :class:`LMParser` asks no model about; ``None`` for everything else."""
    plain = Grammar(Lexicon.of(CATALOGUES[command.catalogue])).parse(command.text, Preferences())
    return plain if plain.undo or plain.clear else None


def _judged(parsers: dict[str, Any], rows: Sequence[Command]) -> dict[str, Any]:
    """F1 of parsers, by catalogue, on golden commands."""
    pairs, notes = [], 0
    started = time.process_time()
    for command in rows:
        parser: Parser = parsers[command.catalogue]
        delta = parser.parse(command.text, Preferences(), shown(command.catalogue))
        pairs.append((written(delta), command.meaning))
        notes += bool(delta.note)
    seconds = (time.process_time() - started) / len(rows)
    faults = [[c.text, *pair] for c, pair in zip(rows, pairs, strict=True) if pair[0] != pair[1]]
    return {"f1": f1(pairs), "commands": len(rows), "seconds": seconds, "fell back": notes, "faults": faults[:40]}


def _local() -> LM:
    from honeyguide.lm.registry import language_model

    return language_model("smollm2", reuse=True)


def _lm_parsers(lm: LM) -> dict[str, LMParser]:
    return {name: LMParser(lm, Grammar(Lexicon.of(table))) for name, table in CATALOGUES.items()}


@contextmanager
def serving(lm: LM) -> Iterator[str]:
    """A server on this machine that answers by ``lm``, by the protocol of OpenAI; gives its address up to ``/v1``."""
    import json

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
            schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
            (answer,) = lm.generate([Prompt(messages, body["max_tokens"], body["temperature"], schema=schema)])
            choice = {"message": {"role": "assistant", "content": answer.text}, "finish_reason": answer.finish}
            used = {"prompt_tokens": answer.usage.prompt_tokens, "completion_tokens": answer.usage.answer_tokens}
            found = json.dumps({"choices": [choice], "usage": used}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is written."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def latency(profile: Profile) -> Result:
    """CPU-seconds of a command, from its words to the new feed, over a made catalogue."""
    from honeyguide.data.build import build
    from honeyguide.models.linear.ials import IALS
    from honeyguide.pipeline.asked import Asked
    from honeyguide.pipeline.config import PipelineConfig, Retrieve
    from honeyguide.pipeline.pipeline import Pipeline
    from honeyguide.pipeline.stock import Stock

    rng = np.random.default_rng(0)
    items = _made_items(rng)
    n = 600_000
    log = pl.DataFrame({"user_id": rng.integers(0, 20_000, n), "item_id": rng.integers(0, _ITEMS, n)}).unique()
    data = build("made", log, items=items)
    stock = Stock(IALS(factors=32, iterations=1).fit(data), items, data.popularity(), encoder="use")
    planner = Planner(Pipeline(PipelineConfig(retrieve=(Retrieve(source="model", n=_POOL),)), stock))
    parser = Grammar(Lexicon.of(stock.items))
    _ = stock.text_vectors
    histories = data.histories()
    taken = []
    said = _made_commands(rng)
    for user in range(100):
        asked = Asked(stock, histories[user], np.unique(histories[user]))
        state, page = Preferences(), planner.run(asked, Preferences()).items[:10]
        for text in said(4):
            started = time.process_time()
            state = state.after(parser.parse(text, state, shown_of(stock, page)))
            page = planner.run(Asked(stock, histories[user], np.unique(histories[user])), state).items[:10]
            taken.append(time.process_time() - started)
    p50, p95, p99 = (float(q) for q in np.quantile(taken, [0.5, 0.95, 0.99]))
    return {"commands": len(taken), "items": len(stock), "pool": _POOL, "p50": p50, "p95": p95, "p99": p99}


_THINGS = ("shoes", "jacket", "lamp", "knife", "novel", "puzzle", "guitar", "tent", "kettle", "watch")
_COLOURS = ("red", "blue", "green", "black", "white")


def _made_items(rng: np.random.Generator) -> pl.DataFrame:
    """Products of a few hundred brands, with numbers that few share; one in ten without a price."""
    price = np.round(np.exp(rng.normal(3, 1, _ITEMS)), 2)
    things, colours = rng.integers(0, len(_THINGS), _ITEMS), rng.integers(0, len(_COLOURS), _ITEMS)
    return pl.DataFrame(
        {
            "item_id": np.arange(_ITEMS),
            "title": [f"{_COLOURS[c]} {_THINGS[t]} model {t}{c}" for t, c in zip(things, colours, strict=True)],
            "brand": [f"Brand{b}" for b in rng.integers(0, 300, _ITEMS)],
            "color": [_COLOURS[c] for c in colours],
            "year": rng.integers(1990, 2025, _ITEMS),
            "price": pl.Series(np.where(rng.random(_ITEMS) < 0.1, np.nan, price)).fill_nan(None),
        }
    )


def _made_commands(rng: np.random.Generator) -> Callable[[int], list[str]]:
    """Commands of every kind, with numbers and names that differ from one to the next."""
    ways: tuple[Callable[[], str], ...] = (
        lambda: f"under {rng.integers(5, 500)} dollars",
        lambda: f"no Brand{rng.integers(0, 300)}, more {_COLOURS[rng.integers(5)]}",
        lambda: f"less {_COLOURS[rng.integers(5)]} and something comfortable for {_THINGS[rng.integers(10)]} lovers",
        lambda: f"after {rng.integers(1990, 2015)} but nothing too flashy",
        lambda: f"more like the {('first', 'second', 'third')[rng.integers(3)]} one but cheaper",
        lambda: f"hide the second one, only {_COLOURS[rng.integers(5)]}",
        lambda: "forget the price limit",
    )
    return lambda n: [ways[int(i)]() for i in rng.integers(0, len(ways), n)]
