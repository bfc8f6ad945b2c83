"""What importing the package does not do."""

from __future__ import annotations

import subprocess
import sys

import pytest

CORE = "import honeyguide.core.dataset, honeyguide.core.recommender, honeyguide.core.artifact"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import honeyguide", ["numpy", "polars", "pydantic", "torch", "matplotlib", "scipy", "typer"]),
        (CORE, ["torch", "matplotlib", "implicit", "sqlalchemy", "rich", "typer"]),
        ("import honeyguide.models.registry", ["torch", "implicit", "matplotlib"]),
    ],
    ids=["package", "core", "registry"],
)
def test_heavy_libraries_are_not_loaded_before_they_are_needed(statement: str, absent: list[str]) -> None:
    code = f"{statement}\nimport sys\nprint(*sorted(set(sys.modules) & set({absent!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_nothing_is_fetched_at_import() -> None:
    code = (
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError('a connection at import')\n"
        "socket.socket.connect = socket.create_connection = refuse\n"
        f"import honeyguide, honeyguide.cli.main\n{CORE}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_reached() -> None:
    import honeyguide

    for name in honeyguide.__all__:
        assert getattr(honeyguide, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        honeyguide.no_such_name  # noqa: B018
