from __future__ import annotations

import pytest

from honeyguide.core.errors import UnknownNameError
from honeyguide.core.fitting import FitOptions


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:3", "mps"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_devices_that_some_machine_has_may_be_named(device: str, precision: str) -> None:
    assert FitOptions(device=device, precision=precision).device == device


def test_a_misspelt_device_or_precision_is_told_at_once() -> None:
    with pytest.raises(UnknownNameError, match="cuda"):
        FitOptions(device="cdua")
    with pytest.raises(UnknownNameError, match="bfloat16"):
        FitOptions(precision="bf16")
