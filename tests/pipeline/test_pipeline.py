from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, DataError, HoneyguideError
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.models.linear.ials import IALS
from honeyguide.pipeline.asked import Asked, Pool
from honeyguide.pipeline.config import PipelineConfig, Rank, read_pipeline
from honeyguide.pipeline.diversify import dpp, mmr, spread
from honeyguide.pipeline.pipeline import Pipeline, PipelineFile, request_rules
from honeyguide.pipeline.retrieve import rank
from honeyguide.pipeline.stock import Stock

NOBODY = np.empty(0, np.int32)


@pytest.fixture(scope="module")
def stock(books: Dataset) -> Stock:
    model = IALS(factors=16, iterations=4).fit(books)
    years = 1900 + np.arange(books.n_items) % 120
    genres = [["crime", "drama"] if i % 3 == 0 else ["comedy"] for i in range(books.n_items)]
    table = books.items.with_columns(year=pl.Series(years), genres=pl.Series(genres))
    return Stock(model, table, books.popularity("train"), encoder="use")


@pytest.fixture(scope="module")
def history(books: Dataset) -> np.ndarray:
    return books.histories("train", "valid")[5]


def ask(stock: Stock, history: np.ndarray, **more: object) -> Asked:
    return Asked(stock, history, np.unique(history), **more)  # type: ignore[arg-type]


def pipeline(stock: Stock, **options: object) -> Pipeline:
    return Pipeline(PipelineConfig.model_validate(options), stock)


def test_by_default_it_is_the_model(stock: Stock, history: np.ndarray) -> None:
    order = pipeline(stock).run(ask(stock, history))
    plain = stock.model.recommend(Requests(Ragged.from_lists([history])), 200)
    np.testing.assert_array_equal(order.items, plain.items[0])
    first, _ = order.page(0, 10)
    second, _ = order.page(1, 10)
    np.testing.assert_array_equal(np.concatenate([first, second]), plain.items[0][:20])
    assert len(order.page(20, 10)[0]) == 0


def test_a_filter_holds_everywhere_and_never_leaves_a_page_short(stock: Stock, history: np.ndarray) -> None:
    every = [{"source": s, "n": 20} for s in ("model", "similar", "popular", "text")]
    whole = pipeline(stock, retrieve=[*every, {"source": "latest", "by": "year", "n": 5}])
    order = whole.run(ask(stock, history, rules=request_rules(["genres contains Crime", "year < 1960"])))
    may = stock.mask("genres contains crime and year < 1960")
    assert len(order.items) >= 20 and may[order.items].all()
    assert len(set(order.items.tolist())) == len(order.items) and not set(order.items) & set(history)
    assert order.trace[0].stage == "filter" and order.trace[0].after == int(may.sum()) - int(
        may[np.unique(history)].sum()
    )


def test_sources_say_what_they_are(stock: Stock, history: np.ndarray) -> None:
    popular = pipeline(stock, retrieve=[{"source": "popular", "n": 3}]).run(ask(stock, NOBODY))
    assert set(popular.items) == set(np.argsort(-stock.popularity, kind="stable")[:3])
    latest = pipeline(stock, retrieve=[{"source": "latest", "by": "year", "n": 4}]).run(ask(stock, NOBODY))
    assert (stock.items["year"].to_numpy()[latest.items] == 2019).sum() >= 3
    similar = pipeline(stock, retrieve=[{"source": "similar", "n": 5, "last": 1}]).run(ask(stock, history))
    own = stock.model.similar(history[-1:], 5).items[0]
    assert set(similar.items) <= set(own)
    title = str(stock.items["title"][7])
    found = pipeline(stock, retrieve=[{"source": "text", "n": 3}], rank={"by": "fusion"})
    assert found.run(ask(stock, NOBODY, query=title)).items[0] == 7


def test_reciprocal_rank_fusion_by_hand(stock: Stock) -> None:
    sources = {"a": np.array([3, 1], np.int32), "b": np.array([1, 2], np.int32)}
    pool = rank(ask(stock, NOBODY), sources, Rank(by="fusion"))
    assert pool.items.tolist() == [1, 3, 2]
    np.testing.assert_allclose(pool.scores, [1 / 62 + 1 / 61, 1 / 61, 1 / 62], rtol=1e-6)


def test_a_boost_moves_by_standard_deviations(stock: Stock, history: np.ndarray) -> None:
    plain = pipeline(stock).run(ask(stock, history))
    rules = [{"boost": "genres contains comedy", "weight": 2.0}]
    boosted = pipeline(stock, rules=rules).run(ask(stock, history))
    comedy = stock.mask("genres contains comedy")
    assert set(plain.items) == set(boosted.items)
    before = dict(zip(plain.items.tolist(), plain.scores.tolist(), strict=True))
    unit = float(plain.scores.std())
    for item, score in zip(boosted.items.tolist(), boosted.scores.tolist(), strict=True):
        assert score == pytest.approx(before[item] + 2 * unit * comedy[item], rel=1e-4, abs=1e-5)
    assert comedy[boosted.items[:10]].sum() > comedy[plain.items[:10]].sum()


