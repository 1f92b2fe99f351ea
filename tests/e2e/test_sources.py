"""Where messages come from on a real machine: its stdin, an exporter on it, and no GPU."""

from __future__ import annotations

import json
import shlex

import pytest

from runtime.cloud import machines, ssh
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.verify import workflow

pytestmark = pytest.mark.e2e

TOKEN = '{"model":"m","prompt_tokens":1,"completion_tokens":2,"cost_per_token":0.1,"ts":"2026-01-01T00:00:00Z"}'
EXPORTER = "http://host.docker.internal:9400/metrics"
METRICS = "".join(
    f'{name}{{gpu="0",Hostname="rack-7"}} {value}\n'
    for name, value in (
        ("DCGM_FI_DEV_GPU_UTIL", 1),
        ("DCGM_FI_DEV_FB_USED", 2),
        ("DCGM_FI_DEV_POWER_USAGE", 3),
    )
)


def test_stdin_reaches_the_producers_on_their_machine(target: Target) -> None:
    line = shlex.quote(f"{TOKEN}\n{TOKEN}")
    words = [f"echo {line} | sudo bullion produce --source -"]
    said = ssh.run(target, machines.find(target, Role.PRODUCERS), words, timeout_s=60)
    assert workflow.parse_sent(said.stdout).by_topic["token.usage.v1"] == 2


def test_an_exporter_on_the_producers_machine_is_asked(target: Target, invoke) -> None:
    serve = (
        "d=$(mktemp -d) && cd $d && printf %s "
        f"{shlex.quote(METRICS)} > metrics && "
        "(timeout 60 python3 -m http.server 9400 >/dev/null 2>&1 &)"
    )
    ssh.run(target, machines.find(target, Role.PRODUCERS), [serve], timeout_s=30)
    done = invoke("produce", "--source", EXPORTER, "--count", "2", "--interval", "0.1")
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout)["sent"]["gpu.metrics.v1"] == 2


def test_a_machine_without_a_gpu_says_so_by_name(target: Target, invoke) -> None:
    done = invoke("produce", "--source", "nvml")
    assert (done.status, done.stdout) == (9, "")
    assert "this machine has no NVIDIA driver: there is no /dev/nvidiactl" in done.stderr
    stack = "/usr/share/bullion/stack"
    files = f"-f {stack}/compose.yaml -f {stack}/nvml.yaml --env-file /run/bullion/stack.env"
    ask = [f"sudo docker compose {files} --profile one-shot config --format json"]
    said = ssh.run(target, machines.find(target, Role.PRODUCERS), ask, timeout_s=30)
    service = json.loads(said.stdout)["services"]["producers"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"]) == ("nvidia", -1)
