"""``honeyguide recommend``: lists for a user, a history, or everybody."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli import console, options

if TYPE_CHECKING:
    from honeyguide.agent.planner import Planner
    from honeyguide.agent.preferences import Preferences
    from honeyguide.core.ragged import FloatArray, IntArray
    from honeyguide.core.requests import Requests
    from honeyguide.experiment.bundle import Bundle
    from honeyguide.pipeline.asked import Asked
    from honeyguide.pipeline.pipeline import Order

_STAGES = "Stages"
FORMATS = ("parquet", "csv", "jsonl")


@dataclass(frozen=True)
class Instructions:
    """What was said, and who understands it."""

    texts: tuple[str, ...]
    parser: str


def recommend(
    model: options.Bundle,
    user: Annotated[list[str] | None, typer.Option("--user", "-u", help="A known user; may be repeated.")] = None,
    history: Annotated[
        str | None, typer.Option("--history", help="Item ids, oldest first, separated by commas: for anybody.")
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Everybody in the store; needs --out.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File: .parquet, .csv or .jsonl.")] = None,
    k: options.K = 10,
    why: Annotated[bool, typer.Option("--why", help="Give the reason for each item, checked on the model.")] = False,
    verb: Annotated[
        str | None, typer.Option("--verb", help="What people do with items: 'because you VERB ...'.")
    ] = None,
    change: Annotated[
        bool, typer.Option("--change", help="Also the fewest events without which each item leaves the list.")
    ] = False,
    lm: Annotated[
        str | None,
        typer.Option("--lm", metavar="LM", help="A language model says the reasons; what it says is checked."),
    ] = None,
    seen: Annotated[bool, typer.Option("--seen", help="Also recommend what is in the history.")] = False,
    pipeline: Annotated[
        Path | None, typer.Option("--pipeline", metavar="FILE", help="Stages as a TOML file.", rich_help_panel=_STAGES)
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="CONDITION", help="Only such items: 'year < 1990'.", rich_help_panel=_STAGES),
    ] = None,
    instruction: Annotated[
        list[str] | None,
        typer.Option(
            "--instruction", "-i", help="In words: 'shorter, no crime'; may be repeated.", rich_help_panel=_STAGES
        ),
    ] = None,
    parser: Annotated[
        str,
        typer.Option(
            "--parser", help="Of instructions: grammar, lm:NAME or endpoint:MODEL@URL.", rich_help_panel=_STAGES
        ),
    ] = "grammar",
    scenario: Annotated[
        str, typer.Option("--scenario", help="Whose rules of the pipeline hold.", rich_help_panel=_STAGES)
    ] = "default",
    page: Annotated[int, typer.Option("--page", min=1, help="Which page of k items.", rich_help_panel=_STAGES)] = 1,
    trace: Annotated[
        bool, typer.Option("--trace", help="Say what each stage took and did.", rich_help_panel=_STAGES)
    ] = False,
    version: Annotated[str | None, typer.Option("--version", help="An earlier version of the model.")] = None,
    ray: options.Ray = None,
    json: options.Json = False,
) -> None:
    """Recommend items to a user of the store, to a history, or to everybody."""
    from honeyguide.core.errors import ConfigError
    from honeyguide.experiment.bundle import open_bundle

    if (bool(user) + (history is not None) + everybody) != 1:
        raise ConfigError("say for whom.", "Give one of --user ID, --history ITEM,ITEM or --all.")
    why = why or change or lm is not None
    if everybody and (out is None or json or why):
        raise ConfigError("--all writes a file, without reasons.", "Give --out FILE and leave --json and --why away.")
    staged = pipeline is not None or bool(where) or bool(instruction) or page > 1 or trace
    if everybody and staged:
        raise ConfigError(
            "--all goes through no stages.", "Leave --pipeline, --where, --instruction, --page and --trace away."
        )
    if ray is not None and not everybody:
        raise ConfigError("--ray is for --all.", "Leave it away; one user's list takes no cluster.")
    if out is not None and out.suffix.lstrip(".") not in FORMATS:
        raise ConfigError(f"{out} has no known format.", f"Name it {' or '.join(f'*.{f}' for f in FORMATS)}.")
    bundle = open_bundle(model, version)
    if everybody and out is not None:
        from honeyguide.experiment.everybody import recommend_everybody

        rows = recommend_everybody(bundle, out, k, seen=seen, version=version, ray=ray)
        console.notes().print(f"Wrote {rows:,} recommendations to {out}.")
        return
    if history is not None:
        who: list[str | None] = [None]
        requests = bundle.of_items([part.strip() for part in history.split(",") if part.strip()])
    else:
        who = list(user or [])
        requests = bundle.of_users(who)
    requests = requests if not seen else _with_seen(requests)
    said = Instructions(tuple(instruction or ()), parser)
    orders = _orders(bundle, requests, pipeline, where or [], scenario, said) if staged else None
    answers = _answers(bundle, who, _listed(bundle, requests, orders, k, page))
    for number, answer in enumerate(answers):
        order = orders[number] if orders is not None else None
        answer["note"] = _why_nothing(bundle, requests.excluded[number], order, page) if not answer["items"] else None
    if why:
        _explain(bundle, answers, requests, verb, change, lm)
    for answer, order in zip(answers, orders or [], strict=False):
        answer["trace"] = [asdict(step) for step in order.trace] if trace else []
    if out is not None:
        write_frame(_flat(answers), out)
        for answer in answers:
            if answer["note"]:
                console.notes().print(f"{_for_whom(answer)}: {answer['note']}", style="yellow")
    elif json:
        console.emit(answers)
    else:
        _print(answers, why, 1 + (page - 1) * k)


def _orders(
    bundle: Bundle,
    requests: Requests,
    path: Path | None,
    where: list[str],
    scenario: str,
    said: Instructions,
) -> list[Order]:
    """What the pipeline makes of each request."""
    import numpy as np

    from honeyguide.agent.planner import Planner
    from honeyguide.pipeline.asked import Asked
    from honeyguide.pipeline.config import PipelineConfig, read_pipeline
    from honeyguide.pipeline.pipeline import Pipeline, request_rules

    config = read_pipeline(path) if path is not None else PipelineConfig()
    stages = Pipeline(config, bundle.stock(config.encoder))
    rules = request_rules(where)
    planner, found = Planner(stages), []
    for history, excluded in zip(requests.histories, requests.excluded, strict=True):
        asked = Asked(stages.stock, history, np.unique(excluded), rules, scenario)
        found.append(planner.run(asked, _preferences(planner, asked, said)))
    return found


def _preferences(planner: Planner, asked: Asked, said: Instructions) -> Preferences:
    """What instructions, one after the other, leave of wants; *shorter* is about the list before them."""
    from honeyguide.agent.grammar import Grammar
    from honeyguide.agent.lexicon import Lexicon
    from honeyguide.agent.parsers import parser_model, parser_over
    from honeyguide.agent.planner import shown_of
    from honeyguide.agent.preferences import Preferences

    state = Preferences()
    if not said.texts:
        return state
    parser = parser_over(Grammar(Lexicon.of(planner.stock.items)), parser_model(said.parser))
    for text in said.texts:
        shown = shown_of(planner.stock, planner.run(asked, state).items[:10])
        delta = parser.parse(text, state, shown)
        if delta.note:
            console.notes().print(f"The grammar understood {text!r}: {delta.note}", style="yellow", markup=False)
        if not delta.heard:
            console.notes().print(f"Nothing in {text!r} is a wish that can be met.", style="yellow", markup=False)
        state = state.after(delta)
    wants = "; ".join(want.said() for want in state.wants.values())
    console.notes().print(f"Understood: {wants or 'nothing'}.", markup=False)
    return state


def _listed(
    bundle: Bundle, requests: Requests, orders: list[Order] | None, k: int, page: int
) -> list[tuple[IntArray, FloatArray]]:
    """Items and scores of every request's page."""
    if orders is not None:
        return [order.page(page - 1, k) for order in orders]
    lists = bundle.model.recommend(requests, k)
    return [(items[items >= 0], scores[items >= 0]) for items, scores in zip(lists.items, lists.scores, strict=True)]


