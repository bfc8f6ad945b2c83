from __future__ import annotations

from pathlib import Path

import pytest

import honeyguide as hg
from honeyguide.core.dataset import Dataset


def test_five_lines(books: Dataset, books_folder: Path) -> None:
    data = hg.load_data(books_folder)
    model = hg.model("floor").fit(data)
    requests = hg.requests_for(data, data.user_ids.values.head(2))
    found = model.recommend(requests, k=5)
    frame = hg.reasons(model, requests, found, data.items)
    assert frame.columns == ["request", "rank", "item_id", "title", "why", "verified"]
    assert frame.height == 10
    assert frame["why"].str.starts_with("because you read").mean() > 0.7  # type: ignore[operator]
    assert frame["item_id"].to_list() == data.item_ids.decode(found.items).to_list()


def test_a_log_without_a_split_gets_a_part_to_choose_on(books: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    whole = hg.load_data("goodbooks-mini", split="none")
    assert "valid" not in whole.parts
    hg.model("floor", normalisations=("row", "raw"), decays=(0.6,), mixes=(0.0,)).fit(whole)
    assert "no part valid" in caplog.text
    chosen = hg.model("floor", normalisations=("row", "raw"), decays=(0.6,), mixes=(0.0,)).fit(hg.with_valid(whole))
    assert len(chosen.report.search) == 2


def test_requests_use_the_parts_asked_for(books: Dataset) -> None:
    users = books.user_ids.values.head(3).to_list()
    whole, train = hg.requests_for(books, users), hg.requests_for(books, users, "train")
    assert (whole.histories.lengths - train.histories.lengths).tolist() == [2, 2, 2]
    assert whole.users is not None
    assert whole.users.tolist() == [0, 1, 2]
    with pytest.raises(hg.HoneyguideError, match="no user nobody"):
        hg.requests_for(books, ["nobody"])


def test_models_by_name_and_from_disk(books: Dataset, tmp_path: Path) -> None:
    hg.model("ease", regularization=20).fit(books).save(tmp_path)
    assert hg.load(tmp_path).name == "ease"
    with pytest.raises(hg.HoneyguideError, match="Did you mean ease"):
        hg.model("eas")


def test_every_public_name_is_there() -> None:
    for name in hg.__all__:
        assert getattr(hg, name) is not None
    assert set(hg.__all__) <= set(dir(hg))
    with pytest.raises(AttributeError):
        _ = hg.nothing
