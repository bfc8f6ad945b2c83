from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import torch

from honeyguide.core.artifact import Artifact
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ArtifactError, FitInterrupted
from honeyguide.core.fitting import FitOptions
from honeyguide.core.plugged import Plugged
from honeyguide.data.build import build, decoded
from honeyguide.graph import BipartiteGraph
from honeyguide.metrics.holdout import holdout_ndcg
from honeyguide.models.factor import pair_training
from honeyguide.models.graph.lightgcn import LightGCN
from honeyguide.models.registry import load_model, model_class
from honeyguide.plugins.lightgnn import LightGNN, lowest_gone
from honeyguide.plugins.lightgnn_parts import LightGNNConfig, Taught, Terms
from honeyguide.plugins.pruned_graph import Kept, PrunedGraph

SMALL: dict[str, Any] = {"dim": 8, "negatives": 30, "batch": 256, "epochs": 3, "patience": 3}
OWN: dict[str, Any] = {"runs": 2, "entry_rate": 0.4, "teacher_layers": 3, "links": 3, "nodes": 40, "triples": 200}


def make(**own: Any) -> Plugged:
    whole = model_class("lightgcn+lightgnn")(**SMALL, lightgnn={**OWN, **own})
    assert isinstance(whole, Plugged)
    return whole


@pytest.fixture(scope="module")
def model(data: Dataset) -> Plugged:
    return make().fit(data)


def graph_of(model: Plugged) -> PrunedGraph:
    return model.base.network.graph  # type: ignore[attr-defined,no-any-return]


def test_every_run_takes_its_share_and_what_is_gone_is_gone(model: Plugged) -> None:
    left = [(run["run"], run["edges"], run["entries"]) for run in model.report.search]
    assert [run for run, _, _ in left] == [0, 1, 2]
    for run, edges, entries in left:
        assert edges == pytest.approx(0.85**run, abs=1e-3) and entries == pytest.approx(0.6**run, abs=1e-3)
    graph = graph_of(model)
    assert graph.kept is not None
    assert graph.edge_product.upper.nnz == len(graph.weights) == graph.kept.edges.sum()  # not zeros that are stored
    assert model.plugins[0].kept == {"edges": left[-1][1], "entries": left[-1][2]}  # type: ignore[attr-defined]


def test_it_recommends_as_well_as_what_it_was_made_from(model: Plugged, data: Dataset) -> None:
    def quality(of: Any) -> float:
        return float(holdout_ndcg(of.score_histories, data.histories("train", "valid"), data.histories("test")).mean())

    assert quality(model) > max(0.45, 0.9 * quality(LightGCN(**SMALL).fit(data)))  # by chance .5 of a circle's items


def test_items_are_stored_without_what_was_pruned(model: Plugged, data: Dataset, tmp_path: Path) -> None:
    kept = graph_of(model).kept
    assert kept is not None
    arrays, _ = model._state()
    for table in ("inward", "outward"):
        assert len(arrays[f"model.{table}.data"]) <= kept.items.sum() < kept.items.size
        assert arrays[f"model.{table}.columns"].dtype == np.uint8
    np.testing.assert_array_equal(model.item_vectors()[~kept.items], 0)
    model.save(tmp_path)
    loaded = load_model(tmp_path)
    assert isinstance(loaded, Plugged)
    np.testing.assert_array_equal(loaded.item_vectors(), model.item_vectors())
    assert loaded.plugins[0].kept == model.plugins[0].kept  # type: ignore[attr-defined]


def test_a_damaged_sparse_table_is_refused(model: Plugged) -> None:
    arrays, meta = model._state()
    arrays = {**arrays, "model.inward.columns": arrays["model.inward.columns"] + np.uint8(200)}
    content = {"model": model.name, "config": model.config.model_dump(), "state": meta, "report": {}}
    items = pl.DataFrame({"item_id": model.item_ids.values})  # type: ignore[union-attr]
    with pytest.raises(ArtifactError):
        type(model).from_artifact(Artifact("model", content, arrays, {"items": items}))


def test_test_is_never_read(model: Plugged, data: Dataset) -> None:
    """The released loop chooses epochs by test; here other test items change nothing."""
    frame = decoded(data)
    other = frame.with_columns(
        item_id=pl.when(pl.col("split") == "test").then((pl.col("item_id") + 5) % 48).otherwise("item_id")
    )
    again = make().fit(build("circles", other))
    np.testing.assert_array_equal(again.item_vectors(), model.item_vectors())


