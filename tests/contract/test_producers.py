"""The producers against a real broker: whatever happens, counts and exit status are true.

There is no GPU here. NVIDIA's Python binding is the real one, in the real image; the driver's
library below it is a stand-in that is compiled here and answers as a test tells it.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import proc
from tests.contract.exporter import exporter, gpu, say
from tests.contract.pipeline import GPU_TOPIC, TOKEN_TOPIC, Pipeline
from tests.contract.sender import Sender, gpu_lines
from tests.observing import at_rest

MANY = 20_000
BLANK = "9223372036854775794"
SLOWLY = ("--batch-size", "100", "--interval", "0.05")  # 2000 a second: there is time to end it


@pytest.fixture
def sender(broker: Pipeline) -> Iterator[Sender]:
    with Sender.made(broker) as made:
        yield made


def under_way(sender: Sender, where: Path) -> tuple[list[bytes], Path, subprocess.Popen[bytes]]:
    """Start to send a file, slowly; return its lines, itself and the program, once some is sent."""
    lines, path = list(gpu_lines(range(MANY))), where / "mine.jsonl"
    path.write_bytes(b"".join(lines))
    process = sender.start("--source", str(path), *SLOWLY)
    sender.wait_for(500)
    return lines, path, process


def strip(lines: list[bytes]) -> list[bytes]:
    return [line.strip() for line in lines]


def test_messages_of_a_gpu_keep_their_order_and_all_of_a_host_are_in_one_partition(
    sender: Sender,
) -> None:
    ended = sender.run("--count", str(MANY))
    assert (ended.status, ended.report["failed"]) == (0, 0), ended.said
    assert list(ended.report["sent"].values()) == [MANY, MANY]
    times: dict[tuple[str, int], list[str]] = defaultdict(list)
    partitions: dict[str, set[int]] = defaultdict(set)
    for partition, value in sender.read():
        metric = json.loads(value)
        times[metric["host"], metric["gpu_index"]].append(metric["ts"])
        partitions[metric["host"]].add(partition)
    assert sum(map(len, times.values())) == MANY
    assert all(seen == sorted(seen) and len(set(seen)) == len(seen) for seen in times.values())
    assert [len(one) for one in partitions.values()] == [1, 1]


def test_a_tiny_queue_is_waited_for_and_loses_nothing(sender: Sender) -> None:
    lines = list(gpu_lines(range(300)))
    ended = sender.run("--source", "-", "--queue", "7", given=b"".join(lines))
    assert (ended.status, ended.report["sent"][sender.gpu_topic]) == (0, 300), ended.said
    assert sorted(sender.values()) == sorted(strip(lines))


def test_without_a_broker_a_run_ends_at_the_first_failure_and_counts_what_it_tried(
    sender: Sender,
) -> None:
    nobody = f"{sender.pipeline.address('kafka')}:9"
    ended = sender.run("--count", "100000", "--queue", "50", "--delivery", "2", kafka=nobody)
    assert ended.status == 1
    assert set(ended.report["sent"].values()) == {0}
    assert 50 <= ended.report["failed"] <= 100  # and not 200 000
    (line,) = (one for one in ended.said.splitlines() if one.startswith("producers: "))
    assert "messages were not confirmed: " in line
    assert "timed out" in line
    assert nobody in line


@pytest.mark.parametrize("source", ["-", "simulation"], ids=["idle stdin", "a long pause"])
def test_a_message_that_failed_ends_a_run_that_waits(sender: Sender, source: str) -> None:
    nobody = f"{sender.pipeline.address('kafka')}:9"
    words = ("--delivery", "1", "--interval", "600", "--batch-size", "2")
    process = sender.start("--source", source, *words, kafka=nobody)
    process.stdin.write(b"".join(gpu_lines(range(2))))
    process.stdin.flush()
    ended = sender.end(process, None)
    assert (ended.status, ended.report["failed"]) == (1, 2), ended.said
    assert "2 messages were not confirmed: " in ended.said


def test_a_topic_that_is_not_there_is_named(sender: Sender) -> None:
    sender.pipeline.delete_topics(sender.token_topic)
    lines = list(gpu_lines(range(5)))
    token = b'{"model":"m","prompt_tokens":1,"completion_tokens":2,"cost_per_token":0.1,"ts":"2026-11-24T12:00:00Z"}\n'
    ended = sender.run("--source", "-", "--delivery", "5", given=b"".join([*lines, token]))
    assert (ended.status, ended.report["failed"]) == (1, 1), ended.said
    assert ended.report["sent"] == {sender.gpu_topic: 5, sender.token_topic: 0}
    assert ended.report["confirmed_lines"] == 0  # told by batches
    assert f"{sender.token_topic}: Broker: Unknown topic" in ended.said


def test_told_to_end_it_reports_what_is_confirmed_and_the_rest_can_follow(
    sender: Sender, tmp_path: Path
) -> None:
    lines, _, process = under_way(sender, tmp_path)
    process.terminate()
    ended = sender.end(process)

    assert ended.status == 128 + signal.SIGTERM
    assert 500 <= ended.report["sent"][sender.gpu_topic] == sender.held() < MANY
    assert ended.report["failed"] == 0, ended.said
    confirmed = ended.report["confirmed_lines"]
    assert set(strip(lines[:confirmed])) <= set(sender.values())

    again = sender.run("--source", "-", given=b"".join(lines[confirmed:]))
    assert again.status == 0
    assert sorted(sender.values()) == sorted(strip(lines))  # nothing is lost, nothing twice


def test_told_to_end_in_full_flight_it_takes_no_more(sender: Sender) -> None:
    process = sender.start("--count", "2000000")
    sender.wait_for(1)
    process.terminate()
    ended = sender.end(process)
    assert ended.status == 128 + signal.SIGTERM
    assert 0 < ended.report["sent"][sender.gpu_topic] < 2_000_000
    assert ended.report["sent"][sender.gpu_topic] <= sender.held()


def test_a_killed_run_reports_nothing_and_the_whole_of_it_can_be_sent_again(
    sender: Sender, tmp_path: Path
) -> None:
    lines, path, process = under_way(sender, tmp_path)
    process.kill()
    killed = sender.end(process)
    of_it = at_rest(sender.held)

    again = sender.run("--source", str(path))

    assert (killed.status, killed.report) == (-signal.SIGKILL, {})
    assert (again.status, again.report["sent"][sender.gpu_topic]) == (0, MANY)
    assert again.report["confirmed_lines"] == MANY
    values = sender.values()
    assert set(values) == set(strip(lines))
    assert len(values) == MANY + of_it  # what the killed one had sent is there twice


def test_stdin_is_sent_as_it_comes_and_waiting_for_it_can_be_ended(sender: Sender) -> None:
    process = sender.start("--source", "-")
    first, second = gpu_lines(range(2))
    process.stdin.write(first)
    process.stdin.flush()
    sender.wait_for(1)
    process.stdin.write(second)
    process.stdin.flush()
    sender.wait_for(2)
    process.send_signal(signal.SIGINT)
    ended = sender.end(process, None)
    assert ended.status == 128 + signal.SIGINT
    assert ended.report["sent"][sender.gpu_topic] == 2
    assert ended.report["confirmed_lines"] == 2


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"nonsense\n", "stdin line 3 is not JSON"),
        (b'{"host": "file-1", "gpu_ind', "stdin line 3 is not JSON: Input data was truncated"),
    ],
)
def test_a_bad_line_of_stdin_ends_the_run_after_those_before_it(
    sender: Sender, bad: bytes, why: str
) -> None:
    lines = list(gpu_lines(range(2)))
    ended = sender.run("--source", "-", given=b"".join(lines) + bad)
    assert (ended.status, ended.report["sent"][sender.gpu_topic]) == (1, 2)
    assert ended.report["confirmed_lines"] == 2
    assert f"ended before all was sent: {why}" in ended.said
    assert sorted(sender.values()) == sorted(strip(lines))


def test_of_a_bad_source_nothing_is_sent(sender: Sender, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"".join(gpu_lines(range(5000))) + b"nonsense\n")
    of_file = sender.run("--source", str(path))
    of_stdin = sender.run("--source", "-", given=b"nonsense\n")
    of_nobody = sender.run("--source", "http://127.0.0.1:9/metrics")
    assert [one.status for one in (of_file, of_stdin, of_nobody)] == [2, 2, 2]
    assert [one.report for one in (of_file, of_stdin, of_nobody)] == [{}, {}, {}]
    assert "mine.jsonl line 5001 is not JSON" in of_file.said
    assert "http://127.0.0.1:9/metrics can't be reached: " in of_nobody.said
    assert sender.held() == 0


def told(sender: Sender) -> list[tuple[object, ...]]:
    """Return all but the time of each measurement that the broker holds, sorted."""
    found = [json.loads(value) for value in sender.values()]
    assert all(metric.pop("ts").endswith("Z") for metric in found)
    return sorted(tuple(metric.values()) for metric in found)


def test_an_exporters_gpus_are_sent_and_one_without_power_is_left_out_by_name(
    sender: Sender,
) -> None:
    first = gpu(0, 97, 20310, "71.642000") + gpu(1, 5, 12, BLANK)
    second = gpu(0, 98, 20311, "72.5") + gpu(1, 6, 13, "NaN")
    with exporter(say(first), say(second)) as url:
        ended = sender.run("--source", url, "--count", "2", "--interval", "0.1")
    assert ended.status == 0, ended.said
    assert ended.report["sent"] == {sender.gpu_topic: 2, sender.token_topic: 0}
    assert ended.report["left_out"] == 2
    assert "left out: rack-7 GPU 1: power_w: DCGM says not supported\n" in ended.said
    assert "left out: rack-7 GPU 1: power_w: is nan\n" in ended.said
    assert told(sender) == [("rack-7", 0, 97, 20310, 71.642), ("rack-7", 0, 98, 20311, 72.5)]


def test_an_exporter_that_breaks_in_the_middle_ends_the_run_with_what_was_confirmed(
    sender: Sender,
) -> None:
    with exporter(say(gpu(0, 1, 2, 3)), say("gone", status=503)) as url:
        ended = sender.run("--source", url, "--count", "9", "--interval", "0.1")
    assert (ended.status, ended.report["sent"][sender.gpu_topic]) == (1, 1)
    assert f"ended before all was sent: {url} answers with status 503" in ended.said
    assert told(sender) == [("rack-7", 0, 1, 2, 3)]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile what stands in for the driver's library; return its folder."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler here: NVML's binding is not tried")
    folder = tmp_path_factory.mktemp("driver")
    folder.chmod(0o755)
    made = folder / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("nvml_standin.c")
    proc.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", made, source], timeout_s=60)
    return folder


def measure(
    sender: Sender, driver: Path | None, *words: str, **variables: str
) -> tuple[int, dict[str, object], str]:
    """Run the image with --source nvml; return status, report ({} for none) and what it said."""
    topics = {"BULLION_GPU_TOPIC": sender.gpu_topic, "BULLION_TOKEN_TOPIC": sender.token_topic}
    library = {"LD_LIBRARY_PATH": "/driver"} if driver else {}
    mount = {str(driver): {"bind": "/driver", "mode": "ro"}} if driver else {}
    status, out, said = sender.pipeline.produce(
        *("--source", "nvml", *words), volumes=mount, **(topics | library | variables)
    )
    return status, json.loads(out) if out else {}, said


def test_gpus_are_measured_by_nvidias_own_binding(sender: Sender, driver: Path) -> None:
    status, report, said = measure(
        sender, driver, "--count", "4", "--interval", "0.1", BULLION_HOST="rack-9", STANDIN="2"
    )
    assert status == 0, said
    assert report["sent"] == {sender.gpu_topic: 4, sender.token_topic: 0}
    assert report["left_out"] == 0
    of_both = [("rack-9", 0, 40, 1024, 100.5), ("rack-9", 1, 41, 1025, 101.5)]
    assert told(sender) == sorted(of_both * 2)


def test_a_gpu_that_refuses_power_is_left_out_by_name(sender: Sender, driver: Path) -> None:
    status, report, said = measure(
        sender, driver, "--count", "2", BULLION_HOST="rack-9", STANDIN="2", STANDIN_NO_POWER="1"
    )
    assert status == 0, said
    assert (report["sent"][sender.gpu_topic], report["left_out"]) == (2, 2)
    assert said.count("left out: rack-9 GPU 1: power_w: Not Supported\n") == 1
    assert told(sender) == [("rack-9", 0, 40, 1024, 100.5)] * 2


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"BULLION_HOST": "a"}, "nvml: the NVIDIA driver has no GPU"),
        ({"STANDIN": "2"}, "nvml: BULLION_HOST is not set"),
        (
            {"BULLION_HOST": "a", "STANDIN": "-9"},
            "nvml: there is no NVIDIA driver here: Driver Not",
        ),
        (
            {"BULLION_HOST": "a", "STANDIN": "1", "STANDIN_NO_POWER": "0"},
            "nvml has no GPU that tells utilization, memory and power",
        ),
        (
            {"BULLION_HOST": "a", "STANDIN": "1", "STANDIN_LOST": "0"},
            "left out: a GPU 0: utilization: GPU is lost",
        ),
    ],
    ids=["no gpu", "no name", "no module", "no power", "lost"],
)
def test_a_machine_that_can_not_measure_says_so_and_sends_nothing(
    sender: Sender, driver: Path, variables: dict[str, str], why: str
) -> None:
    status, report, said = measure(sender, driver, **variables)
    assert (status, report) == (2, {})
    assert why in said
    assert sender.held() == 0


def test_a_machine_without_a_driver_says_so_and_sends_nothing(sender: Sender) -> None:
    status, report, said = measure(sender, None, BULLION_HOST="a")
    assert (status, report) == (2, {})
    assert "nvml: there is no NVIDIA driver here: NVML Shared Library Not Found" in said


def test_the_image_reaches_an_exporter_of_its_machine(broker: Pipeline) -> None:
    broker.create_topics(GPU_TOPIC, TOKEN_TOPIC)
    with exporter(say(gpu(0, 1, 2, 3)), host=str(broker.range[1])) as url:
        status, out, said = broker.produce("--source", url, "--count", "1")
    assert status == 0, said
    assert json.loads(out)["sent"][GPU_TOPIC] == 1
