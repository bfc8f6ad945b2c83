"""Raw answers of language models, evaluated: parsed, found in the catalogue, counted and measured.

A file of answers has the columns ``user_id`` and ``answer`` and may have ``model`` and ``experiment`` (or
``protocol``); it is Parquet, CSV or JSON lines. What a model was shown is not needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import DataError
from honeyguide.encode.items import title_column
from honeyguide.experiment.bench import CUTOFFS, Bench, Scored, compare, score
from honeyguide.experiment.parts import with_valid
from honeyguide.lm.ground import OUTCOMES, ClosestTitle, Grounder
from honeyguide.lm.lists import parse_list

CREATORS = ("authors", "author", "creator", "creators", "book_author", "artist", "writer")
YEARS = ("year", "release_year", "publication_year", "original_publication_year")
_GROUPS = ("model", "experiment")
_CERTAIN = ("exact", "normalised")


@dataclass
class Counts:
    """What became of the answers of one model to one experiment.

    Parameters
    ----------
    answers, empty, refused, truncated
        Answers; those without an entry; of these, those that decline; those that ended before their list did.
    entries, well_formed
        Entries of all lists; those that are whole.
    outcomes
        How the well-formed ones were found; ``none`` is what the catalogue lacks or the model made up.
    repeats
        Entries whose item stands further up in the same list.
    seen
        Entries whose item is in the user's training part.
    outside
        Entries whose item the catalogue has and the training part of the split lacks.
    lengths
        Entries of each answer.
    """

    answers: int = 0
    empty: int = 0
    refused: int = 0
    truncated: int = 0
    entries: int = 0
    well_formed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    seen: int = 0
    outside: int = 0
    lengths: list[int] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For reports: counts, and the shares of entries that matter."""
        whole, entries = max(self.well_formed, 1), max(self.entries, 1)
        lengths = np.array(self.lengths or [0])
        return {
            "answers": self.answers,
            "empty": self.empty,
            "refused": self.refused,
            "truncated": self.truncated,
            "entries": self.entries,
            "well_formed": self.well_formed,
            "outcomes": {outcome: self.outcomes[outcome] for outcome in OUTCOMES},
            "grounded_share": 1 - self.outcomes["none"] / whole if self.well_formed else 0.0,
            "ungrounded_share": self.outcomes["none"] / whole,
            "repeat_share": self.repeats / entries,
            "seen_share": self.seen / entries,
            "outside_share": self.outside / entries,
            "length": {"mean": float(lengths.mean()), "min": int(lengths.min()), "max": int(lengths.max())},
        }


def read_answers(file: str | Path) -> pl.DataFrame:
    """``model, experiment, user_id, answer``, texts with an empty one for a missing answer.

    Raises
    ------
    DataError
        If the file is missing, is of another kind, or lacks users or answers.
    """
    path = Path(file)
    if path.is_dir():
        path = path / "answers.parquet"
    if not path.is_file():
        raise DataError("there is no such file.", "Name a file of answers.", file=str(path))
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".parquet": pl.read_parquet,
        ".csv": lambda p: pl.read_csv(p, infer_schema_length=None),
        ".tsv": lambda p: pl.read_csv(p, separator="\t", infer_schema_length=None),
        ".jsonl": pl.read_ndjson,
        ".ndjson": pl.read_ndjson,
    }
    if path.suffix.lower() not in readers:
        raise DataError("this kind of file is not known.", f"Known: {', '.join(readers)}.", file=str(path))
    try:
        frame = readers[path.suffix.lower()](path)
    except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"it cannot be read: {error}.", "Write it anew.", file=str(path)) from error
    names = {"protocol": "experiment", "user": "user_id", "response": "answer", "output": "answer"}
    frame = frame.rename({old: new for old, new in names.items() if old in frame.columns and new not in frame.columns})
    for column in ("user_id", "answer"):
        if column not in frame.columns:
            raise DataError(
                "the column is missing.", f"Columns: {', '.join(frame.columns)}.", file=str(path), column=column
            )
    if frame.is_empty():
        raise DataError("there are no answers in it.", "Give one row for each user.", file=str(path))
    return _grouped(frame)


