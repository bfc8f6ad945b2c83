from __future__ import annotations

import pytest

from honeyguide.agent.preferences import Delta, Preferences, Want
from honeyguide.core.errors import ConfigError


def only(field: str, value: str) -> Want:
    return Want(True, True, "is", field, value, value)


def under(price: float) -> Want:
    return Want(True, True, "<", "price", price, f"under {price:g}")


def after(*deltas: Delta) -> Preferences:
    state = Preferences()
    for delta in deltas:
        state = state.after(delta)
    return state


def test_only_another_value_of_a_field_takes_the_place_of_the_first() -> None:
    state = after(Delta((only("language", "eng"), under(20))), Delta((only("language", "fre"),)))
    assert {i: w.value for i, w in state.wants.items()} == {"c1": "fre", "c2": 20}
    together = after(Delta((only("tags", "fantasy"), only("tags", "crime"))))
    assert len(together.wants) == 2, "said in one breath they are alternatives"


def test_another_category_begins_a_new_epoch_and_archives_what_was_said_of_the_old_one() -> None:
    state = after(Delta((only("category", "skin care"), under(20))), Delta((only("category", "makeup"),)))
    assert (state.epoch, [w.value for w in state.wants.values()]) == (1, ["makeup"])
    assert {w.value for w in state.archived.values()} == {"skin care", 20}
    assert state.standing("price") == "archived"
    again = state.after(Delta((only("category", "makeup"),)))
    assert again.epoch == 1, "the same category goes on"
    back = state.after(Delta(undo=True))
    assert len(back.wants) == 2 and not back.archived


def test_a_dropped_budget_is_not_a_budget_that_was_never_mentioned() -> None:
    state = after(Delta((under(20),)))
    assert (state.standing("price"), state.standing("brand")) == ("held", "not mentioned")
    dropped = state.after(Delta(retract=("c1",)))
    assert dropped.standing("price") == "dropped" and not dropped.wants
    assert dropped.after(Delta((under(30),))).standing("price") == "held"
    assert dropped.after(Delta((under(30),), ())).dropped == {}
    assert state.after(Delta(clear=True)).standing("price") == "dropped"


def test_a_free_text_said_again_in_other_words_keeps_its_id() -> None:
    one = Want(False, False, "about", "", "sad endings", "sad endings")
    two = Want(False, False, "about", "", "sad ending please", "sad ending please")
    other = Want(False, False, "about", "", "long battles", "long battles")
    assert list(after(Delta((one,)), Delta((two,))).wants.values()) == [two]
    assert list(after(Delta((one,)), Delta((other,))).wants) == ["c1", "c2"]


def test_ids_come_from_code_and_unknown_ones_change_nothing() -> None:
    state = after(Delta((under(20),)))
    assert state.after(Delta(retract=("c9", "price"))) is state
    assert list(state.after(Delta(retract=("c1",))).after(Delta((under(10),))).wants) == ["c2"]


def test_all_of_it_is_kept_and_read_back_also_from_before_there_were_epochs() -> None:
    state = after(Delta((only("category", "a"), under(20))), Delta((only("category", "b"),)), Delta(retract=("c1",)))
    assert Preferences.from_dict(state.to_dict()) == state
    old = {"wants": {}, "issued": 3, "earlier": []}
    assert Preferences.from_dict(old) == Preferences(issued=3)
    with pytest.raises(ConfigError):
        Preferences.from_dict({**old, "archived": {"c1": {"positive": 1}}})
