"""Every command as a person types it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

import honeyguide
from honeyguide.cli.main import app
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import HoneyguideError

RUNNER = CliRunner()


def run(*arguments: object, code: int = 0) -> Any:
    result = RUNNER.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def as_json(*arguments: object, code: int = 0) -> Any:
    return json.loads(run(*arguments, code=code).stdout)


@pytest.fixture(scope="module")
def model(books_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A floor fitted from CSV files by the command line."""
    out = tmp_path_factory.mktemp("models") / "model"
    result = run(
        "fit",
        books_folder / "interactions.csv",
        "--items",
        books_folder / "items.csv",
        "--model",
        "floor",
        "--out",
        out,
    )
    text = result.stdout
    assert "300 users" in text
    assert "about" in text
    assert "of memory" in text
    assert "Fitted floor" in text
    assert "Chosen on valid" in text
    return out


# -- fit ------------------------------------------------------------------------------------------


def test_fit_json_is_pure(books_folder: Path, tmp_path: Path) -> None:
    found = as_json(
        "fit", books_folder, "--model", "ease", "--set", "regularization=50", "--out", tmp_path / "m", "--json"
    )
    assert found["model"] == "ease"
    assert found["params"]["regularization"] == 50.0
    assert found["cpu_seconds"] > 0


def test_fit_maps_columns_and_positives(tmp_path: Path) -> None:
    rows = [
        f"{u};{b};{r};2024-01-0{d}"
        for u, b, r, d in [("a", "x", 5, 1), ("a", "y", 1, 2), ("b", "x", 4, 1), ("b", "z", 5, 3)]
    ]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["who;what;stars;day", *rows, "c;x;5;2024-01-09", "c;z;5;2024-01-10"]) + "\n")
    columns = ["--user-col", "who", "--item-col", "what", "--label-col", "stars", "--time-col", "day"]
    run("fit", path, *columns, "--positive", "stars>=4", "--model", "popularity", "--out", tmp_path / "m")
    found = as_json("recommend", tmp_path / "m", "--user", "a", "-k", "5", "--json")[0]
    assert [item["item_id"] for item in found["items"]] == ["z", "y"]


def test_a_row_that_is_set_aside_is_told_once(tmp_path: Path) -> None:
    rows = [f"{user},{item},2024-01-{item + 1:02d}" for user in range(30) for item in range(9)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["user,item,time", *rows, ",3,2024-01-01", ""]))
    told = run("fit", path, "--model", "popularity", "--out", tmp_path / "m")
    assert (told.stdout + told.stderr).count("set aside") == 1
    assert run("compare", path, "--models", "ease", "--runs", tmp_path / "r").stderr.count("set aside") == 1


