from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.contract.conftest import QUICK
from tests.contract.test_plugins import backbones

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import CapabilityError, ConfigError, DataError, FitInterrupted, NotFittedError
from honeyguide.core.fitting import FitOptions
from honeyguide.core.ragged import Ragged
from honeyguide.data.attacks import TABLE, fake_users, unpopular_items
from honeyguide.experiment.attacks import attack
from honeyguide.metrics.predictive import auc
from honeyguide.models.registry import load_model, model_class
from honeyguide.nn.forward import Forward
from honeyguide.plugins import lorec, user_weights
from honeyguide.plugins.lorec import LoRec

SASREC = {"dim": 16, "blocks": 1, "heads": 1, "max_len": 30, "epochs": 6, "batch_tokens": 512, "lr": 5e-3, "warmup": 10}
OWN = {"since": 1, "start": 4, "logit": 0.5, "max_len": 15, "batch": 128, "likeness": 0.0}  # two flags bite


@pytest.fixture(scope="module")
def attacked(books: Dataset) -> Dataset:
    return attack(books, "random", unpopular_items(books, 3), share=0.04, each=3, seed=1)


def make(**own: Any) -> Any:
    return model_class("sasrec+lorec")(**SASREC, lorec={**OWN, **own})


@pytest.fixture(scope="module")
def fitted(attacked: Dataset) -> Any:
    return make(families=("bandwagon", "segment")).fit(attacked)


def test_fakes_of_a_family_that_it_never_made_up_are_suspected(fitted: Any, attacked: Dataset) -> None:
    table = fitted.plugins[0].suspects()
    fake = fake_users(attacked)[attacked.user_ids.encode(table["user_id"])]
    assert table.height == (attacked.histories("train").lengths >= 2).sum()
    assert auc(fake.astype(np.float64), table["suspicion"].to_numpy()) > 0.7
    assert table["flagged"].to_numpy()[fake].mean() > table["flagged"].to_numpy()[~fake].mean() + 0.5
    assert table["weight"].is_sorted() and table["weight"].is_between(0, 1).all()


def test_who_is_a_fake_is_never_read(fitted: Any, attacked: Dataset) -> None:
    """The trap of a calibrator that is trained on the answer."""
    blind = replace(attacked, extras={name: t for name, t in attacked.extras.items() if name != TABLE})
    again = make(families=("bandwagon", "segment")).fit(blind)
    np.testing.assert_array_equal(again.item_vectors(), fitted.item_vectors())
    assert again.plugins[0].suspects().equals(fitted.plugins[0].suspects())


def test_before_the_start_the_model_trains_as_without_bit_for_bit(fitted: Any, attacked: Dataset) -> None:
    """The trap: the calibrator reads the model in evaluation mode, without a gradient and with random numbers of its
    own, and nobody is weighed yet."""
    plain = model_class("sasrec")(**SASREC).fit(attacked)
    figures = [[(e["loss"], e["valid_ndcg@10"]) for e in m.report.curve] for m in (plain, fitted)]
    assert figures[0][:4] == figures[1][:4] and figures[0][5] != figures[1][5]


def test_interrupted_and_resumed_is_uninterrupted(fitted: Any, attacked: Dataset, tmp_path: Path) -> None:
    """Trust, the calibrator and its optimiser are in the checkpoint."""
    seen = []

    def stop(entry: dict[str, float]) -> None:
        seen.append(entry)
        if len(seen) == 5:
            raise KeyboardInterrupt

    families = ("bandwagon", "segment")
    with pytest.raises(FitInterrupted):
        make(families=families).fit(attacked, FitOptions(checkpoint=tmp_path, on_epoch=stop))
    resumed = make(families=families).fit(attacked, FitOptions(checkpoint=tmp_path, resume=True))
    np.testing.assert_array_equal(resumed.item_vectors(), fitted.item_vectors())
    assert resumed.plugins[0].suspects().equals(fitted.plugins[0].suspects())
    assert resumed.plugins[0].rounds == fitted.plugins[0].rounds


def test_patience_counts_from_the_start_and_earlier_epochs_are_not_kept(attacked: Dataset) -> None:
    model = model_class("sasrec+lorec")(**{**SASREC, "lr": 1e-9, "patience": 1}, lorec=OWN).fit(attacked)
    assert len(model.report.curve) == 6  # nothing is learnt: epoch 5 is the first that counts, and one more is waited
    assert LoRec(start=7).keeps_from() == 7


