"""The producers get GPUs only where they are asked for, and only from a machine that has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import UsageError
from runtime.machine.stack import require_gpus, source_of


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        ([], "simulation"),
        (["--count", "3"], "simulation"),
        (["--source", "nvml", "--count", "3"], "nvml"),
        (["--count=3", "--source=nvml"], "nvml"),
        (["--source", "nvml", "--source", "-"], "-"),
        (["--sour", "nvml"], "simulation"),  # which the producers refuse
    ],
)
def test_the_source_is_the_arguments_over_the_parameter(arguments: list[str], source: str) -> None:
    assert source_of(arguments, "simulation") == source


def test_a_machine_without_a_driver_or_the_toolkit_is_refused_by_name(tmp_path: Path) -> None:
    driver, hook = tmp_path / "dev/nvidiactl", tmp_path / "usr/bin/nvidia-container-runtime-hook"
    for file, why in ((driver, "no NVIDIA driver"), (hook, "nvidia-container-toolkit is missing")):
        with pytest.raises(UsageError, match=why) as refused:
            require_gpus(tmp_path)
        assert refused.value.code == 2
        file.parent.mkdir(parents=True)
        file.touch()
    require_gpus(tmp_path)