def test_fit_with_a_config_file(books_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "ials.toml"
    run("config", "init", "ials", "--set", "factors=8", "--out", file)
    found = as_json("fit", books_folder, "--config", file, "--seed", "3", "--out", tmp_path / "m", "--json")
    assert (found["model"], found["params"]["factors"], found["params"]["seed"]) == ("ials", 8, 3)
    assert "factors = 8" in run("config", "show", tmp_path / "m").stdout
    assert as_json("config", "show", file, "--set", "factors=9", "--json")["options"]["factors"] == 9
    run("fit", books_folder, "--config", file, "--model", "ease", "--out", tmp_path / "m", code=2)
    run("config", "init", "ials", "--out", file, code=2)
    run("config", "init", "ials", "--out", file, "--force")


def test_fit_refuses_what_does_not_fit_in_memory(books_folder: Path, tmp_path: Path) -> None:
    result = run("fit", books_folder, "--model", "ease", "--memory-limit", "1KB", "--out", tmp_path / "m", code=5)
    assert "needs about" in result.stderr
    assert not (tmp_path / "m").exists()


def test_data_with_a_test_part_is_not_fitted_on_it(books: Dataset, books_folder: Path, tmp_path: Path) -> None:
    run("fit", books_folder, "--model", "popularity", "--out", tmp_path / "m")
    fitted = honeyguide.load(tmp_path / "m")
    assert fitted.score_histories(books.histories().take(slice(0, 1)))[0].tolist() == books.popularity("train").tolist()


# -- recommend ------------------------------------------------------------------------------------


def test_recommend_with_reasons(model: Path, books: Dataset) -> None:
    user = books.user_ids.values[4]
    found = as_json("recommend", model, "--user", user, "--why", "--json")[0]
    titles = set(books.items["title"])
    seen = set(books.item_ids.decode(books.histories()[4]).to_list())
    assert [item["rank"] for item in found["items"]] == list(range(1, 11))
    for item in found["items"]:
        assert item["title"] in titles
        assert item["item_id"] not in seen
        assert set(item["evidence"]) <= seen
        assert item["why"].startswith(("because you read", "perhaps because you read", "nothing"))
        assert item["verified"] == (item["score_without"] < item["score"] and bool(item["evidence"]))
    table = run("recommend", model, "--user", user, "--why", "-k", "3").stdout
    assert found["items"][0]["why"] in " ".join(table.split())


def test_recommend_to_a_history(model: Path, books: Dataset) -> None:
    items = [str(i) for i in books.item_ids.values.head(3)]
    found = as_json("recommend", model, "--history", ",".join(items), "-k", "4", "--json")[0]
    assert found["user"] is None
    assert len(found["items"]) == 4
    assert not set(items) & {str(item["item_id"]) for item in found["items"]}
    seen = as_json("recommend", model, "--history", ",".join(items), "-k", "400", "--seen", "--json")[0]
    assert set(items) <= {str(item["item_id"]) for item in seen["items"]}


def test_recommend_through_stages(model: Path, books: Dataset, tmp_path: Path) -> None:
    user = str(books.user_ids.values[3])
    titled = as_json("recommend", model, "--user", user, "--where", "title contains the", "-k", "5", "--json")[0]
    assert len(titled["items"]) == 5 and all("the" in entry["title"].lower() for entry in titled["items"])
    stages = tmp_path / "stages.toml"
    stages.write_text('[[rules]]\nboost = "title contains the"\nweight = 3.0\n[diversify]\nmethod = "mmr"\nby = "text"')
    shown = as_json("recommend", model, "--user", user, "--pipeline", stages, "--trace", "--page", "2", "--json")[0]
    assert [step["stage"] for step in shown["trace"]][-2:] == ["boost", "diversify by mmr"]
    first = as_json("recommend", model, "--user", user, "--pipeline", stages, "--json")[0]
    assert not {e["item_id"] for e in first["items"]} & {e["item_id"] for e in shown["items"]}
    table = run("recommend", model, "--user", user, "--where", "title contains the", "--trace").stdout
    assert "Stages" in table and "filter" in table
    assert "names a column 'price'" in run("recommend", model, "--user", user, "--where", "price < 3", code=3).stderr
    told = run("recommend", model, "--user", user, "-i", "only titles about the sea", "-i", "nothing by King", "--json")
    assert "Understood" in told.stderr and json.loads(told.stdout)[0]["items"]
    assert "no stages" in run("recommend", model, "--all", "--out", tmp_path / "x.csv", "--page", "2", code=2).stderr


def test_an_empty_list_says_why(model: Path, books: Dataset, tmp_path: Path) -> None:
    user = str(books.user_ids.values[3])
    everything = ",".join(str(item) for item in books.item_ids.values)
    seen = as_json("recommend", model, "--history", everything, "--json")[0]
    assert (seen["items"], "all 400 items" in seen["note"], "--seen" in seen["note"]) == ([], True, True)
    assert as_json("recommend", model, "--history", everything, "--seen", "--json")[0]["note"] is None
    shown = run("recommend", model, "--history", everything, "--why").stdout
    assert "nothing: all 400 items" in shown and "verified" not in shown
    nowhere = as_json("recommend", model, "--user", user, "--where", "title == Nowhere", "--json")[0]
    left = 400 - len(set(books.histories()[3].tolist()))
    assert nowhere["note"] == f"none of the {left} items that may be shown meets title == Nowhere."
    behind = run("recommend", model, "--user", user, "--where", "title contains the", "--page", "99", "--trace").stdout
    assert "ends before page 99" in behind and "Stages" in behind
    written = run("recommend", model, "--history", everything, "--out", tmp_path / "none.csv")
    assert "all 400 items" in written.stderr
    assert pl.read_csv(tmp_path / "none.csv").columns == ["user_id", "rank", "item_id", "title", "score"]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_recommend_to_everybody(model: Path, books: Dataset, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"recs.{ending}"
    run("recommend", model, "--all", "--out", out, "-k", "5")
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "jsonl": pl.read_ndjson}[ending]
    frame = read(out)
    assert frame.columns == ["user_id", "rank", "item_id", "score"]
    assert frame.height == 5 * books.n_users
    assert frame["user_id"].n_unique() == books.n_users
    user = frame["user_id"][0]
    one = as_json("recommend", model, "--user", user, "-k", "5", "--json")[0]
    assert frame.filter(pl.col("user_id") == user)["item_id"].to_list() == [item["item_id"] for item in one["items"]]
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--user", "1", "--all"],
        ["--all"],
        ["--all", "--out", "x.xlsx"],
        ["--all", "--out", "x.csv", "--why"],
        ["--user", "none"],
    ],
)
def test_what_cannot_be_recommended_is_explained(model: Path, arguments: list[str]) -> None:
    result = RUNNER.invoke(app, ["recommend", str(model), *arguments])
    assert result.exit_code in (2, 3)
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.strip().splitlines()) == 2
    assert not result.stdout