def _answers(bundle: Bundle, who: list[str | None], lists: list[tuple[IntArray, FloatArray]]) -> list[dict[str, Any]]:
    """One entry per request, as ``--json`` shows it."""
    ids = bundle.item_ids
    answers = []
    for name, (codes, scores) in zip(who, lists, strict=True):
        entries: list[dict[str, Any]] = [
            {"rank": rank, "item_id": item_id, "title": bundle.titles[code], "score": float(score)}
            for rank, (item_id, code, score) in enumerate(
                zip(ids.decode(codes).to_list(), codes, scores, strict=True), start=1
            )
        ]
        answers.append({"user": name, "model": bundle.model.name, "scale": bundle.model.scale, "items": entries})
    return answers


def _why_nothing(bundle: Bundle, excluded: IntArray, order: Order | None, page: int) -> str:
    """Why a list is empty, and what would fill it."""
    import numpy as np

    n = len(bundle.item_ids)
    left = n - len(np.unique(excluded))
    if left <= 0:
        return f"all {n:,} items of the catalogue are in the history; --seen recommends them again."
    if order is not None and len(order.items):
        return f"the list has {len(order.items):,} items and ends before page {page:,}."
    filtered = next((step for step in order.trace if step.stage == "filter"), None) if order is not None else None
    if filtered is not None and not filtered.after:
        conditions = " and ".join(filtered.effect.get("conditions", [])) or "what was asked for"
        return f"none of the {left:,} items that may be shown meets {conditions}."
    return f"{bundle.model.name} finds none among the {left:,} items that may be shown."


