from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from honeyguide.nn.adapters import Adapters, FrequencyFilter, ItemAdapter, Residual, UserAdapter


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("length", [1, 4, 5])
def test_a_filter_is_a_circular_convolution_along_the_list(length: int) -> None:
    layer, x = FrequencyFilter(length, 3, 0.0).eval(), torch.randn(2, length, 3)
    kernel = torch.randn(length, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.view_as_real(torch.fft.rfft(kernel, dim=0)))
    turned = [torch.roll(kernel.flip(0), i + 1, 0) for i in range(length)]  # kernel[i - j] over j
    expected = torch.stack([(x * k).sum(1) for k in turned], 1)
    torch.testing.assert_close(layer(x), F.layer_norm(expected + x, (3,)))


def test_events_look_at_every_earlier_round_by_the_published_formula() -> None:
    table, codes = torch.randn(9, 4), [torch.tensor([[0, 5]]), torch.tensor([[7, 2]])]
    adapter = ItemAdapter(2, 4, 0.0, filtered=False, normalised=True).eval()
    events = torch.randn(1, 3, 4)
    s = table[[0, 5, 7, 2]]
    a = torch.softmax(events[0] @ s.T / 2, -1) @ s  # sqrt(d) = 2
    found = adapter(events, [adapter.context(c, table) for c in codes])
    torch.testing.assert_close(found[0], F.layer_norm(a + events[0], (4,)))


def test_places_that_found_nothing_are_not_looked_at() -> None:
    table = torch.randn(9, 4)
    adapter = ItemAdapter(3, 4, 0.0, filtered=False, normalised=True).eval()
    events = torch.randn(1, 2, 4)
    short = adapter(events, [adapter.context(torch.tensor([[3, 8, -1]]), table)])
    torch.testing.assert_close(short, adapter(events, [adapter.context(torch.tensor([[3, 8]]), table)]))
    nothing = adapter(events, [adapter.context(torch.tensor([[-1, -1, -1]]), table)])
    torch.testing.assert_close(nothing, F.layer_norm(events, (4,)))


def test_a_state_is_changed_by_those_before_it_in_their_order() -> None:
    adapter = UserAdapter(4, 0.0, normalised=True).eval()
    state, first, second = torch.randn(3, 2, 4)
    memory = adapter.gru(torch.stack([first, second], 1))[0][:, -1]
    hidden = torch.relu(torch.cat([state, memory], 1) @ adapter.wide.weight.T + adapter.wide.bias)
    expected = F.layer_norm(hidden @ adapter.narrow.weight.T + adapter.narrow.bias + state, (4,))
    torch.testing.assert_close(adapter(state, adapter.remember(second, adapter.remember(first, None))), expected)
    swapped = adapter.remember(first, adapter.remember(second, None))
    assert not torch.allclose(adapter(state, swapped), expected)


def test_adapters_start_without_effect_or_at_the_scale_of_the_backbone() -> None:
    x, base = torch.randn(5, 4), torch.randn(5, 4)
    torch.testing.assert_close(Residual(4, 0.5, normalised=False)(x, base), base)
    parts = {"items": True, "users": True, "filtered": True}
    normalised = Adapters(4, 64, 0.0, **parts, normalised=True)
    normalised.start(0.3, 2.0)
    assert normalised.items is not None and normalised.users is not None
    events, states = 0.3 * torch.randn(50, 3, 64), 2 * torch.randn(50, 64)
    table = 0.3 * torch.randn(20, 64)
    context = normalised.items.context(torch.randint(20, (50, 4)), table)
    adapted = [normalised.items(events, [context]), normalised.users(states, normalised.users.remember(states, None))]
    assert [round(float(y.pow(2).mean().sqrt()), 2) for y in adapted] == [0.3, 2.0]
    zero = Adapters(4, 64, 0.0, **parts, normalised=False)
    zero.start(0.3, 2.0)
    assert zero.items is not None
    np.testing.assert_array_equal(zero.items(events, [context]).detach(), events)
