from __future__ import annotations

import numpy as np
import pytest
import torch

from honeyguide.nn import sparse_autoencoder
from honeyguide.nn.sparse_autoencoder import (
    SparseAutoencoder,
    VectorBatch,
    VectorBatches,
    autoencoder_loss,
    combine_codes,
    decode_codes,
    encode_vectors,
    unexplained,
)


def tiny() -> SparseAutoencoder:
    """Two numbers, four latents along the axes in both directions, one kept; the center is (1, 0)."""
    sae = SparseAutoencoder(2, 4, 1)
    axes = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    with torch.no_grad():
        sae.encoder.copy_(axes)
        sae.decoder.copy_(axes)
        sae.decoder_bias.copy_(torch.tensor([1.0, 0.0]))
    return sae


def test_a_case_by_hand() -> None:
    codes = encode_vectors(tiny(), np.array([[4.0, 1.0], [1.0, -2.0]], np.float32))
    assert codes.values.tolist() == [[3.0], [2.0]]  # of (3, 1) and (0, -2)
    assert codes.latents.tolist() == [[0], [3]]
    assert decode_codes(tiny(), codes).tolist() == [[4.0, 0.0], [1.0, -2.0]]
    assert combine_codes(tiny(), codes).tolist() == [[3.0, 0.0], [0.0, -2.0]]


def test_the_decoder_is_the_encoder_at_the_start_and_free_then() -> None:
    sae = SparseAutoencoder(8, 32, 4)
    torch.testing.assert_close(sae.decoder, sae.encoder)
    autoencoder_loss(sae, VectorBatch(torch.randn(16, 8), 0)).backward()
    torch.optim.Adam(sae.parameters(), 0.1).step()
    assert not torch.equal(sae.decoder, sae.encoder)
    assert sae.encoder_bias.shape == (32,) and sae.decoder_bias.shape == (8,)


def test_rows_of_the_decoder_are_renormalised_when_an_epoch_begins_and_only_then() -> None:
    sae, x = tiny(), torch.randn(8, 2)
    with torch.no_grad():
        sae.decoder.mul_(3)
    autoencoder_loss(sae, VectorBatch(x, None))
    torch.testing.assert_close(sae.decoder.norm(dim=1), torch.full((4,), 3.0))
    autoencoder_loss(sae, VectorBatch(x, 1))
    torch.testing.assert_close(sae.decoder.norm(dim=1), torch.ones(4))


def test_the_loss_is_the_published_formula() -> None:
    """Trap: the released code takes the residual with the opposite sign and adds the bias to its reconstruction."""
    torch.manual_seed(0)
    sae, x = SparseAutoencoder(6, 40, 3, unit=2.0), 5 * torch.randn(20, 6) + 1
    with torch.no_grad():
        sae.decoder_bias.copy_(torch.randn(6))
        sae.encoder_bias.copy_(0.1 * torch.randn(40))
    sae.begin_epoch(first=True)
    sae.fired[:25] = True  # so that latents 25 to 39 are dead in the next epoch
    found = autoencoder_loss(sae, VectorBatch(x, 1)).detach()
    w, b, v, c = sae.encoder.detach(), sae.encoder_bias.detach(), sae.decoder.detach(), sae.decoder_bias.detach()
    pre = torch.relu((x / 2 - c) @ w.T + b)
    z = torch.where(pre >= pre.sort(1, descending=True).values[:, 2:3], pre, 0)
    rebuilt = 2 * (z @ v + c)
    variance = ((x - x.mean(0)) ** 2).sum()
    dead = torch.zeros_like(pre)
    dead[:, 25:] = pre[:, 25:]
    dead = torch.where(dead >= dead.sort(1, descending=True).values[:, 2:3], dead, 0)  # d / 2 = 3 of them
    aux = ((2 * (dead @ v) - (x - rebuilt)) ** 2).sum() / variance  # more than three are dead: min(.., 1) = 1
    torch.testing.assert_close(found, ((rebuilt - x) ** 2).sum() / variance + aux / 32)


def test_the_first_epoch_has_no_dead_latents_and_living_ones_do_not_pay_for_them() -> None:
    torch.manual_seed(0)
    sae, x = SparseAutoencoder(6, 40, 3), torch.randn(20, 6)
    autoencoder_loss(sae, VectorBatch(x, 0))
    assert not sae.dead.any() and sae.fired.any()
    fired = sae.fired.clone()
    loss = autoencoder_loss(sae, VectorBatch(x, 1))
    assert torch.equal(sae.dead, ~fired)
    loss.backward()
    assert sae.encoder.grad is not None and (sae.encoder.grad[sae.dead].abs().sum(1) > 0).any()


def dead_after(epochs: int) -> list[int]:
    """Dead latents epoch by epoch, where half of them are too weak to be among the strongest at the start."""
    torch.manual_seed(0)
    x, sae = torch.randn(300, 8), SparseAutoencoder(8, 64, 4)
    with torch.no_grad():
        sae.encoder[32:] *= 0.3
    optimizer, dead = torch.optim.Adam(sae.parameters(), 0.01), []
    for epoch in range(epochs):
        for start in range(0, 300, 100):
            optimizer.zero_grad()
            autoencoder_loss(sae, VectorBatch(x[start : start + 100], epoch if start == 0 else None)).backward()
            optimizer.step()
        dead.append(int(sae.dead.sum()))
    return dead


def test_dead_latents_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    helped = dead_after(25)
    monkeypatch.setattr(sparse_autoencoder, "AUX", 0.0)
    alone = dead_after(25)
    assert helped[0] == alone[0] == 0 and alone[-1] > 20
    assert helped[-1] <= alone[-1] - 4  # 23 and 29: a weak push, as the paper weighs it


def test_every_vector_comes_once_an_epoch_in_an_order_of_its_own() -> None:
    vectors = np.arange(10, dtype=np.float32)[:, None]
    batches = VectorBatches(vectors, 4, seed=1)
    first, again, second = batches.epoch(0), batches.epoch(0), batches.epoch(1)
    flat = [torch.cat([epoch[i].vectors for i in range(len(epoch))])[:, 0].tolist() for epoch in (first, again, second)]
    assert sorted(flat[0]) == list(range(10)) and flat[0] == flat[1] != flat[2]
    assert [second[i].epoch for i in range(len(second))] == [1, None]
    halves = [second[0].part(rank, 2).vectors for rank in range(2)]
    assert sorted(torch.cat(halves)[:, 0].tolist()) == sorted(second[0].vectors[:, 0].tolist())


def test_unexplained_is_a_share_of_the_variance() -> None:
    x = np.array([[1.0, 0.0], [3.0, 0.0]], np.float32)
    assert unexplained(x, x) == 0 and unexplained(x, np.full_like(x, [2, 0])) == 1