def test_similar(model: Path, books: Dataset) -> None:
    item = books.item_ids.values[0]
    found = as_json("similar", model, "--item", item, "-k", "3", "--json")
    assert len(found["items"]) == 3
    assert item not in [entry["item_id"] for entry in found["items"]]
    assert "Like " in run("similar", model, "--item", item).stdout
    run("similar", model, "--item", "none", code=3)


def test_similar_of_a_model_without_it(books_folder: Path, tmp_path: Path) -> None:
    run("fit", books_folder, "--model", "popularity", "--out", tmp_path / "m")
    assert "no capability 'similar'" in run("similar", tmp_path / "m", "--item", "1", code=2).stderr


def test_forget(books_folder: Path, books: Dataset, tmp_path: Path) -> None:
    run("fit", books_folder, "--model", "popularity", "--out", tmp_path / "m")
    first, second = books.user_ids.values.head(2).to_list()
    run("forget", tmp_path / "m", "--user", first, "--user", "nobody", code=3)
    run("recommend", tmp_path / "m", "--user", first)  # nobody was deleted by the failed command
    assert as_json("forget", tmp_path / "m", "--user", first, "--json")["users_left"] == 299
    assert "nothing is known of user" in run("recommend", tmp_path / "m", "--user", first, code=3).stderr
    run("recommend", tmp_path / "m", "--user", second)


