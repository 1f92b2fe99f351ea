"""One lab, one deployed stack for all end-to-end tests: what `./invoke up` makes."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Generator, Iterator, Sequence

import pytest

from runtime import lock, proc
from runtime.bake import bake
from runtime.cloud import machines, ssh
from runtime.cloud.target import Target
from runtime.contract import ports
from runtime.contract.roles import Role
from runtime.errors import BullionError
from runtime.lab import control
from runtime.settings import Settings
from runtime.verbs import creating
from runtime.verbs.common import find_target
from tests.conftest import Invoke

BROKEN = "bullion-producers-broken"  # what test_release calls its AMI that can't boot


def remove_broken(target: Target) -> None:
    """Remove that AMI and the machine it was made of; a bake would come to it, as the newest."""
    named = [
        {"Name": "tag:Name", "Values": [BROKEN]},
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
    ]
    for page in target.ec2.describe_instances(Filters=named)["Reservations"]:
        target.ec2.terminate_instances(InstanceIds=[m["InstanceId"] for m in page["Instances"]])
    named = [{"Name": "name", "Values": [BROKEN]}]
    for image in target.ec2.describe_images(Owners=["self"], Filters=named)["Images"]:
        target.ec2.deregister_image(ImageId=image["ImageId"], DeleteAssociatedSnapshots=True)


def bake_again(settings: Settings, target: Target, roles: Sequence[Role]) -> None:
    """Bake some roles at once though nothing changed: the verb takes one role, or all."""
    with lock.hold(settings.work_dir / "lock", what="a test"):
        version = creating.choose_version(settings)
        bake.bake(settings, target, version=version, roles=roles, force=True)


@pytest.fixture(scope="session")
def up(invoke: Invoke, lab_settings: Settings) -> proc.Completed:
    """The stack, deployed; from nothing where there is none."""
    if lab_settings.lab_dir.is_dir():
        remove_broken(control.up(lab_settings))  # a killed test may have left it
    done = invoke("up")
    assert done.status == 0, done.stderr[-4000:]
    return done


@pytest.fixture
def target(up: proc.Completed, lab_settings: Settings) -> Target:
    """The running lab with the stack in it."""
    assert up
    return find_target(lab_settings)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have a failure tell how the processor was: the stack is gone when somebody asks."""
    report = yield
    target = item.funcargs.get("target")
    if report.failed and report.when == "call" and isinstance(target, Target):
        report.sections.append(("the processor, just now", "\n".join(accounts(target))))
    return report


def accounts(target: Target) -> Iterator[str]:
    """Yield what the processor says of itself, and what it said last."""
    try:
        processor = machines.find(target, Role.PROCESSOR)
        for path in ("/health", "/lag"):
            yield f"{path}: {_answer(f'http://{processor.address}:{ports.HTTP}{path}')}"
        last = "sudo docker logs --tail 12 --timestamps bullion-processor-1 2>&1"
        yield ssh.run(target, processor, [last], timeout_s=20, ok=range(256)).stdout
    except BullionError as error:
        yield str(error)


def _answer(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
    except OSError as error:
        return str(error)