def test_pins_stand_where_they_are_put_but_do_not_come_back(stock: Stock, history: np.ndarray) -> None:
    names = stock.ids.decode(np.array([3, 9], np.int32)).to_list()
    rules = [{"pin": names, "position": 2}, {"filter": "year < 1901"}]
    model = pipeline(stock, rules=rules)
    order = model.run(ask(stock, NOBODY))
    assert order.items[1:3].tolist() == [3, 9]
    assert model.run(ask(stock, np.array([3], np.int32))).items[1] == 9
    with pytest.raises(ConfigError, match="'no-such' is not in the catalogue"):
        pipeline(stock, rules=[{"pin": ["no-such"]}])


def test_rules_hold_in_their_scenario(stock: Stock, history: np.ndarray) -> None:
    model = pipeline(stock, rules=[{"filter": "year < 1910", "scenario": ["old"]}])
    years = stock.items["year"].to_numpy()
    assert (years[model.run(ask(stock, history, scenario="old")).items] < 1910).all()
    assert not (years[model.run(ask(stock, history)).items] < 1910).all()


@pytest.mark.parametrize("method", ["mmr", "dpp"])
@pytest.mark.parametrize("by", ["model", "text"])
def test_variety_makes_a_page_less_alike_and_keeps_the_candidates(
    stock: Stock, history: np.ndarray, method: str, by: str
) -> None:
    plain = pipeline(stock).run(ask(stock, history))
    varied = pipeline(stock, diversify={"method": method, "by": by, "weight": 0.7}).run(ask(stock, history))
    assert set(varied.items) == set(plain.items)
    effect = varied.trace[-1].effect
    assert effect["likeness_after"] < effect["likeness_before"]
    np.testing.assert_array_equal(varied.items[50:], [i for i in plain.items if i not in set(varied.items[:50])])


def test_mmr_by_hand() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    relevance = np.array([1.0, 0.9, 0.5], np.float32)
    assert mmr(relevance, vectors, 3, 0.5).tolist() == [0, 2, 1]
    assert mmr(relevance, vectors, 3, 0.0).tolist() == [0, 1, 2]


def test_dpp_maximises_the_determinant_greedily() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((8, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    relevance = rng.random(8).astype(np.float32)
    weight = 0.6
    quality = np.exp((1 - weight) / (2 * weight) * relevance.astype(np.float64))
    kernel = quality[:, None] * (1 + vectors @ vectors.T) / 2 * quality[None]
    chosen: list[int] = []
    for _ in range(4):
        rest = [i for i in range(8) if i not in chosen]
        chosen.append(max(rest, key=lambda i: float(np.linalg.slogdet(kernel[np.ix_([*chosen, i], [*chosen, i])])[1])))
    assert dpp(relevance, vectors, 4, weight).tolist() == chosen
    same = np.ones((4, 2), np.float32) / np.sqrt(2)
    assert dpp(np.array([0.1, 0.4, 0.3, 0.2], np.float32), same.astype(np.float32), 4, 0.5).tolist() == [1, 2, 3, 0]


def test_scores_are_spread() -> None:
    np.testing.assert_allclose(spread(np.array([2.0, -np.inf, 4.0], np.float32)), [0.0, 0.0, 1.0])
    np.testing.assert_allclose(spread(np.array([2.0, 2.0], np.float32)), 1.0)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("page = 0", "page: input should be greater"),
        ("pages = 1", "pages: there is no such key"),
        ('[[rules]]\nfilter = "year < 1"\nboost = "year < 1"', "exactly one of filter, boost and pin"),
        ("[[rules]]\nweight = 2.0", "exactly one"),
        ('[[retrieve]]\nsource = "popular"\nby = "year"', "only the source 'latest'"),
        ('[[retrieve]]\nsource = "magic"', "retrieve.0.source"),
        ('[diversify]\nscenario = ["front page"]', "scenario.0: .* name is made of letters, digits"),
        ("page = ", "is not TOML"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=match) as caught:
        read_pipeline(path)
    assert "pipeline.toml" in str(caught.value)


def test_rules_that_do_not_fit_the_table_are_refused(stock: Stock) -> None:
    with pytest.raises(DataError, match="'price'"):
        pipeline(stock, rules=[{"filter": "price < 3"}])
    with pytest.raises(DataError, match="'title' of numbers"):
        pipeline(stock, retrieve=[{"source": "latest", "by": "title"}])


def test_a_changed_file_is_taken_and_a_broken_one_is_not(stock: Stock, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text("page = 5")
    file = PipelineFile(path, stock, look_every=0.0)
    assert file.current.config.page == 5
    path.write_text("page = 7 # longer")
    assert file.current.config.page == 7 and file.fault is None
    path.write_text("page = 'seven and more'")
    assert file.current.config.page == 7
    assert isinstance(file.fault, HoneyguideError)
    path.write_text("page = 8")
    os.utime(path, ns=(1, 1))
    assert file.current.config.page == 8 and file.fault is None


def test_candidates_can_be_taken_and_ranked() -> None:
    pool = Pool(np.array([4, 2, 9], np.int32), np.array([3.0, 2.0, 1.0], np.float32))
    assert pool.ranked(np.array([1.0, 5.0, 5.0], np.float32)).items.tolist() == [2, 9, 4]
    assert pool.take(np.array([2, 0])).items.tolist() == [9, 4] and len(pool) == 3


def test_nothing_that_may_be_shown_is_an_empty_page(stock: Stock, history: np.ndarray) -> None:
    order = pipeline(stock, diversify={"method": "mmr"}, rules=[{"boost": "year > 1"}]).run(
        ask(stock, history, rules=request_rules(["year > 3000"]))
    )
    assert len(order.items) == 0 and len(order.page(0, 10)[0]) == 0