def test_a_run_starts_from_the_masks_the_best_vectors_and_fresh_weights(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    ended: list[tuple[torch.Tensor, torch.Tensor]] = []
    inner = LightGNN.on_start

    def watched(self: LightGNN, network: Any) -> None:
        inner(self, network)
        started.append(tuple(p.detach().clone() for p in (network.users, network.items, network.graph.weights)))  # type: ignore[arg-type]

    monkeypatch.setattr(LightGNN, "on_start", watched)
    model = make()

    def after(entry: dict[str, Any]) -> None:
        network = model.base.network  # type: ignore[attr-defined]
        ended.append((network.users.detach().clone(), network.graph.weights.detach().clone()))

    model.fit(data, FitOptions(on_trial=after))
    students = started[2:]  # behind the teacher and the intermediate
    assert len(students) == len(ended) == 3
    for (users, _, weights), (before, _) in zip(students[1:], ended, strict=False):
        assert torch.equal(users, before)
        assert torch.equal(weights, torch.ones_like(weights))
    assert all((weights != 1).any() for _, weights in ended)


def test_the_lowest_go_and_nothing_comes_back() -> None:
    scores = np.array([[0.5, 0.1], [0.9, 0.2], [0.0, 0.3]], np.float32)
    kept = np.array([[True, True], [True, True], [False, True]])
    left = lowest_gone(scores, kept, 0.4)  # two of five, over the whole table
    assert left.tolist() == [[True, False], [True, False], [False, True]]
    assert lowest_gone(scores, kept, 0.0).tolist() == kept.tolist()


def test_what_the_intermediate_says_counts(data: Dataset) -> None:
    ways = [
        make(runs=1, evidence=e, similarity=s, prune=p)
        for e, s, p in ((1, 1, "score"), (0, 0, "score"), (1, 1, "random"))
    ]
    teachers = None
    left = []
    for way in ways:
        way.plugins[0].given = teachers  # type: ignore[attr-defined]
        way.fit(data)
        teachers = way.plugins[0].teachers  # type: ignore[attr-defined]
        left.append(graph_of(way).kept)
    assert len({kept.edges.sum() for kept in left if kept is not None}) == 1
    assert len({kept.edges.tobytes() for kept in left if kept is not None}) == 3


def tiny_graph(learnt: bool = False, kept: Kept | None = None) -> PrunedGraph:
    return PrunedGraph(BipartiteGraph(sp.csr_matrix(np.ones((3, 4), np.float32))), learnt=learnt, kept=kept)


def taught_by(graph: PrunedGraph, layers: int = 3) -> Taught:
    torch.manual_seed(0)
    network: Any = SimpleNamespace(graph=graph, users=torch.randn(3, 2), items=torch.randn(4, 2))
    return Taught.of(network, layers)


def test_only_high_layers_are_handed_on_as_vectors() -> None:
    graph = tiny_graph()
    taught = taught_by(graph)
    torch.manual_seed(0)
    start = torch.randn(3, 2), torch.randn(4, 2)
    layers = [graph.propagate(*start, n, "last")[0] for n in range(4)]
    torch.testing.assert_close(taught.users, layers[0] + layers[1] + layers[2] + layers[3])
    torch.testing.assert_close(taught.high_users, layers[2] + layers[3])
    torch.testing.assert_close(taught_by(graph, 1).high_users, layers[1])  # too shallow to have any: the last
    assert not taught.users.requires_grad


NONE = {"distillation": 0.0, "embedding": 0.0, "spread": 0.0, "subspace": 0.0, "edge_regularization": 0.0}
BATCH = torch.tensor([0, 1, 2, 0]), torch.tensor([3, 2, 1, 0])


def terms(run: int = 0, cosine: bool = False, **weights: float) -> torch.Tensor:
    mask = np.array([[True, False]])
    kept = Kept(np.ones(12, bool), np.repeat(mask, 3, 0), np.repeat(mask, 4, 0))
    graph = tiny_graph(learnt=True, kept=kept)
    taught = taught_by(tiny_graph())
    torch.manual_seed(1)
    graph.propagate(torch.randn(3, 2), torch.randn(4, 2), 2)
    config = LightGNNConfig(**{**NONE, **weights}, nodes=8, triples=50)
    torch.manual_seed(2)
    return Terms(config, taught, cosine, run)(BATCH, graph)


@pytest.mark.parametrize("name", ["distillation", "embedding", "spread", "edge_regularization"])
@pytest.mark.parametrize("cosine", [True, False])
def test_terms_are_weighed_and_added(name: str, cosine: bool) -> None:
    assert terms(cosine=cosine).item() == 0
    one = terms(cosine=cosine, **{name: 1.0}).item()
    assert one != 0 and terms(cosine=cosine, **{name: 3.0}).item() == pytest.approx(3 * one, rel=1e-5)


def test_uniformity_is_that_of_four_pairings() -> None:
    graph = tiny_graph(learnt=True)
    torch.manual_seed(1)
    users, items = graph.propagate(torch.randn(3, 2), torch.randn(4, 2), 2)
    u, i = users[BATCH[0]], items[BATCH[1]]
    expected = sum(((a @ v.T).exp().mean(1)).log().mean() for a in (u, i) for v in (users, items))
    config = LightGNNConfig(**{**NONE, "spread": 1.0}, nodes=8)
    found = Terms(config, taught_by(tiny_graph()), cosine=False)(BATCH, graph)
    torch.testing.assert_close(found, expected)


def test_subspaces_are_contrasted_in_runs_two_to_thirteen_with_the_slack_of_the_run() -> None:
    values = {run: terms(run, subspace=1.0, slack=0.0).item() for run in (0, 1, 2, 13, 14)}  # type: ignore[arg-type]
    assert values[0] == values[1] == values[14] == 0
    assert values[2] == values[13] == pytest.approx(0, abs=1e-6)  # one subspace for all: all are positives
    assert [LightGNNConfig(slack=(0.5, 0.25)).slack_of(run) for run in (2, 3, 4)] == [0.5, 0.25, 0.25]


def test_interrupted_and_resumed_is_uninterrupted(
    model: Plugged, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, judge = 0, pair_training.holdout_ndcg

    def interrupted(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 11:  # two teachers and a student of three epochs each, and one epoch of the first pruned one
            raise KeyboardInterrupt
        return judge(*given, **named)

    monkeypatch.setattr(pair_training, "holdout_ndcg", interrupted)
    with pytest.raises(FitInterrupted):
        make().fit(data, FitOptions(checkpoint=tmp_path))
    resumed = make().fit(data, FitOptions(checkpoint=tmp_path, resume=True))
    np.testing.assert_array_equal(resumed.item_vectors(), model.item_vectors())
    assert calls < 11 + 6  # what was finished is not trained again