def _grouped(frame: pl.DataFrame) -> pl.DataFrame:
    """``model, experiment, user_id, answer``, with ``all`` where there is one model or experiment."""
    missing = [pl.lit("all").alias(name) for name in _GROUPS if name not in frame.columns]
    return frame.with_columns(missing).select(
        *(pl.col(name).cast(pl.String) for name in _GROUPS), "user_id", pl.col("answer").cast(pl.String).fill_null("")
    )


def grounder_of(data: Dataset, title: str | None = None, creator: str | None = None, **options: Any) -> Grounder:
    """A grounder over the items of a data set; columns of title, creator and year are found by their names.

    Raises
    ------
    DataError
        If the items have no titles.
    """
    columns = data.items.columns
    title = title or title_column(data.items)
    creator = creator or next((name for name in CREATORS if name in columns and name != title), None)
    year = next((name for name in YEARS if name in columns), None)
    if title is None or title not in columns or (creator is not None and creator not in columns):
        raise DataError(
            "the items have no titles under that name.",
            f"Name the column of titles (and creators); there are {', '.join(columns)}.",
            file=data.name,
        )
    years = data.items[year].cast(pl.Int64, strict=False).fill_null(0).to_list() if year is not None else None
    return Grounder(_texts(data.items[title]), _texts(data.items[creator]) if creator else None, years, **options)


def _texts(column: pl.Series) -> list[str]:
    if column.dtype == pl.List(pl.String):
        column = column.list.join(", ")
    return [str(text) for text in column.cast(pl.String).fill_null("").to_list()]


def read_lists(
    answers: pl.DataFrame, grounder: Grounder | ClosestTitle, data: Dataset, bench: Bench, at_most: int | None = None
) -> tuple[pl.DataFrame, Counts]:
    """The items that the answers of one model to one experiment name, best first, and what became of the rest.

    Parameters
    ----------
    answers
        ``user_id, answer``.
    grounder
        Over the items of ``data``.
    data
        Whose item ids the grounder's places are.
    bench
        Whose training part says what is seen and what outside.
    at_most
        Entries of an answer that are read; ``None`` for all.

    Returns
    -------
    DataFrame
        ``user_id, item_id``.
    Counts
        Of this model and experiment.
    """
    counts = Counts(answers=answers.height)
    parsed = [parse_list(answer) for answer in answers["answer"]]
    texts = [entry.text for listed in parsed for entry in listed.entries[:at_most]]
    meant = dict(zip(texts, grounder.ground_all(texts), strict=True))
    codes = bench.train.item_ids.encode(data.item_ids.values)  # [items of data], -1 outside
    histories = bench.train.histories()
    seen_by = {user: set(histories[i].tolist()) for i, user in enumerate(bench.train.user_ids.values.to_list())}
    users = _ids(answers, bench).to_list()
    rows: list[tuple[Any, int]] = []
    for user, listed in zip(users, parsed, strict=True):
        entries = listed.entries[:at_most]
        counts.empty += not entries
        counts.refused += listed.refused
        counts.truncated += listed.truncated
        counts.entries += len(entries)
        counts.lengths.append(len(entries))
        seen, before = seen_by.get(user, set()), set()
        for entry in entries:
            found = meant[entry.text]
            if entry.truncated and found.outcome not in _CERTAIN:
                continue
            counts.well_formed += not entry.truncated
            counts.outcomes[found.outcome] += not entry.truncated
            if found.item < 0:
                continue
            counts.repeats += found.item in before
            before.add(found.item)
            counts.outside += int(codes[found.item] < 0)
            counts.seen += int(codes[found.item]) in seen
            rows.append((user, found.item))
    lists = pl.DataFrame(rows, schema={"user_id": bench.train.user_ids.dtype, "item": pl.Int64}, orient="row")
    items = data.item_ids.decode(lists["item"].to_numpy().astype(np.int32)).alias("item_id")
    return lists.select("user_id", items), counts


