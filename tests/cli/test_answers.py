"""What an interrupted ``fit`` keeps, says, and goes on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from honeyguide.cli.answers import Answers, digest_of, from_checkpoint
from honeyguide.cli.main import app
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import FitInterrupted
from honeyguide.experiment.bundle import open_bundle
from honeyguide.models.linear.ease import EASE
from honeyguide.models.linear.itemknn import ItemKNN
from honeyguide.models.popularity import Popularity

RUNNER = CliRunner()
FEW = ("--set", 'models=["popularity", "floor", "itemknn", "ease"]', "--set", "text=off")


def run(*arguments: object) -> Any:
    return RUNNER.invoke(app, [str(a) for a in arguments])


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def answers(out: Path, data: Dataset, resume: bool = False, seed: int = 0) -> Answers:
    return Answers(out, out / "checkpoint", data, digest_of(data), None, seed=seed, resume=resume)


def saved(out: Path) -> str:
    return open_bundle(out).model.name


def test_a_search_goes_on_from_its_best_answer(
    books_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a model"
    with monkeypatch.context() as patched:
        patched.setattr(EASE, "_fit", stop)
        stopped = run("fit", books_folder, *FEW, "--budget", "10m", "--out", out)
    assert stopped.exit_code == FitInterrupted.exit_code
    assert f"What was fitted is kept in {out / 'checkpoint'}" in stopped.stderr
    assert "Nothing was kept" not in stopped.stderr
    found = saved(out)
    assert found in ("floor", "itemknn")
    assert f"and can be used ({found})" in stopped.stderr
    command = stopped.stderr.split("Go on: ")[1].strip()
    assert command.startswith("honeyguide fit ") and command.endswith(" --resume")
    assert f"--out '{out}'" in command and "--budget 10m" in command and "--set text=off" in command
    versions = {path.name for path in out.iterdir()}
    told = run("fit", books_folder, *FEW, "--budget", "10m", "--out", out, "--resume")
    assert told.exit_code == 0, told.output
    lines = told.stderr.splitlines()
    assert [("from the checkpoint" in line) for line in lines if "popularity: valid" in line] == [True]
    assert not any("from the checkpoint" in line for line in lines if "ease: valid" in line)
    assert "for now: popularity" not in told.stderr, "a better answer stands there"
    assert f"holds what the interrupted search had found: {found}" in told.stderr
    assert "From the checkpoint: 3 fits" in told.stdout or "From the checkpoint: 2 fits" in told.stdout
    assert {path.name for path in out.iterdir()} != versions
    assert saved(out) == "auto"
    assert not (out / "checkpoint").exists()


def test_nothing_kept_is_said_too(books_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Popularity, "_fit", stop)
    for model in ((), ("--model", "popularity")):
        stopped = run("fit", books_folder, *model, "--out", tmp_path / "model")
        assert stopped.exit_code == FitInterrupted.exit_code
        assert "Nothing is kept yet" in stopped.stderr
        assert "Begin anew: honeyguide fit" in stopped.stderr
        assert "--resume" not in stopped.stderr
    monkeypatch.undo()
    told = run("fit", books_folder, "--model", "popularity", "--out", tmp_path / "other", "--resume")
    assert "There is no checkpoint" in told.stderr


def test_what_is_not_what_the_checkpoint_was_begun_with_is_said(
    books_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, fewer, renamed = tmp_path / "model", tmp_path / "fewer.csv", tmp_path / "renamed.csv"
    log = pl.read_csv(books_folder / "interactions.csv")
    log.write_csv(path := tmp_path / "log.csv")
    log.filter(pl.col("user_id") != log["user_id"][0]).write_csv(fewer)
    log.with_columns(pl.col("item_id") + 10**6).write_csv(renamed)
    monkeypatch.setattr(EASE, "_fit", stop)

    def resumed(data: Path, *more: object) -> str:
        return " ".join(run("fit", data, *FEW, "--out", out, "--resume", *more).stderr.split())

    assert "no checkpoint" in resumed(path)
    assert "was begun with" not in resumed(path)
    other = resumed(path, "--budget", "20m")
    assert "other options (budget 600.0, now 1200.0). What was fitted and is still asked for is taken over." in other
    assert "from the checkpoint" in other
    other = resumed(path, "--seed", "3")
    assert "budget 1200.0, now 600.0" in other and "seed 0, now 3" in other and "the search begins anew" in other
    assert "from the checkpoint" not in other
    other = resumed(fewer, "--seed", "3")
    assert f"other data ({log.height:,} events of 300 users" in other and "of 299 users" in other
    assert "Nothing in it is of use: the search begins anew." in other
    resumed(path)
    other = resumed(renamed)
    assert "other data" in other and "the search begins anew" in other
    assert "from the checkpoint" not in other, "who did what is the same by number, and the numbers mean other items"


def test_a_network_refuses_another_fit_and_says_what_is_other(
    books_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from honeyguide.nn.trainer import Trainer

    fit = ("fit", books_folder, "--model", "sasrec", "--set", "dim=8", "--set", "epochs=2", "--out", tmp_path / "model")
    close = Trainer._close_epoch
    with monkeypatch.context() as patched:
        patched.setattr(
            Trainer, "_close_epoch", lambda self, *how: stop() if self.progress.epoch else close(self, *how)
        )
        run(*fit)
    for _ in range(2):
        other = run(*fit, "--set", "lr=0.02", "--resume")
        told = " ".join(other.stderr.split())  # lines are broken where the name of the folder ends
        assert other.exit_code == 2 and "other options (lr " in told, "the second time too"
    assert "was begun with" not in " ".join(run(*fit, "--resume").stderr.split())


def test_a_network_stopped_in_an_early_epoch(
    books_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once before there is a checkpoint, and then again after one: both times the truth."""
    from honeyguide.nn.trainer import Trainer

    fit = ("fit", books_folder, "--model", "sasrec", "--set", "dim=8", "--set", "epochs=3", "--out", tmp_path / "model")
    close = Trainer._close_epoch
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_close_epoch", stop)
        stopped = run(*fit)
        assert "interrupted in epoch 1" in stopped.stderr and "Nothing is kept yet" in stopped.stderr
        patched.setattr(
            Trainer, "_close_epoch", lambda self, *how: stop() if self.progress.epoch else close(self, *how)
        )
        stopped = run(*fit)
    assert "interrupted in epoch 2" in stopped.stderr
    assert "Go on: honeyguide fit" in stopped.stderr and stopped.stderr.strip().endswith("--resume")
    assert run(*fit, "--resume").exit_code == 0