def test_a_round_that_was_not_ready_is_tried_again_after_the_next_epoch(
    attacked: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_weights, "MOST", 0.0)
    model = make(every=3).fit(attacked)
    assert [r["epoch"] for r in model.plugins[0].rounds] == [3, 4, 5, 6]
    assert all(r["flagged"] == 0 for r in model.plugins[0].rounds)
    monkeypatch.setattr(user_weights, "MOST", 1.0)
    assert [r["epoch"] for r in make(every=2).fit(attacked).plugins[0].rounds] == [2, 4, 6]


def test_what_examples_weigh() -> None:
    plugin = LoRec()
    users = torch.tensor([0, 2, -1])
    found = Forward(users, users, (), (), lambda vectors, weights: (torch.tensor(0.0), torch.zeros(3)))
    assert plugin.weights(found) is None
    plugin.current = torch.tensor([1.0, 0.7, 0.2])
    weights = plugin.weights(found)
    assert weights is not None and weights.relevance is None and weights.loss is not None
    torch.testing.assert_close(weights.loss, torch.tensor([1.0, 0.2, 1.0]))  # nobody that is known weighs 1


def test_no_artifact_knows_a_user(fitted: Any, attacked: Dataset, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded: Any = load_model(tmp_path)
    with pytest.raises(NotFittedError, match="not saved with a model"):
        loaded.plugins[0].suspects()
    histories = attacked.histories("train").take(slice(0, 20))
    scores = fitted.plugins[0].suspicion(histories)
    np.testing.assert_array_equal(loaded.plugins[0].suspicion(histories), scores)
    assert loaded.plugins[0].rounds == fitted.plugins[0].rounds
    plugin = fitted.plugins[0]
    assert not len(plugin.users) and plugin.texts is None and plugin.current is None and not len(plugin.trust.logits)
    assert not len(plugin.histories) and not len(plugin.fakes)
    assert np.isnan(plugin.suspicion(Ragged.from_lists([np.empty(0, np.int32)]))).all()


def test_the_table_is_written_where_one_asks(attacked: Dataset, tmp_path: Path) -> None:
    model = make(report=tmp_path / "suspects.csv").fit(attacked)
    written = pl.read_csv(tmp_path / "suspects.csv")
    assert written.columns == ["user_id", "suspicion", "weight", "flagged", "last"]
    assert written["flagged"].to_list() == model.plugins[0].suspects()["flagged"].to_list()


def test_without_the_cosine_no_text_is_read(books: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lorec, "titles_of_users", lambda *_: pytest.fail("a text was read"))
    untitled = replace(books, items=books.items.select("item_id"))
    model = make().fit(untitled)
    assert "text.0.weight" not in model.plugins[0].state()[0]


def test_without_titles_it_is_refused_before_training(books: Dataset) -> None:
    untitled = replace(books, items=books.items.select("item_id"))
    with pytest.raises(DataError, match="no column of words"):
        make(likeness=1.0, encoder="use").fit(untitled)


def test_a_language_model_may_read_the_titles(attacked: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="pip install 'honeyguide[lm-torch]'")
    from tests.lm.tiny import write_tiny

    few = replace(attacked, interactions=attacked.interactions.filter(pl.col("user") < 60))
    folder = write_tiny(tmp_path / "lm")
    plugin = LoRec(**{**OWN, "likeness": 1.0, "lm": str(folder), "titles": 3})
    plugin.bind(model_class("sasrec")(**SASREC))
    plugin.transform(few)
    assert plugin.texts is not None and plugin.texts.shape == (len(plugin.users) + len(plugin.fakes), 32)
    torch.testing.assert_close(plugin.texts.mean(0), torch.zeros(32), atol=1e-4, rtol=0)


def test_what_cannot_be_is_refused_before_training(attacked: Dataset) -> None:
    with pytest.raises(ConfigError, match="nobody is weighed"):
        make(start=6)
    with pytest.raises(ConfigError, match="since"):
        make(since=4)
    with pytest.raises(CapabilityError, match="positions"):
        model_class("bert4rec+lorec")
    with pytest.raises(ConfigError, match="divisor"):
        make(heads=5).fit(attacked)


@pytest.mark.full
@pytest.mark.parametrize("name", backbones("lorec"))
def test_it_runs_over_every_model_that_has_what_it_needs(name: str, attacked: Dataset) -> None:
    options = {"since": 1, "start": 3, "max_len": 10, "likeness": 0.0}
    model: Any = model_class(f"{name}+lorec")(**QUICK.get(name, {}), lorec=options).fit(attacked)
    table = model.plugins[0].suspects()
    assert len(model.plugins[0].rounds) >= 3 and table["suspicion"].is_between(0, 1).all()
