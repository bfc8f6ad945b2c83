from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from honeyguide.cli.main import app
from honeyguide.core.errors import ConfigError
from honeyguide.core.processes import Process, this_process
from honeyguide.core.ragged import Ragged
from honeyguide.core.requests import Requests
from honeyguide.models.registry import load_model
from honeyguide.nn.batches import Batch, PackedWindows
from honeyguide.nn.parallel import Group

RUN = Path(__file__).with_name("parallel_run.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
CPU = torch.device("cpu")


def start(*command: object) -> subprocess.CompletedProcess[str]:
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **loopback}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


torchrun_runs = pytest.mark.skipif(
    sys.platform == "win32", reason="torchrun needs libuv, which wheels for Windows lack"
)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, np.ndarray]]]:
    """What a fit in one process and both processes of a fit in two ended with."""
    folder = tmp_path_factory.mktemp("parallel")
    start(sys.executable, RUN, folder / "alone")
    start(*TORCHRUN, "--nproc-per-node", 2, RUN, folder / "two")
    return folder, [dict(np.load(folder / name)) for name in ("alone.0.npz", "two.0.npz", "two.1.npz")]


@torchrun_runs
def test_two_processes_fit_what_one_does(fitted: tuple[Path, list[dict[str, np.ndarray]]]) -> None:
    alone, first, second = fitted[1]
    assert np.ptp(alone["scores"]) > 0.5  # something was learnt
    for name, expected in alone.items():
        np.testing.assert_allclose(first[name], expected, rtol=0, atol=1e-4, err_msg=name)
        np.testing.assert_array_equal(second[name], first[name], err_msg=name)


@torchrun_runs
def test_the_first_process_alone_writes_checkpoints(fitted: tuple[Path, list[dict[str, np.ndarray]]]) -> None:
    assert (fitted[0] / "two.checkpoint0" / "CURRENT").is_file()
    assert not (fitted[0] / "two.checkpoint1").exists()


@torchrun_runs
def test_the_command_line_fits_in_two_processes(books_folder: Path, tmp_path: Path) -> None:
    quick = ["dim=8", "epochs=2", "max_len=20", "blocks=1", "heads=1"]
    options = [word for setting in quick for word in ("--set", setting)]
    fit = ["-m", "honeyguide", "fit", books_folder, "--model", "sasrec", "--out", tmp_path / "model", *options]
    done = start(*TORCHRUN, "--nproc-per-node", 2, *fit)
    assert done.stdout.count("Saved to") == 1
    assert [path.name for path in (tmp_path / "model").glob("v*")] == ["v000001"]
    assert (load_model(tmp_path / "model").recommend(Requests(Ragged.empty(1)), 3).items >= 0).all()


def test_other_commands_are_refused_under_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["models"])
    assert done.exit_code == ConfigError.exit_code
    assert "Only 'fit'" in done.stderr


def test_the_parts_of_a_batch_are_the_batch() -> None:
    histories = Ragged.from_lists([range(length) for length in (3, 4, 4, 5, 6, 6, 7)])
    (batch,) = PackedWindows(histories, 10, 1000, seed=0).epoch(0)
    parts = [batch.part(rank, 3) for rank in range(3)]
    assert sum(part.n_targets for part in parts) == batch.n_targets == int((histories.lengths - 1).sum())
    rows = sorted(row for part in parts for row in part.targets.tolist())
    assert rows == sorted(batch.targets.tolist())
    assert batch.part(7, 8).n_targets == 0


def test_one_process_alone_needs_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    group = Group.join(CPU, 0)
    assert (group.rank, group.size, group.first) == (0, 1, True)
    assert group.share({"epoch": 3}) == {"epoch": 3}
    assert not torch.distributed.is_initialized()


def test_the_variables_of_torchrun_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert this_process() == Process(3, 4, 1)


def test_batches_that_cannot_be_shared_are_refused() -> None:
    network = torch.nn.Linear(2, 1)
    with pytest.raises(ConfigError, match="cannot share a Tensor"):
        Group(0, 2, CPU, 0).backward(network, lambda x: network(x).mean(), torch.zeros(3, 2), 0)


def test_a_part_without_targets_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process is played: it adds its gradient, loss and number of targets to the sum."""
    network = torch.nn.Linear(1, 1, bias=False)
    theirs = torch.tensor([0.5, 2.0, 1.0]) * 6

    def all_reduce(flat: torch.Tensor) -> None:
        flat += theirs

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    zeros = torch.zeros(1, 2, dtype=torch.int64)
    empty = Batch(zeros, zeros, zeros[0, :1])  # one row: none for rank 1
    loss = Group(1, 2, CPU, 0).backward(network, lambda batch: pytest.fail("nothing to compute"), empty, 0)
    assert loss.item() == pytest.approx(2.0)
    torch.testing.assert_close(network.weight.grad, torch.tensor([[0.5]]))
