"""What a test leaves when it is killed goes with the next that needs the room."""

from __future__ import annotations

import subprocess
import sys
import uuid

from docker.errors import NotFound

from runtime.lab.machines.client import connect
from runtime.settings import ROOT
from tests.contract import killed

MAKE = """
from runtime.lab.machines.client import connect
from tests.contract import killed
connect().networks.create({name!r}, labels=killed.mine())
"""


def test_what_a_process_that_is_gone_had_made_is_removed_and_nothing_else() -> None:
    docker, name = connect(), f"bullion-test-{uuid.uuid4().hex[:8]}"
    subprocess.run([sys.executable, "-c", MAKE.format(name=name)], cwd=ROOT, check=True, timeout=60)
    living = docker.networks.create(f"{name}-living", labels=killed.mine())
    others = docker.networks.create(f"{name}-other")
    try:
        killed.remove_left(docker)
        left = {net.name for net in docker.networks.list() if net.name.startswith(name)}
        assert left == {living.name, others.name}
    finally:
        for net in docker.networks.list(names=[name]):
            try:
                net.remove()
            except NotFound:
                continue
        docker.close()
