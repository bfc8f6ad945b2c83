from __future__ import annotations

import json
import math
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.core.errors import ArtifactError, ConfigError, FitInterrupted, TrainingError
from honeyguide.core.fitting import FitOptions
from honeyguide.nn.trainer import TrainerSettings, choose_device

RUN = Path(__file__).with_name("training_run.py")
build = runpy.run_path(str(RUN))["build"]


def start(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, RUN, *map(str, arguments)], env={**os.environ, "OMP_NUM_THREADS": "1"})


def finish(process: subprocess.Popen[bytes]) -> None:
    assert process.wait(timeout=300) == 0


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole", tmp_path / "whole.npz")
    victim = start(tmp_path / "victim", tmp_path / "victim.npz")
    current = tmp_path / "victim" / "CURRENT"
    deadline = time.monotonic() + 300
    while not (current.is_file() and int(current.read_text().split()[0][1:]) >= 20):  # within the second epoch
        assert victim.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not (tmp_path / "victim.npz").exists()
    finish(start(tmp_path / "victim", tmp_path / "victim.npz", "--resume"))
    finish(whole)
    expected, resumed = np.load(tmp_path / "whole.npz"), np.load(tmp_path / "victim.npz")
    assert set(expected) == set(resumed) == {"items.weight", "turn.weight", "turn.bias"}
    for name in expected:
        assert np.array_equal(expected[name], resumed[name])
    curves = [json.loads((tmp_path / f"{name}.npz.json").read_text()) for name in ("whole", "victim")]
    assert curves[0] == curves[1]


@pytest.mark.parametrize("limit", [0.0, 0.02], ids=["within the first epoch", "after some epochs"])
def test_ended_at_a_limit_of_seconds_and_resumed_equals_uninterrupted(limit: float, tmp_path: Path) -> None:
    whole = build(FitOptions())
    whole.run()
    first = build(FitOptions(checkpoint=tmp_path, cpu_limit=limit))
    first.run()
    assert not first.finished
    assert len(first.progress.curve) < 6
    second = build(FitOptions(checkpoint=tmp_path, resume=True))
    second.run()
    assert second.finished
    for one, other in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_loss_falls_and_the_curve_is_kept() -> None:
    trainer = build(FitOptions())
    curve = trainer.run()
    assert [row["epoch"] for row in curve] == [1, 2, 3, 4, 5, 6]
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert all(row["cpu_seconds"] > 0 for row in curve)
    assert not trainer.network.training


def test_early_stopping_restores_the_best_weights() -> None:
    values = iter([0.1, 0.3, 0.2, 0.1, 0.5])
    weights = []

    def validate() -> float:
        weights.append(trainer.network.turn.weight.detach().clone())
        return next(values)

    trainer = build(FitOptions(), validate, patience=2)
    assert [row["valid_ndcg@10"] for row in trainer.run()] == [0.1, 0.3, 0.2, 0.1]
    assert torch.equal(trainer.network.turn.weight, weights[1])


def test_small_gains_are_kept_but_do_not_buy_patience() -> None:
    values = iter([0.100, 0.101, 0.102, 0.103, 0.200])
    trainer = build(FitOptions(), lambda: next(values), patience=2, min_gain=0.025)
    assert len(trainer.run()) == 3
    assert trainer.progress.best == 0.102


def test_the_running_average_is_validated_and_kept() -> None:
    plain = build(FitOptions(), lambda: 0.5, epochs=1)
    plain.run()
    averaged = build(FitOptions(), lambda: 0.5, epochs=1, average=0.9)
    averaged.run()
    assert torch.equal(plain.network.turn.weight, averaged.average[1])  # the weights trained are the same
    assert not torch.equal(plain.network.turn.weight, averaged.network.turn.weight)
    exact = build(FitOptions(), lambda: 0.5, epochs=1, average=1e-9)  # hardly any memory
    exact.run()
    torch.testing.assert_close(plain.network.turn.weight, exact.network.turn.weight)


def test_random_numbers_of_the_caller_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build(FitOptions(), epochs=1).run()
    assert torch.equal(torch.rand(3), expected)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = build(FitOptions(checkpoint=tmp_path))
    first.run()
    again = build(FitOptions(checkpoint=tmp_path, resume=True), validate=lambda: pytest.fail("trained again"))
    assert again.run() == first.progress.curve
    assert torch.equal(again.network.turn.weight, first.network.turn.weight)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    build(FitOptions(checkpoint=tmp_path), epochs=1).run()
    with pytest.raises(ConfigError, match="other data or options"):
        build(FitOptions(checkpoint=tmp_path, resume=True), epochs=2).run()


def test_a_damaged_checkpoint_is_a_typed_error(tmp_path: Path) -> None:
    build(FitOptions(checkpoint=tmp_path), epochs=1).run()
    (file,) = tmp_path.glob("v*/arrays.safetensors")
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match="checksum"):
        build(FitOptions(checkpoint=tmp_path, resume=True), epochs=1).run()


def test_a_loss_that_is_not_finite_is_a_typed_error_with_a_remedy(tmp_path: Path) -> None:
    trainer = build(FitOptions(checkpoint=tmp_path))
    with torch.no_grad():
        trainer.network.turn.bias[0] = math.nan
    with pytest.raises(TrainingError, match="learning rate"):
        trainer.run()
    assert not list(tmp_path.iterdir())  # nothing broken is kept


def test_interrupt_keeps_the_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    def validate() -> float:
        if (tmp_path / "CURRENT").exists() and trainer.progress.epoch == 1:
            raise KeyboardInterrupt
        return 0.5

    trainer = build(FitOptions(checkpoint=tmp_path), validate)
    with pytest.raises(FitInterrupted, match="epoch 2") as caught:
        trainer.run()
    assert "--resume" in caught.value.remedy and caught.value.exit_code == 130
    resumed = build(FitOptions(checkpoint=tmp_path, resume=True), lambda: 0.5)
    assert [row["epoch"] for row in resumed.run()] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(FitInterrupted, match="Nothing was kept"):
        build(FitOptions(), lambda: (_ for _ in ()).throw(KeyboardInterrupt)).run()
    with pytest.raises(FitInterrupted, match="No checkpoint was written to") as caught:
        build(FitOptions(checkpoint=tmp_path / "new"), lambda: (_ for _ in ()).throw(KeyboardInterrupt)).run()
    assert "Nothing was kept" not in str(caught.value), "a folder was given"


def test_gradient_clipping_bounds_the_step() -> None:
    trainer = build(FitOptions(), clip=1e-3, epochs=1)
    trainer.run()
    norm = sum(p.grad.square().sum() for p in trainer.network.parameters()).sqrt()
    assert norm.item() <= 1e-3 * 1.001


def test_learning_rates() -> None:
    constant = TrainerSettings(epochs=2, lr=1.0, warmup=4)
    assert [constant.rate(step, 0.5) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    cosine = TrainerSettings(epochs=2, lr=1.0, schedule="cosine")
    assert [cosine.rate(9, done) for done in (0.0, 0.5)] == [1.0, pytest.approx(0.5)]
    assert cosine.rate(9, 0.999) < 1e-5


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    build(FitOptions(progress=True), epochs=1).run()
    assert capsys.readouterr().out == ""


def test_bfloat16_trains() -> None:
    curve = build(FitOptions(precision="bfloat16")).run()
    assert curve[-1]["loss"] < curve[0]["loss"]


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    for missing in ("gpu7", "cuda:99" if not torch.cuda.is_available() else "xyz"):
        with pytest.raises(ConfigError, match="no device"):
            choose_device(missing)