def _for_whom(answer: dict[str, Any]) -> str:
    return f"For user {answer['user']}" if answer["user"] is not None else "For this history"


def _explain(
    bundle: Bundle, answers: list[dict[str, Any]], requests: Requests, verb: str | None, change: bool, lm: str | None
) -> None:
    """Reasons for every entry."""
    from honeyguide.cli.reasons import add_reasons
    from honeyguide.explain.because import verb_for
    from honeyguide.lm.registry import language_model

    verb = verb or verb_for(bundle.store.items.columns)
    speaker = language_model(lm) if lm is not None else None
    for history, answer in zip(requests.histories, answers, strict=True):
        codes = bundle.encode([entry["item_id"] for entry in answer["items"]])
        add_reasons(bundle, history, codes, answer["items"], verb, change=change, lm=speaker)


def _print(answers: list[dict[str, Any]], why: bool, first: int = 1) -> None:
    from honeyguide.cli.reasons import print_proofs, proof

    for answer in answers:
        title = f"{_for_whom(answer)} ({answer['model']})"
        if not answer["items"]:
            console.results().print(f"{title}, nothing: {answer['note']}")
        columns = ["#", "item", "title", *(["why", "without it"] if why else []), "score"]
        rows = []
        for entry in answer["items"]:
            reason = [entry["why"], proof(entry)] if why else []
            rows.append([entry["rank"] + first - 1, entry["item_id"], entry["title"], *reason, f"{entry['score']:.4g}"])
        if rows:
            console.results().print(console.table(title, columns, rows, numeric=1))
        if answer.get("trace"):
            _print_trace(answer["trace"])
        if why and rows:
            print_proofs(answer["items"])


def _print_trace(trace: list[dict[str, Any]]) -> None:
    cells = [
        [step["stage"], step["before"], step["after"], f"{step['milliseconds']:.2f}", _said(step["effect"])]
        for step in trace
    ]
    console.results().print(console.table("Stages", ["stage", "in", "out", "ms", "effect"], cells, numeric=1))


def _said(effect: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in effect.items() if value not in (None, [], ""))


def _flat(answers: list[dict[str, Any]]) -> Any:
    """One row per recommended item."""
    import polars as pl

    rows = [
        {"user_id": a["user"], **{k: v for k, v in e.items() if k not in ("evidence", "change")}}
        for a in answers
        for e in a["items"]
    ]
    return pl.DataFrame(rows) if rows else pl.DataFrame(schema=["user_id", "rank", "item_id", "title", "score"])


def _with_seen(requests: Requests) -> Requests:
    from dataclasses import replace

    from honeyguide.core.ragged import Ragged

    return replace(requests, exclude=Ragged.empty(len(requests)))


def write_frame(frame: Any, out: Path) -> None:
    """Write a table into a file of one of :data:`FORMATS`, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.part")
    if out.suffix == ".parquet":
        frame.write_parquet(temporary)
    elif out.suffix == ".csv":
        frame.write_csv(temporary)
    else:
        frame.write_ndjson(temporary)
    temporary.replace(out)