def test_a_damaged_model_is_one_line(model: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    (copy / "v000001" / "arrays.safetensors").write_bytes(b"x")
    result = run("recommend", copy, "--user", "1", code=4)
    assert "corrupt" in result.stderr
    assert "Traceback" not in result.stderr


# -- compare --------------------------------------------------------------------------------------


def test_compare(books_folder: Path, tmp_path: Path) -> None:
    runs = ["--runs", tmp_path / "runs"]
    outputs = ["--html", tmp_path / "r.html", "--json", tmp_path / "r.json"]
    result = run(
        "compare", books_folder, "--models", "popularity,ease", "--set", "ease.regularization=20", *runs, *outputs
    )
    assert "the floor" in result.stdout
    assert "Holm" in result.stdout
    assert "vs best: against " in " ".join(result.stdout.split())
    assert len(re.findall(r"^ \S+ .* the best ", result.stdout, re.MULTILINE)) == 1
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["rows"][1]["model"] == "popularity" or found["rows"][0]["model"] == "floor"
    assert {r["model"]: r["params"].get("regularization") for r in found["rows"]}["ease"] == 20.0
    assert "<svg" in (tmp_path / "r.html").read_text()
    again = as_json("compare", books_folder, "--models", "popularity", *runs, "--json", "-")
    assert [r["model"] for r in again["rows"]] == ["floor", "popularity"]


def test_compare_shows_cold_items_next_to_warm_ones_where_there_are_any(books_folder: Path, tmp_path: Path) -> None:
    options = ["--models", "popularity", "--runs", tmp_path / "runs"]
    result = run("compare", books_folder, *options, "--split", "cold-and-warm", "--html", tmp_path / "r.html")
    assert "users have a cold one" in result.stdout
    assert "items seen in training" in (tmp_path / "r.html").read_text()
    result = run("compare", books_folder, *options, "--html", tmp_path / "r.html")
    assert "cold" not in result.stdout
    assert "items seen in training" not in (tmp_path / "r.html").read_text()


def test_compare_in_which_everything_fails(books_folder: Path, tmp_path: Path) -> None:
    result = run("compare", books_folder, "--models", "ease", "--memory-limit", "1KB", "--runs", tmp_path, code=1)
    assert "failed" in result.stdout


# -- data -----------------------------------------------------------------------------------------


def test_data_check(tmp_path: Path, books_folder: Path) -> None:
    assert "Every row can be used" in run("data", "check", books_folder).stdout
    path = tmp_path / "bad.csv"
    path.write_text("user_id,item_id,rating\n1,2,5\n1,3,five\n2,2,4\n2,3,4\n")
    result = run("data", "check", path, "--quarantine", tmp_path / "q.csv", code=3)
    assert "five" in result.stdout
    assert "rating (label)" in result.stdout, "as the file calls it, and what it means"
    found = as_json("data", "check", path, "--json", code=3)
    assert found["ok"] is False
    assert found["quarantine"][0]["row"] == 2
    assert pl.read_csv(tmp_path / "q.csv").height == 1


def test_data_describe_list_split_export(books_folder: Path, tmp_path: Path) -> None:
    found = as_json("data", "describe", books_folder, "--json")
    assert (found["users"], found["parts"]["test"]) == (300, 300)
    assert "findings" in found["leakage"]
    assert "density" in run("data", "describe", "goodbooks-mini").stdout
    assert "goodbooks-mini" in as_json("data", "list", "--json")["data"]
    assert "goodbooks-mini" in run("data", "list").stdout
    run("data", "split", books_folder, "--by", "ratio", "--out", tmp_path / "split")
    assert as_json("data", "describe", tmp_path / "split", "--json")["parts"]["test"] > 300
    run("data", "export", books_folder, "--format", "jsonl", "--out", tmp_path / "out")
    assert as_json("data", "describe", tmp_path / "out", "--json")["events"] == found["events"]
    assert (
        "leave-last-out" in run("data", "split", books_folder, "--by", "leave-last", "--out", tmp_path, code=2).stderr
    )
    assert "goodbooks-mini" in run("data", "check", "goodbook-mini", code=2).stderr


# -- lists ----------------------------------------------------------------------------------------


def test_models_and_metrics() -> None:
    found = {entry["name"]: entry for entry in as_json("models", "--json")["models"]}
    assert {"fold_in", "similar", "update"} <= set(found["ease"]["capabilities"])
    assert found["ease"]["options"]["regularization"] > 0
    assert "popularity" in run("models").stdout
    metrics = as_json("metrics", "--family", "D", "--json")["metrics"]
    assert {entry["family"] for entry in metrics} == {"D"}
    assert "ndcg" in run("metrics").stdout
    run("metrics", "--family", "Z", code=2)


def test_versions() -> None:
    assert as_json("version", "--json")["honeyguide"] == honeyguide.__version__
    assert run("version").stdout.startswith(f"honeyguide {honeyguide.__version__}")
    assert run("--version").stdout.strip() == honeyguide.__version__


def test_papers(tmp_path: Path) -> None:
    found = as_json("papers", "--json", "--results", tmp_path)
    assert len(found["papers"]) == 61
    assert run("papers", "--markdown", "--results", tmp_path).stdout.startswith("# Papers")
    assert "GPT-4V-Rec" in run("papers", "--results", tmp_path).stdout
    assert "no paper" in run("reproduce", "99", code=2).stderr
    assert "profile" in run("reproduce", "37", "--profile", "gpu", code=2).stderr


# -- errors and flags -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fti"], "fit"),
        (["fit", "x.csv", "--modle", "ease"], "--model"),
        (["fit", "goodbooks-mini", "--model", "eaze", "--out", "m"], "ease"),
        (["fit", "goodbooks-mini", "--model", "ease", "--set", "regularisation=3", "--out", "m"], "regularization"),
        (["fit", "goodbooks-mini", "--set", 'models=["eaze"]', "--out", "m"], "ease"),
        (["fit", "goodbooks-mini", "--model", "ease", "--memory-limit", "much", "--out", "m"], "4GB"),
        (["compare", "goodbooks-mini", "--models", "ease", "--set", "eaze.regularization=3"], "Did you mean 'ease'?"),
        (["compare", "goodbooks-mini", "--models", "ease", "--set", "ease=3"], "ease.OPTION=3"),
        (["tune", "goodbooks-mini", "--models", "ease", "--set", "ease=3"], "ease.OPTION=3"),
        (["replay", "goodbooks-mini", "--models", "din", "--set", "dim=3"], "which is not replayed"),
    ],
)
def test_misspellings_are_met_with_suggestions(arguments: list[str], said: str) -> None:
    result = run(*arguments, code=2)
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_misspelt_column_is_named(books_folder: Path, tmp_path: Path) -> None:
    result = run("fit", books_folder / "interactions.csv", "--user-col", "user_idd", "--out", tmp_path / "m", code=3)
    assert "user_idd" in result.stderr
    assert "user_id" in result.stderr


