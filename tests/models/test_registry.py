from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honeyguide as hg
from honeyguide.core.dataset import Dataset
from honeyguide.core.errors import ConfigError, UnknownNameError
from honeyguide.core.plugin import Plugin, PluginConfig
from honeyguide.models import registry


class DampConfig(PluginConfig):
    by: float = 0.5


class Damp(Plugin):
    """Scores at a share of their height."""

    name = "damp"
    Config = DampConfig
    config: DampConfig

    def adjust_scores(self, requests: Any, states: Any, scores: Any) -> Any:
        return scores * self.config.by


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OWN", {})


@pytest.mark.usefixtures("own")
def test_a_plug_in_of_ones_own_is_loaded_once_it_is_registered(books: Dataset, tmp_path: Path) -> None:
    model = hg.model("itemknn").plug(Damp(by=0.25)).fit(books)
    model.save(tmp_path)
    with pytest.raises(UnknownNameError, match="no plug-in named 'damp'") as caught:
        hg.load(tmp_path)
    assert "honeyguide.register_plugin" in caught.value.remedy
    assert hg.register_plugin(Damp) is Damp
    asked = books.histories("train").take(np.arange(3))
    np.testing.assert_array_equal(hg.load(tmp_path).score_histories(asked), model.score_histories(asked))
    named = hg.model("itemknn+damp", damp={"by": 0.25}).fit(books)
    np.testing.assert_array_equal(named.score_histories(asked), model.score_histories(asked))


@pytest.mark.usefixtures("own")
def test_only_plug_ins_with_names_of_their_own_are_registered() -> None:
    nameless = type("Nameless", (Plugin,), {"name": "Not a name"})
    for wrong in (nameless, int, Damp()):
        with pytest.raises(ConfigError, match="is no plug-in with a name"):
            hg.register_plugin(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'vat' is the name of a plug-in of honeyguide"):
        hg.register_plugin(type("Mine", (Plugin,), {"name": "vat"}))


@pytest.mark.usefixtures("own")
def test_an_installed_package_brings_plug_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "damp"

        def load(self) -> type[Plugin]:
            return Damp

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()] if group == "honeyguide.plugins" else [])
    assert registry.plugin_class("damp") is Damp


def test_models_and_plug_ins_that_change_places_are_told_so() -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.model_class("vat")
    assert caught.value.remedy == "vat is a plug-in: it stands behind a model, as in sasrec+vat."
    with pytest.raises(UnknownNameError) as caught:
        registry.model_class("itemknn+mf")
    assert "mf is a model" in caught.value.remedy
