from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.lm.test_ratings import Rates
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, ConfigError, DataError
from honeyguide.data.build import build
from honeyguide.experiment.ratings import COLD, LEAST, Bench, figures, predict_ratings


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    """Forty users who come one after the other and rate fifteen of thirty items; even items are liked better."""
    rng = np.random.default_rng(0)
    rows = [
        (user, int(item), float(np.clip(3 + 2 * (item % 2 == 0) + rng.integers(-1, 2), 1, 5)), user * 100 + place)
        for user in range(40)
        for place, item in enumerate(rng.permutation(30)[:15])
    ]
    return pl.DataFrame(rows, ["user_id", "item_id", "label", "timestamp"], orient="row")


@pytest.fixture(scope="module")
def data(events: pl.DataFrame) -> Dataset:
    return build("films", events, pl.DataFrame({"item_id": range(30), "title": [f"Film {i}" for i in range(30)]}))


def test_the_bench_is_split_by_time_and_asks_who_has_a_history(data: Dataset) -> None:
    bench = Bench.of(data)
    assert (bench.test.history.lengths >= LEAST).all() and len(bench.train) == 510
    assert bench.test.users.min() >= bench.train.users.max(), "the last to come are asked about"
    assert set(bench.popularity[bench.test.items[bench.cold(bench.test)]]) <= set(range(COLD + 1))
    with pytest.raises(DataError, match="no text"):
        Bench.of(data, columns=())


def test_figures_by_hand() -> None:
    found = figures([5, 3, 1], [4, 3, 3])
    assert found["rmse"] == pytest.approx((5 / 3) ** 0.5) and found["mae"] == pytest.approx(1) and found["auc"] == 1
    assert found["rmse_ci"][0] <= found["rmse"] <= found["rmse_ci"][1] and found["n"] == 3


def test_rules_and_a_model_on_the_same_questions(data: Dataset) -> None:
    lm = Rates()
    found = predict_ratings(data, lm, shots=2, sample=20, history=3)
    systems = {row["system"]: row for row in found["rows"]}
    assert {row["n"] for row in found["rows"]} == {20} and len(systems) == 7
    assert systems["item mean"]["auc"] > 0.7 > systems["global mean"]["auc"] == 0.5
    assert systems["rates, 2 shots, expected"]["rmse"] > 0 and len(lm.asked) == 20
    prompt = lm.asked[0].messages
    assert len(prompt) == 6 and prompt[-1].text.count("\n") == 3 and prompt[-1].text.endswith(": ?")


def test_a_model_that_only_writes_is_read_as_text(data: Dataset) -> None:
    lm = Rates(*["4"] * 9, "no idea")
    lm.capabilities = frozenset({"generate"})  # type: ignore[misc]
    row = predict_ratings(data, lm, sample=10)["rows"][-1]
    assert row["system"] == "rates, 0 shots, written" and row["unread"] == 1


def test_what_cannot_be_asked_is_refused(data: Dataset) -> None:
    with pytest.raises(ConfigError, match="not enough ratings"):
        predict_ratings(data, Rates(), shots=10_000)
    with pytest.raises(CapabilityError, match="cannot tune"):
        predict_ratings(data, Rates(), tune=4)
    with pytest.raises(ConfigError, match="a regression head without examples"):
        predict_ratings(data, Rates(), regression=True)


def test_the_command_tunes_and_asks_a_model_in_a_folder(events: pl.DataFrame, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="pip install 'honeyguide[lm-torch]'")
    from tests.lm.tiny import write_tiny

    tiny = write_tiny(tmp_path / "tiny")
    events.rename({"label": "rating"}).write_parquet(tmp_path / "events.parquet")
    titles = pl.DataFrame({"item_id": range(30), "title": [f"Film {i} of many" for i in range(30)]})
    (tmp_path / "films").mkdir()
    events.rename({"label": "rating"}).write_parquet(tmp_path / "films" / "interactions.parquet")
    titles.write_parquet(tmp_path / "films" / "items.parquet")
    command = ["predict-ratings", str(tmp_path / "films"), "--model", f"transformers:{tiny}", "--history", "2"]
    done = CliRunner().invoke(app, [*command, "--tune", "8", "--sample", "12", "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    assert rows[-1]["system"].endswith("tuned on 8, likeliest") and rows[-1]["n"] == 12
    shown = CliRunner().invoke(app, [*command, "--sample", "4"])
    assert shown.exit_code == 0 and "biased MF" in shown.stdout