def test_quiet_verbose_and_debug_may_stand_anywhere(model: Path, books: Dataset) -> None:
    user = str(books.user_ids.values[0])
    assert run("recommend", model, "--user", user, "-q").stderr == ""
    assert run("-v", "recommend", model, "--user", user).exit_code == 0
    result = run("recommend", model, "--user", "none", "--debug", code=3)
    assert "Traceback" in result.stderr
    assert "Error: " in result.stderr


def test_a_failure_of_the_system_is_one_line(books_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = RUNNER.invoke(app, ["data", "export", str(books_folder), "--out", str(tmp_path / "file" / "sub")])
    assert result.exit_code in (1, 3, 4)
    assert "Traceback" not in result.stderr


def test_interruption_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("honeyguide.data.load.known_data", interrupted)
    assert "Interrupted" in run("data", "list", code=130).stderr


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = {cls.__name__: cls.exit_code for cls in HoneyguideError.__subclasses__()}
    assert codes["DataError"] == 3
    assert codes["ConfigError"] == 2
    assert codes["ArtifactError"] == 4
    assert codes["MemoryLimitError"] == 5


# -- real processes -------------------------------------------------------------------------------


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(honeyguide.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'numpy', 'polars', 'torch', 'scipy', 'pydantic', 'matplotlib', 'sqlalchemy'}"
    code = f"""
import sys
import honeyguide
print(sorted(m for m in sys.modules if m.startswith('honeyguide')))
from honeyguide.cli.main import app
try: app(['--help'])
except SystemExit: pass
print(sorted({heavy} & set(sys.modules)))
"""
    done = process("-c", code)
    lines = done.stdout.splitlines()
    assert lines[0] == "['honeyguide']"
    assert lines[-1] == "[]", done.stdout


def test_every_command_is_on_the_help_page() -> None:
    done = process("-m", "honeyguide", "--help")
    for command in (
        "quickstart",
        "fit",
        "recommend",
        "similar",
        "compare",
        "forget",
        "data",
        "models",
        "papers",
        "reproduce",
    ):
        assert command in done.stdout


def test_json_is_alone_on_standard_output(model: Path, books: Dataset) -> None:
    done = process(
        "-m", "honeyguide", "-vv", "recommend", str(model), "--user", str(books.user_ids.values[0]), "--json"
    )
    assert len(json.loads(done.stdout)[0]["items"]) == 10


def test_a_fault_of_our_own_is_one_line() -> None:
    code = """
import honeyguide.data.load
def broken(): raise ZeroDivisionError('oh')
honeyguide.data.load.known_data = broken
import sys
sys.argv = ['honeyguide', 'data', 'list']
from honeyguide.cli.main import main
main()
"""
    done = process("-c", code)
    assert done.returncode == 70
    assert done.stderr.splitlines()[0] == "Error: ZeroDivisionError: oh"
    assert "--debug" in done.stderr


def test_the_page_names_every_command_and_exit_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    commands = [c.callback.__name__.replace("_", "-") for c in app.registered_commands if c.callback]
    groups = [group.typer_instance for group in app.registered_groups]
    commands += [c.name or c.callback.__name__ for g in groups if g for c in g.registered_commands if c.callback]
    assert [name for name in commands if name not in page] == []
    codes = {cls.exit_code for cls in (HoneyguideError, *HoneyguideError.__subclasses__())}
    assert [code for code in codes if f"| {code} |" not in page] == []


def test_a_log_without_a_split_is_fitted_whole_but_for_a_part_to_choose_on(books: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    frame = books.interactions
    pl.DataFrame({"user_id": frame["user"], "item_id": frame["item"], "timestamp": frame["position"]}).write_csv(path)
    result = run("fit", path, "--model", "floor", "--out", tmp_path / "m")
    assert "valid" in result.stdout
    assert "Chosen on valid" in result.stdout
    assert len(honeyguide.load(tmp_path / "m").report.search) > 1


def test_a_log_can_be_generated_and_fitted_on(tmp_path: Path) -> None:
    sizes = ["--events", 3000, "--users", 200, "--items", 50]
    found = as_json("data", "generate", *sizes, "--seed", 2, "--out", tmp_path / "log", "--json")
    assert found["shape"]["events"] == 3000
    shown = run("data", "generate", *sizes, "--seed", 2, "--out", tmp_path / "log").stdout
    assert "3,000 events of 200 users on 50 items" in shown
    assert f"Gini {found['gini']:.3f}" in shown
    described = as_json("data", "describe", tmp_path / "log", "--json")
    assert (described["events"], described["users"], described["items"]) == (3000, 200, 50)
    refused = RUNNER.invoke(app, ["data", "generate", "--events", "5", "--users", "9", "--out", str(tmp_path / "x")])
    assert refused.exit_code == 2
    assert not (tmp_path / "x").exists()


def test_ray_is_for_everybody(model: Path) -> None:
    result = RUNNER.invoke(app, ["recommend", str(model), "--history", "1", "--ray", "auto"])
    assert result.exit_code == 2
    assert "--ray is for --all" in result.stderr


def test_no_place_is_claimed_where_nothing_is_left_of_a_history(model: Path) -> None:
    shown = run("recommend", model, "--history", "1", "-k", "3", "--why").stdout
    assert "rank 1 " not in shown
    assert "lower score" in shown
