"""Measuring what a fit takes, and refusing what would not fit."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from honeyguide.core import resources
from honeyguide.core.errors import MemoryLimitError
from honeyguide.core.resources import Estimate, Stopwatch, available_memory, check_memory, cpu_seconds, peak_rss_mb


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_cpu_seconds_count_this_process_and_its_finished_children() -> None:
    before = cpu_seconds()
    burn(0.05)
    assert cpu_seconds() - before >= 0.05
    before = cpu_seconds()
    time.sleep(0.2)
    assert cpu_seconds() - before < 0.15
    code = "import time\nwhile time.process_time() < .3: pass"
    before = cpu_seconds()
    subprocess.run([sys.executable, "-c", code], check=True)
    assert cpu_seconds() - before >= 0.25


def test_a_stopwatch_tells_work_from_waiting() -> None:
    with Stopwatch() as watch:
        burn(0.02)
        time.sleep(0.1)
    assert 0.02 <= watch.cpu < watch.wall
    assert watch.wall >= 0.12


def test_a_stopwatch_stops_when_the_block_fails() -> None:
    watch = Stopwatch()
    with pytest.raises(KeyError), watch:
        burn(0.01)
        raise KeyError
    assert watch.cpu >= 0.01


def test_peak_memory_remembers_what_was_given_back() -> None:
    block = np.ones(128 * 2**20 // 8)
    during = peak_rss_mb()
    del block
    assert 128 < during < 1e6
    assert peak_rss_mb() == pytest.approx(during, abs=1.0)  # the kernel counts in batches of pages


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(3 * 2**30, 600), "about 3.0 GiB of memory and 10 min of CPU time"),
        (Estimate(300 * 2**20, 45), "about 300 MiB of memory and 45 s of CPU time"),
        (Estimate(1.5e6, 0.2), "about 1 MiB of memory and under 1 s of CPU time"),
    ],
)
def test_an_estimate_reads_like_a_sentence(estimate: Estimate, text: str) -> None:
    assert str(estimate) == text


def test_what_fits_passes_and_what_does_not_is_refused_with_the_estimate() -> None:
    need = Estimate(2**30, 10)
    check_memory("ease", need, limit=2**30)
    with pytest.raises(MemoryLimitError, match="ease needs about 1") as caught:
        check_memory("ease", need, limit=2**30 - 1)
    assert caught.value.remedy
    with pytest.raises(MemoryLimitError):
        check_memory("ease", Estimate(float("inf"), 10))


def test_the_limit_of_the_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)
    free = available_memory()
    assert free > 2**20
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory() > 2**20
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert available_memory() == 600_000
    (tmp_path / "memory.current").write_text("2000000\n")
    assert available_memory() == 0
    (tmp_path / "memory.current").write_text("nonsense\n")
    assert available_memory() > 2**20