def test_only_what_is_better_takes_the_place_of_an_answer(books: Dataset, tmp_path: Path) -> None:
    popular, near = Popularity().fit(books), ItemKNN().fit(books)
    first = answers(tmp_path, books)
    first.follow({"step": "model", "ndcg@10": 0.10})
    first.publish(popular)
    first.follow({"step": "model", "ndcg@10": 0.20})
    first.publish(near)
    assert json.loads((tmp_path / "checkpoint" / "answer.json").read_text())["answer"] == "itemknn"
    again = answers(tmp_path, books, resume=True)
    again.follow({"step": "model", "ndcg@10": 0.10})
    again.publish(popular)
    again.follow({"step": "model", "ndcg@10": 0.20})
    again.publish(near)
    assert again.written is False, "the same once more"
    again.follow({"step": "blend", "ndcg@10": 0.33, "best_single": 0.30})
    assert again.standing == (pytest.approx(0.22), False)
    again.publish(popular)
    assert saved(tmp_path) == "popularity"
    last = answers(tmp_path, books, resume=True)
    last.follow({"step": "model", "ndcg@10": 0.20})
    last.follow({"step": "blend", "ndcg@10": 0.33, "best_single": 0.30})
    last.publish(near)
    assert saved(tmp_path) == "popularity"
    last.follow({"step": "cold", "ndcg@10": 0.0})
    last.publish(near)
    assert saved(tmp_path) == "itemknn", "as good, and with a place for items without events"


def test_an_answer_of_another_search_is_no_measure(books: Dataset, tmp_path: Path) -> None:
    popular, near = Popularity().fit(books), ItemKNN().fit(books)
    first = answers(tmp_path, books)
    first.follow({"step": "model", "ndcg@10": 0.9})
    first.publish(near)
    assert answers(tmp_path, books, resume=True).before == (0.9, False)
    assert answers(tmp_path, books, resume=True, seed=1).before is None
    assert answers(tmp_path, books.select("train"), resume=True).before is None
    assert answers(tmp_path, books).before is None, "begun anew"
    popular.save(tmp_path)  # by somebody else
    assert answers(tmp_path, books, resume=True).before is None


def test_lines_say_what_came_from_the_checkpoint() -> None:
    assert from_checkpoint({"step": "model"}) == ""
    taken = {"taken_over": "fitted", "carried": 12.3}
    assert from_checkpoint(taken) == "; from the checkpoint (12 CPU-s before the interruption)"
    assert from_checkpoint(taken | {"taken_over": "begun"}) == "; went on from 12 CPU-s before the interruption"
