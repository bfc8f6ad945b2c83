"""Options that several commands share."""

from __future__ import annotations

import json
from pathlib import Path

import typer.main
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.experiment.bundle import open_bundle

RUNNER = CliRunner()
PARTS = ((0, "train"), (1, "test"))  # turn of a basket, and where it belongs


def test_whatever_takes_columns_of_events_takes_their_order() -> None:
    root = typer.main.get_command(app)
    commands = {**root.commands, **root.commands["data"].commands}
    takes = {name: {flag for p in command.params for flag in p.opts} for name, command in commands.items()}
    readers = [name for name, flags in takes.items() if "--user-col" in flags]
    assert {"fit", "compare", "tune", "backtest", "update", "check", "describe", "export", "split"} <= set(readers)
    for flag in ("--item-col", "--time-col", "--label-col", "--group-col", "--split-col", "--positive", "--in-order"):
        assert [name for name in readers if flag not in takes[name]] == [], flag


def test_baskets_and_a_split_of_ones_own_are_named(tmp_path: Path) -> None:
    """Every user has one basket of two in train, and one in test."""
    rows = [f"u{n},i{(n + 3 * t + j) % 7},t{n}-{t},{part}" for n in range(20) for t, part in PARTS for j in (0, 1)]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["user,item,trip,fold", *rows]) + "\n")
    columns = ["--group-col", "trip", "--split-col", "fold"]
    told = RUNNER.invoke(app, ["data", "describe", str(log), *columns, "--json"])
    assert json.loads(told.stdout)["parts"] == {"train": 40, "test": 40}
    assert set(json.loads(RUNNER.invoke(app, ["data", "describe", str(log), "--json"]).stdout)["parts"]) == {"train"}
    out = tmp_path / "model"
    fitted = RUNNER.invoke(app, ["fit", str(log), *columns, "--model", "popularity", "--out", str(out)])
    assert fitted.exit_code == 0, fitted.output
    read = json.loads((out / "reading.json").read_text())["columns"]
    assert read["group_id"] == "trip"
    assert "split" not in read, "what is held out of one log says nothing of the next"
    more = tmp_path / "more.csv"
    more.write_text("user,item,trip\nu1,i6,t9\n")
    updated = RUNNER.invoke(app, ["update", str(out), str(more)])
    assert updated.exit_code == 0 and "trip as group_id" in updated.stdout, updated.output
    wrong = RUNNER.invoke(app, ["data", "describe", str(log), "--group-col", "trips"])
    assert wrong.exit_code == 3 and "Did you mean 'trip'?" in wrong.stderr
    split = RUNNER.invoke(app, ["data", "split", str(log), *columns, "--by", "ratio", "--out", str(tmp_path / "new")])
    assert split.exit_code == 0 and "train 60, test 20" in split.stdout, "the split of the file gives way"


def test_a_log_in_order_without_times(tmp_path: Path) -> None:
    """Everybody goes from d to a, which neither ids nor popularity tell."""
    rows = [f"u{n},{item}" for n in range(30) for item in "dcba"]
    (tmp_path / "log.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    fit = ["fit", str(tmp_path / "log.csv"), "--model", "floor", "--out"]
    silent = RUNNER.invoke(app, [*fit, str(tmp_path / "bag")])
    assert silent.exit_code == 0, silent.output
    assert "--in-order" in silent.output
    said = RUNNER.invoke(app, [*fit, str(tmp_path / "model"), "--in-order"])
    assert said.exit_code == 0, said.output
    assert "order: yes" in said.output
    bundle = open_bundle(tmp_path / "model")
    assert bundle.item_ids.decode(bundle.history("u7")).to_list() == ["d", "c", "b", "a"]
    (tmp_path / "two.csv").write_text("user,item\nzoe,d\nzoe,c\n")
    more = RUNNER.invoke(app, ["update", str(tmp_path / "model"), str(tmp_path / "two.csv"), "--in-order"])
    assert more.exit_code == 0, more.output
    bundle = open_bundle(tmp_path / "model")
    assert bundle.item_ids.decode(bundle.history("zoe")).to_list() == ["d", "c"]
    shown = RUNNER.invoke(app, ["recommend", str(tmp_path / "model"), "--user", "zoe", "-k", "1", "--json"])
    assert '"item_id": "b"' in shown.stdout, "what follows c"


def test_describe_says_how_an_order_is_given(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item\nu,b\nu,a\nv,a\n")
    assert "--in-order" in RUNNER.invoke(app, ["data", "describe", str(tmp_path / "log.csv")]).stderr
    said = RUNNER.invoke(app, ["data", "describe", str(tmp_path / "log.csv"), "--in-order"])
    assert "--in-order" not in said.output
    assert "order: yes" in said.stdout


def test_a_log_of_one_item_or_one_user_is_no_model_of_nothing(tmp_path: Path) -> None:
    log, out = tmp_path / "log.csv", tmp_path / "model"
    log.write_text("user,item\n" + "".join(f"u{n},view\n" for n in range(20)))
    refused = RUNNER.invoke(app, ["fit", str(log), "--model", "itemknn", "--out", str(out)])
    assert refused.exit_code == 3
    assert "about one item (view)" in refused.stderr and "--item-col" in refused.stderr
    assert not out.exists()
    log.write_text("user,item\n" + "".join(f"shop,i{n}\n" for n in range(20)))
    refused = RUNNER.invoke(app, ["fit", str(log), "--model", "itemknn", "--out", str(out)])
    assert refused.exit_code == 3 and "--user-col" in refused.stderr
    (tmp_path / "books.csv").write_text("item,title\n" + "".join(f"i{n},Book {n} of tales\n" for n in range(40)))
    fit = ["fit", str(log), "--items", str(tmp_path / "books.csv"), "--model", "text-profile", "--set", "encoder=use"]
    told = RUNNER.invoke(app, [*fit, "--out", str(out)])
    assert told.exit_code == 0, told.output
    assert "All events are of one user" in told.stderr
    assert "tales" in RUNNER.invoke(app, ["recommend", str(out), "--user", "shop"]).stdout


def test_a_misspelt_device_is_told_before_data_is_read() -> None:
    for command in (["fit", "nowhere.csv", "--out", "m"], ["compare", "nowhere.csv"], ["tune", "nowhere.csv"]):
        told = RUNNER.invoke(app, [*command, "--device", "cdua"])
        assert told.exit_code == 2 and "Did you mean cuda" in told.stderr, command
        told = RUNNER.invoke(app, [*command, "--precision", "bf16"])
        assert told.exit_code == 2 and "Did you mean bfloat16" in told.stderr, command
