from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from honeyguide.core.ragged import Ragged
from honeyguide.nn.calibrator import Calibrator, Events, calibration_loss, shuffled, suspicion

CPU = torch.device("cpu")
READ = Ragged.from_lists([np.array(row, np.int32) for row in ([0, 2], [1], [2, 1, 0, 1, 2, 0], [])])


@pytest.fixture
def events() -> Events:
    torch.manual_seed(0)
    return Events(torch.randn(9, 4), READ.offsets)


@pytest.fixture
def calibrator() -> Calibrator:
    torch.manual_seed(1)
    return Calibrator(4, 3, 8)


def test_a_token_is_an_item_and_what_the_model_made_of_it() -> None:
    items = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 3.0]], np.float32)
    states = np.arange(18, dtype=np.float32).reshape(9, 2)
    own = items[READ.values] / np.sqrt(np.square(items[READ.values]).mean())
    after = Events.of(items, states, READ, CPU, before=False)
    torch.testing.assert_close(after.vectors[:, :2], torch.from_numpy(own))
    torch.testing.assert_close(after.vectors[:, 2:], torch.from_numpy(states / np.sqrt(np.square(states).mean())))
    before = Events.of(items, states, READ, CPU).vectors[:, 2:]
    moved = np.array([[0, 0], [0, 1], [0, 0], [0, 0], [6, 7], [8, 9], [10, 11], [12, 13], [14, 15]], np.float32)
    torch.testing.assert_close(before, torch.from_numpy(moved / np.sqrt(np.square(moved).mean())))  # nobody's neighbour
    assert len(after) == 4


def test_padding_changes_nothing(events: Events, calibrator: Calibrator) -> None:
    """The trap: a state of padding that takes part in the summary would tell short sequences from long ones."""
    calibrator.eval()
    alone = [calibrator([events.batch(np.array([row]))]) for row in range(3)]
    together = calibrator([events.batch(np.arange(3))])
    torch.testing.assert_close(together[0], torch.cat([x for x, _ in alone]))
    torch.testing.assert_close(together[1], torch.cat([c for _, c in alone]))
    vectors, real = events.batch(np.arange(3))
    torch.testing.assert_close(calibrator([(vectors + 9 * ~real[..., None], real)])[0], together[0])


def test_groups_are_the_batch_in_another_order(events: Events, calibrator: Calibrator) -> None:
    calibrator.eval()
    order, groups = events.groups(np.array([2, 0, 1]))
    assert len(groups) == 2 and groups[0][0].shape[1] == 2  # the two short ones together
    torch.testing.assert_close(calibrator(groups)[0], calibrator([events.batch(np.array([2, 0, 1])[order])])[0])


def test_the_loss_is_the_published_formula(events: Events, calibrator: Calibrator) -> None:
    calibrator.eval()
    groups, labels, z = [events.batch(np.arange(3))], torch.tensor([0.0, 1.0, 0.0]), torch.randn(3, 3)
    x, logits = calibrator(groups)
    c = torch.sigmoid(logits)
    assert calibrator.text is not None
    each = -(labels * c.log() + (1 - labels) * (1 - c).log())
    each = each + 0.5 * (1 - labels) * -(c * c.log() + (1 - c) * (1 - c).log())
    each = each - 2.0 * F.cosine_similarity(x, F.gelu(calibrator.text[0](z)))
    torch.testing.assert_close(calibration_loss(calibrator, groups, labels, z, 0.5, 2.0), each.mean())


def test_entropy_is_that_of_users_alone(events: Events, calibrator: Calibrator) -> None:
    """The trap: a fake that is known to be one gets no help to be called a user."""
    calibrator.eval()
    groups = [events.batch(np.arange(3))]

    def entropy(labels: torch.Tensor) -> torch.Tensor:
        with_, without = (calibration_loss(calibrator, groups, labels, None, weight, 0.0) for weight in (1.0, 0.0))
        return with_ - without

    torch.testing.assert_close(entropy(torch.ones(3)), torch.tensor(0.0))
    assert entropy(torch.zeros(3)) > 0.1
    logit = torch.tensor(2.0, requires_grad=True)  # a user who looks like a fake: the loss of a label 0 pulls less
    chance = torch.sigmoid(logit)
    (chance * F.softplus(-logit) + (1 - chance) * F.softplus(logit)).backward()
    assert logit.grad is not None and logit.grad < 0  # towards a sure 1


def test_scoring_reads_no_text(events: Events, calibrator: Calibrator) -> None:
    """The trap: a language model that is needed to score is one that is needed for ever."""
    before = suspicion(calibrator, events)
    with torch.no_grad():
        for weight in calibrator.text.parameters():  # type: ignore[union-attr]
            weight.fill_(torch.nan)
    np.testing.assert_array_equal(suspicion(calibrator, events), before)
    bare = Calibrator(4, 0, 8)
    bare.load_state_dict({n: t for n, t in calibrator.state_dict().items() if "text" not in n})
    np.testing.assert_array_equal(suspicion(bare, events), before)


def test_it_learns_what_is_there_to_learn() -> None:
    """Sequences whose halves agree, and sequences whose halves do not."""
    rng = np.random.default_rng(0)
    item = rng.standard_normal((400, 5, 3)).astype(np.float32)
    state = item.copy()
    state[200:] = rng.standard_normal((200, 5, 3))
    vectors = torch.from_numpy(np.concatenate([item, state], axis=2).reshape(-1, 6))
    events, labels = Events(vectors, np.arange(401) * 5), torch.arange(400) >= 200
    torch.manual_seed(0)
    calibrator = Calibrator(6, 0, 5, prior=0.5)
    optimizer = torch.optim.AdamW(calibrator.parameters(), 0.01)
    for _ in range(30):
        calibrator.train()
        for rows in shuffled(400, 100, CPU):
            order, groups = events.groups(rows)
            optimizer.zero_grad()
            at = torch.from_numpy(rows[order])
            calibration_loss(calibrator, groups, labels[at].float(), None, 0.5, 0.0).backward()
            optimizer.step()
    found = suspicion(calibrator, events) > 0.5
    assert (found == labels.numpy()).mean() > 0.85


def test_scores_begin_at_the_share_of_fakes(events: Events) -> None:
    torch.manual_seed(0)
    calibrator = Calibrator(4, 0, 8, prior=0.1)
    calibrator.train()
    with torch.no_grad():
        logits = calibrator([events.batch(np.arange(3))])[1]
    assert float(logits.mean()) == pytest.approx(np.log(0.1 / 0.9), abs=1e-5)


def test_batches_hold_every_row_once() -> None:
    rows = np.concatenate(list(shuffled(10, 4, CPU)))
    assert sorted(rows.tolist()) == list(range(10))
