"""The stack of this machine, by `docker compose`: health, one-shot runs, reset and refresh."""

from __future__ import annotations

import argparse
import json
import socket
from pathlib import Path

from runtime.contract import paths
from runtime.errors import BootError, UsageError
from runtime.machine import boot, data
from runtime.machine.imds import Imds
from runtime.machine.run import attach, run

UNITS = ("bullion-boot.service", "bullion-stack.service")
NVML = "nvml"
_UP_S = 300
_REFRESH_S = 360  # the units' own limits: 60 s to stop, 60 s to boot, 240 s to come up


def compose() -> list[str]:
    """Return the beginning of every compose command of the stack."""
    file = str(paths.STACK / "compose.yaml")
    return [
        "docker",
        "compose",
        "--project-name",
        "bullion",
        "--env-file",
        str(paths.STACK_ENV),
        "--file",
        file,
    ]


def environment() -> dict[str, str]:
    """Return the stack's variables as the last boot wrote them."""
    try:
        lines = Path(paths.STACK_ENV).read_text().splitlines()
    except FileNotFoundError as error:
        message = "the stack has no environment: the boot failed"
        raise BootError(message, hint="sudo systemctl status bullion-boot") from error
    return dict(line.split("=", 1) for line in lines)


def containers() -> list[dict[str, str]]:
    """Return the stack's containers as compose reports them."""
    out = run([*compose(), "ps", "--all", "--format", "json"], timeout_s=20)
    return [json.loads(line) for line in out.splitlines() if line.strip()]


def health() -> str:
    """Return the stack's state in words."""
    found = containers()
    return (
        ", ".join(f"{c['Service']} {c.get('Health') or c['State']}" for c in found)
        or "nothing to run"
    )


def is_healthy() -> bool:
    """Return whether the stack's unit is active and every container healthy."""
    active = (
        run(["systemctl", "is-active", UNITS[1]], timeout_s=10, ok=range(256)).strip() == "active"
    )
    return active and all(container.get("Health") == "healthy" for container in containers())


def produce(arguments: list[str]) -> int:
    """Run the producers once with `arguments`; return their exit status.

    Raises:
        UsageError: GPUs of this machine are asked for, and it has none for a container.
    """
    default = environment().get("BULLION_MESSAGE_SOURCE", "")
    words = compose()
    if source_of(arguments, default) == NVML:
        require_gpus()
        words += ["--file", str(paths.STACK / "nvml.yaml")]
    host = f"BULLION_HOST={socket.gethostname()}"
    return attach([*words, "run", "--rm", "--no-TTY", "--env", host, "producers", *arguments])


def source_of(arguments: list[str], default: str) -> str:
    """Return the source that the producers take, told by `arguments` over the parameter."""
    parser = argparse.ArgumentParser(prog="bullion produce", add_help=False, allow_abbrev=False)
    parser.add_argument("--source", default=default)
    return str(parser.parse_known_args(arguments)[0].source)


def require_gpus(root: Path = Path("/")) -> None:
    """Raise UsageError unless this machine has NVIDIA's driver, and Docker can hand GPUs on."""
    if not (root / "dev/nvidiactl").exists():
        message = "this machine has no NVIDIA driver: there is no /dev/nvidiactl"
        raise UsageError(message, hint="images/README.md says what a GPU machine needs")
    if not (root / "usr/bin/nvidia-container-runtime-hook").exists():
        message = "Docker can't hand GPUs to a container: nvidia-container-toolkit is missing"
        hint = "install nvidia-container-toolkit, then: sudo systemctl restart docker"
        raise UsageError(message, hint=hint)


def letters(arguments: list[str]) -> int:
    """Look at dead letters or deal with them, in the processor; return the exit status."""
    environment()
    ask = ["/opt/venv/bin/python", "-m", "processor.letters"]
    return attach([*compose(), "exec", "--no-TTY", "processor", *ask, *arguments])


def counts() -> str:
    """Return the documents per collection as JSON, as the store's probe counts them."""
    return json.dumps(json.loads(run([paths.PROBE, "describe"], timeout_s=30))["counts"])


def refresh(imds: Imds, *, root: Path = Path("/")) -> None:
    """Read tags and peers again and bring the stack in line; returns when it is healthy.

    A data volume that grew is filled, too.

    Raises:
        BullionError: the next boot would fail with these tags or peers; nothing was touched.
    """
    boot.rehearse(imds, root=root)  # a boot that fails takes the stack down
    data.grow()
    # Both in one: systemd restarts the stack with the boot, which a second restart would cut off.
    run(["systemctl", "restart", *UNITS], timeout_s=_REFRESH_S)


def reset() -> None:
    """Take the stack down, delete its data and bring it up again, seeds reapplied."""
    run(["systemctl", "stop", UNITS[1]], timeout_s=120)
    run([*compose(), "down", "--volumes"], timeout_s=120)
    data.empty()
    run(["systemctl", "start", UNITS[1]], timeout_s=_UP_S)
