"""Whatever fails while an artifact is written, a whole version stays in use."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.core.artifacts import content, leftovers, number, posix

from honeyguide.core import artifact
from honeyguide.core.artifact import publish, read
from honeyguide.core.errors import ArtifactError

STEPS = [
    (os, "mkdir"),
    (os, "rename"),
    (os, "replace"),
    (os, "fsync"),
    (Path, "write_text"),
    (pl.DataFrame, "write_parquet"),
]


def calls(action: Callable[[], object], fail_at: int | None, error: BaseException) -> int:
    """Run ``action``, raising ``error`` at the given one of all calls to STEPS; how many calls there were."""
    made = 0

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made - 1 == fail_at:
                raise error
            return original(*args, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, wrap(getattr(owner, name)))
        action()
    return made


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_failure_at_any_step_leaves_a_whole_version(error: BaseException, tmp_path: Path) -> None:
    publish(tmp_path / "count", content(0))
    n_steps = calls(lambda: publish(tmp_path / "count", content(1)), None, error)
    assert n_steps > 8
    for step in range(n_steps):
        root = tmp_path / f"at{step}"
        for n in (0, 1):
            publish(root, content(n))
        with suppress(ArtifactError, KeyboardInterrupt):
            calls(lambda root=root: publish(root, content(2)), step, error)
        assert number(read(root, "model")) in (1, 2)
        assert leftovers(root) <= {".current", ".old"}
        publish(root, content(3))
        assert number(read(root, "model")) == 3
        assert leftovers(root) == set()


def test_a_failed_write_is_a_typed_error_with_its_cause(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    with pytest.raises(ArtifactError, match="No space left") as caught:
        calls(lambda: publish(tmp_path, content()), 3, full)
    assert caught.value.__cause__ is full


@posix
def test_a_full_disk_is_a_typed_error_and_the_old_version_loads(tmp_path: Path) -> None:
    publish(tmp_path, content(1))
    script = """
        import resource, signal, sys
        import numpy as np, polars as pl
        from honeyguide.core.artifact import Artifact, publish
        from honeyguide.core.errors import ArtifactError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writes beyond the limit fail instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        large = np.random.default_rng(0).random(10_000)
        table = pl.DataFrame({"x": large})
        for parts in ([{}, {"x": large}], [{}, {}, {"x": table}], [{"x": large.tolist()}]):
            try:
                publish(sys.argv[1], Artifact("model", *parts))
            except ArtifactError as error:
                print("refused", error.remedy)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("refused Free disk space") == 3
    assert number(read(tmp_path, "model")) == 1
    assert leftovers(tmp_path) == set()


PUBLISHER = """
import sys
import numpy as np, polars as pl
from honeyguide.core.artifact import publish
sys.path.insert(0, sys.argv[2])
from tests.core.artifacts import content
print("ready", flush=True)
first, last = int(sys.argv[3]), int(sys.argv[4])
for n in range(first, last):
    publish(sys.argv[1], content(n))
"""


def publisher(root: Path, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PUBLISHER, str(root), str(Path(__file__).parents[2]), str(first), str(last)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@posix
def test_a_publisher_killed_at_any_moment_leaves_a_whole_version(tmp_path: Path) -> None:
    draw = random.Random(0)
    publish(tmp_path, content(-1))
    for _ in range(20):
        child, before = publisher(tmp_path, 0, 1_000_000), (tmp_path / "CURRENT").read_text()
        while (tmp_path / "CURRENT").read_text() == before:
            time.sleep(0.001)
        time.sleep(draw.uniform(0.0, 0.03))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        number(read(tmp_path, "model"))
        for version in artifact._versions(tmp_path):
            number(read(tmp_path, "model", version=version.name))
    assert artifact._versions(tmp_path)[-1].name > "v000020"
    publish(tmp_path, content(5))
    assert number(read(tmp_path, "model")) == 5
    assert leftovers(tmp_path) == set()


def test_two_publishers_take_turns_and_readers_never_fail(tmp_path: Path) -> None:
    publish(tmp_path, content(0))
    children = [publisher(tmp_path, 100, 125), publisher(tmp_path, 200, 225)]
    reads = 0
    while any(child.poll() is None for child in children):
        number(read(tmp_path, "model"))
        reads += 1
    assert [child.wait() for child in children] == [0, 0]
    for child in children:
        child.communicate()
    assert reads > 1  # on a busy machine the two are done after a few
    assert [path.name for path in artifact._versions(tmp_path)] == ["v000050", "v000051"]
    assert number(read(tmp_path, "model")) in (124, 224)
    assert number(read(tmp_path, "model", version="v000050"))
