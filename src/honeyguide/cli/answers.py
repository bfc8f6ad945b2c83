"""What ``fit`` saves while a search goes on, what it keeps when it is interrupted, and how and with what it goes on."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honeyguide.cli import console

if TYPE_CHECKING:
    import typer

    from honeyguide.core.dataset import Dataset
    from honeyguide.core.errors import FitInterrupted
    from honeyguide.core.recommender import Recommender
    from honeyguide.data.reading import Reading

_FILE, _BEGUN, _SEARCH = "answer.json", "fit.json", "auto"


def digest_of(data: Dataset) -> str:
    """Says which data a fit is about."""
    from honeyguide.data.fingerprint import fingerprint

    return fingerprint(data.select("train", "valid"))[:16]


def begin(folder: Path, data: Dataset, digest: str, model: Recommender, *, resume: bool) -> Callable[[], None]:
    """Say where a fit that goes on is about something else than its checkpoint.

    Parameters
    ----------
    folder
        Of checkpoints.
    data, digest, model
        What is fitted on, its :func:`digest_of`, and what is fitted.
    resume
        Whether an interrupted fit goes on.

    Returns
    -------
    callable
        Writes down, the first time, what the fit is about; to be called when there is something to go on from.
    """
    from honeyguide.experiment.records import plain, read_json, write_json

    going_on = resume and _kept(folder)
    before = read_json(folder / _BEGUN) if going_on else None
    now = plain(
        {
            "data": digest,
            "size": f"{data.interactions.height:,} events of {data.n_users:,} users on {data.n_items:,} items",
            "model": model.name,
            "options": model.config.model_dump(mode="json"),
        }
    )
    if resume and not going_on:
        console.notes().print(f"There is no checkpoint in {folder}: the fit begins anew.")
    elif before is not None and before != now:
        console.notes().print(f"The checkpoint in {folder} {_otherwise(before, now)}", style="yellow")
    return cache(partial(write_json, folder / _BEGUN, now))


def _otherwise(before: dict[str, Any], now: dict[str, Any]) -> str:
    """How the fit of a checkpoint differs from the one that goes on, and what follows."""
    told = []
    if before.get("data") != now["data"]:
        told.append(f"other data ({before.get('size')}, digest {before.get('data')}; now {now['size']}, {now['data']})")
    if before.get("model") != now["model"]:
        told.append(f"another model ({before.get('model')}; now {now['model']})")
    had, has = before.get("options") or {}, now["options"]
    changed = [name for name in dict.fromkeys([*had, *has]) if had.get(name) != has.get(name)]
    if changed and before.get("model") == now["model"]:
        told.append(f"other options ({'; '.join(f'{n} {had.get(n)}, now {has.get(n)}' for n in changed)})")
    if now["model"] != _SEARCH:
        follows = "A fit goes on only with the data and the options that it was begun with."
    elif before.get("model") != _SEARCH or before.get("data") != now["data"] or "seed" in changed:
        follows = "Nothing in it is of use: the search begins anew."
    else:
        follows = "What was fitted and is still asked for is taken over."
    return f"was begun with {' and '.join(told)}. {follows}"


def _kept(folder: Path) -> bool:
    """Whether a fit could go on from something in the folder of its checkpoints."""
    return any(path.is_file() and path.name not in (_FILE, _BEGUN) for path in folder.rglob("*"))


class Answers:
    """Saves every better answer of a search, and after an interruption none that is worse than what was saved before.

    Parameters
    ----------
    out
        Folder of the bundle.
    folder
        Of checkpoints; what was saved last is noted there.
    data, digest, reading
        What is fitted on, its :func:`digest_of`, and how it was read.
    seed
        Of the search.
    resume
        Whether an interrupted search goes on.
    """

    def __init__(
        self, out: Path, folder: Path, data: Dataset, digest: str, reading: Reading | None, *, seed: int, resume: bool
    ) -> None:
        self.out, self.data, self.reading = out, data, reading
        self.note, self.key = folder / _FILE, f"{digest} {seed}"
        self.best, self.standing = 0.0, (0.0, False)  # of single models; of the answer: valid NDCG@10, a place for cold
        self.last: str | None = None  # answer that stands in ``out``, in words
        self.written = False
        self.before = self._before() if resume else None

    def follow(self, entry: dict[str, Any]) -> None:
        """Take notice of a step of the search, of which an answer may follow.

        A blend is judged on other users than single models are: it is worth as many times the best of them as there.
        """
        if entry["step"] == "model":
            self.best = max(self.best, entry["ndcg@10"])
            self.standing = (self.best, False)
        elif entry.get("best_single"):
            self.standing = (self.best * entry["ndcg@10"] / entry["best_single"], False)
        elif entry["step"] == "cold":
            self.standing = (self.standing[0], True)

    def publish(self, model: Recommender) -> None:
        """Save an answer: the histories once, the model each time."""
        from honeyguide.core.artifact import current_version
        from honeyguide.experiment.bundle import save_bundle
        from honeyguide.experiment.records import write_json

        if self.before is not None and self.standing <= self.before:
            return
        if self.written:
            model.save(self.out)
        else:
            save_bundle(self.out, model, self.data, self.reading)
        self.written, self.before, self.last = True, None, model.stands_for
        value, cold = self.standing
        about = {"answer": self.last, "value": value, "cold": cold, "version": current_version(self.out)}
        write_json(self.note, {**about, "key": self.key})
        console.notes().print(f"Saved to {self.out} for now: {model.name}.")

    def _before(self) -> tuple[float, bool] | None:
        """The standing of what the interrupted search saved last, if that is still what is saved."""
        from honeyguide.core.artifact import current_version
        from honeyguide.experiment.records import read_json

        found = read_json(self.note)
        if found is None or found.get("key") != self.key or found.get("version") != current_version(self.out):
            return None
        self.last, value = str(found["answer"]), float(found["value"])
        console.notes().print(
            f"{self.out} holds what the interrupted search had found: {self.last} (valid NDCG@10 {value:.4f}). "
            "Until the end, only what is better takes its place."
        )
        return value, bool(found["cold"])


def from_checkpoint(entry: dict[str, Any]) -> str:
    """What a step of a search took over from an interrupted one, as the end of its line; nothing where it did not."""
    if "taken_over" not in entry:
        return ""
    cost = f"{entry['carried']:.0f} CPU-s before the interruption"
    return f"; from the checkpoint ({cost})" if entry["taken_over"] == "fitted" else f"; went on from {cost}"


def interrupted(error: BaseException, folder: Path, answers: Answers | None, context: typer.Context) -> FitInterrupted:
    """The error for a fit that somebody stopped: what is kept of it, and the command that goes on."""
    from honeyguide.core.errors import FitInterrupted

    message = error.message if isinstance(error, FitInterrupted) else "The fit was interrupted."
    kept = _kept(folder)
    said = [f"What was fitted is kept in {folder}." if kept else "Nothing is kept yet from which it could go on."]
    if answers is not None and answers.last is not None:
        said.append(f"The best so far is in {answers.out} and can be used ({answers.last}).")
    command = command_line(context, leave_out=("resume",))
    said.append(f"Go on: {command} --resume" if kept else f"Begin anew: {command}")
    return FitInterrupted(message, " ".join(said))


def command_line(context: typer.Context, leave_out: tuple[str, ...] = ()) -> str:
    """The command as it was given, without the options in ``leave_out``; of a database only ``DATA``."""
    words = ["honeyguide", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        source, value = context.get_parameter_source(name), context.params.get(name)
        if name in leave_out or source is None or source.name != "COMMANDLINE":
            continue
        if parameter.param_type_name == "argument":
            words.append("DATA" if "://" in str(value) else shlex.quote(str(value)))  # its URL may hold a password
        elif isinstance(value, bool):
            words += parameter.opts[:1] if value else []
        else:
            for one in value if isinstance(value, list | tuple) else [value]:
                words += [parameter.opts[0], shlex.quote(str(one))]
    return " ".join(words)
