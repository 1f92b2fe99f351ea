"""Of an exporter's text three metrics are read, and what it says has no value is not made one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from producers.prometheus import read
from producers.sampling import Reading

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LABELS = 'UUID="GPU-1f",pci_bus_id="00000000:0A:00.0",device="nvidia{0}",modelName="NVIDIA L4"'


def gpu(index: int, util: object, used: object, power: object, more: str = "") -> str:
    labels = f'{{gpu="{index}",{LABELS.format(index)},Hostname="rack-7"{more}}}'
    return (
        f"# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).\n"
        f"# TYPE DCGM_FI_DEV_SM_CLOCK gauge\nDCGM_FI_DEV_SM_CLOCK{labels} 1200\n"
        f"# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).\n"
        f"# TYPE DCGM_FI_DEV_GPU_UTIL gauge\nDCGM_FI_DEV_GPU_UTIL{labels} {util}\n"
        f"DCGM_FI_DEV_FB_USED{labels} {used}\nDCGM_FI_DEV_POWER_USAGE{labels} {power}\n"
    )


def told(text: str) -> list[Reading]:
    return list(read(text, host="exporter", now=NOW))


def one(power: object) -> float | str:
    return told(gpu(0, 1, 2, power))[0].power_w


def test_a_gpu_is_read_by_the_names_of_dcgm() -> None:
    assert told(gpu(1, 97, 20310, 71.642) + gpu(0, 0, 3, 16.25)) == [
        Reading(host="rack-7", gpu_index=index, utilization=a, mem_used_mb=b, power_w=c, ts=NOW)
        for index, a, b, c in [(0, 0, 3, 16.25), (1, 97, 20310, 71.642)]
    ]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (9223372036854775792, "DCGM says blank"),
        (9223372036854775793, "DCGM says not found"),
        (9223372036854775794, "DCGM says not supported"),
        (9223372036854775795, "DCGM says not permitted"),
        ("9.223372036854776e+18", "DCGM says blank"),
        (2147483634, "DCGM says not supported"),
        ("140737488355330.000000", "DCGM says not supported"),
        ("NaN", "is nan"),
        ("+Inf", "is inf"),
    ],
)
def test_what_stands_for_no_value_is_a_reason(value: object, why: str) -> None:
    assert str(one(value)).startswith(why)


def test_a_metric_that_is_not_there_is_not_told() -> None:
    (reading,) = told('DCGM_FI_DEV_GPU_UTIL{gpu="0"} 1\n')
    assert (reading.mem_used_mb, reading.power_w) == ("not told", "not told")


@pytest.mark.parametrize(
    ("labels", "host"),
    [
        ('Hostname="a"', "a"),
        ('hostname="b"', "b"),
        ('pod="x"', "exporter"),
        ('Hostname=""', "exporter"),
    ],
)
def test_a_gpu_without_a_hosts_name_has_that_of_its_exporter(labels: str, host: str) -> None:
    (reading,) = told(f'DCGM_FI_DEV_GPU_UTIL{{gpu="0",{labels}}} 1\n')
    assert reading.host == host


def test_parts_of_a_gpu_are_no_gpus() -> None:
    part = gpu(0, 50, 100, 20, more=',GPU_I_PROFILE="1g.5gb",GPU_I_ID="3"')
    assert told(part) == []
    assert told(part + gpu(0, 80, 900, 60))[0].utilization == 80


def test_a_sample_that_has_a_time_keeps_it() -> None:
    (reading,) = told('DCGM_FI_DEV_GPU_UTIL{gpu="0"} 1 1764089000123\n')
    assert reading.ts == datetime(2025, 11, 25, 16, 43, 20, 123000, tzinfo=UTC)


@pytest.mark.parametrize("text", ["<html>404</html>", '{"a": 1}', 'a{b="c"} x', 'a{b="c} 1'])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        told(text)


def test_metrics_of_something_else_tell_of_no_gpu() -> None:
    assert told('up 1\nDCGM_FI_DEV_GPU_UTIL 3\nDCGM_FI_DEV_GPU_UTIL{gpu="x"} 1\n') == []