def _ids(answers: pl.DataFrame, bench: Bench) -> pl.Series:
    """Whose answers they are, as the data writes users; null for what cannot be one."""
    return answers["user_id"].cast(bench.train.user_ids.dtype, strict=False)


def evaluate_answers(
    answers: pl.DataFrame | None,
    data: Dataset,
    *,
    models: Mapping[str, Any] | None = None,
    profile: int | None = None,
    cutoffs: Sequence[int] = CUTOFFS,
    grounder: Grounder | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """One report over recorded answers and models: 21 metrics, both tests, and what became of the answers.

    Parameters
    ----------
    answers
        ``user_id, answer`` and perhaps ``model, experiment``; ``None`` for models alone.
    data
        With a test part and titles of the items.
    models
        Unfitted models by name; the first is the reference that the others are tested against. Without any,
        the first group of answers is.
    profile
        Longest training profile (arXiv 2309.03613: 230).
    cutoffs
        Cut-offs; tests are at the first.
    grounder
        In place of :func:`grounder_of` the data.
    progress
        Is told what is being done.

    Returns
    -------
    dict
        ``{"dataset", "protocol", "n_users", "rows": [{"model", "experiment", "metrics", "ci", "answers",
        "vs_reference", "closest"}]}``; ``answers``, ``experiment`` and ``closest`` are ``None`` for models. Metrics
        are of lists found by a :class:`Grounder`; ``closest`` has those of the paper's rule (:class:`ClosestTitle`).
    """
    bench = Bench.of(data, profile)
    tell = progress or (lambda text: None)
    scored: list[tuple[dict[str, Any], Scored]] = []
    for name, model in (models or {}).items():
        tell(f"Fitting {name}")
        one = score(bench, bench.recommended(model.fit(with_valid(bench.train))), cutoffs)
        scored.append(({"model": name, "experiment": None, "answers": None, "closest": None}, one))
    if answers is not None:
        used = grounder or grounder_of(data)
        closest = ClosestTitle(used.titles)
        for (model, experiment), group in _grouped(answers).group_by(*_GROUPS, maintain_order=True):
            tell(f"Reading {model}, {experiment}")
            lists, counts = read_lists(group, used, data, bench)
            near, near_counts = read_lists(group, closest, data, bench)
            silent = len(bench.users) - len(
                np.intersect1d(bench.users, bench.train.user_ids.encode(_ids(group, bench)))
            )
            if silent:
                tell(
                    f"{silent:,} of {len(bench.users):,} users have no answer of {model} to {experiment}; they count 0"
                )
            row = {
                "model": str(model),
                "experiment": str(experiment),
                "answers": counts.to_dict() | {"users_without": silent},
                "closest": {
                    "metrics": score(bench, bench.lists_of(near), cutoffs).metrics,
                    "answers": near_counts.to_dict(),
                },
            }
            scored.append((row, score(bench, bench.lists_of(lists), cutoffs)))
    reference = scored[0][1] if scored else None
    return {
        "dataset": data.name,
        "protocol": f"unknown and seen items dropped, then cut at {', '.join(map(str, cutoffs))}; repeats stay",
        "profile": profile,
        "n_users": len(bench.users),
        "reference": " ".join(filter(None, (scored[0][0]["model"], scored[0][0]["experiment"]))) if scored else None,
        "rows": [
            {
                **row,
                "metrics": one.metrics,
                "ci": {id: list(ends) for id, ends in one.ci.items()},
                "vs_reference": None if one is reference or reference is None else compare(one, reference, cutoffs[0]),
            }
            for row, one in scored
        ],
    }
