"""Anybody's resources in plain Terraform: the provider's plan is empty after each change."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import proc
from runtime.cloud.target import Target
from runtime.errors import CommandError
from runtime.lab import control, slots
from runtime.settings import Settings

pytestmark = pytest.mark.e2e

SCRATCH = Path(__file__).parent / "scratch"
APPLY_S = 600
CHANGES = 2  # exit status of plan -detailed-exitcode


class Scratch:
    """Terraform over tests/machines/scratch, with a state of its own in a folder of its own."""

    def __init__(self, settings: Settings, target: Target, folder: Path) -> None:
        self._settings, self._target, self._folder = settings, target, folder
        shutil.copytree(SCRATCH, folder / "module")
        shutil.copy(settings.root / "terraform/.terraform.lock.hcl", folder / "module")
        run = slots.read(settings.lab_dir).run
        self.variables: dict[str, Any] = {
            "vpc_cidr": str(list(run.subnets(new_prefix=17))[1]),
            "public_key": Path(f"{settings.ssh_key}.pub").read_text().strip(),
        }

    def run(self, verb: str, *words: str, ok: tuple[int, ...] = (0,)) -> proc.Completed:
        env = {"TF_DATA_DIR": str(self._folder / "data"), "TF_IN_AUTOMATION": "1"}
        argv = [
            self._settings.terraform,
            f"-chdir={self._folder}/module",
            verb,
            "-no-color",
            *words,
        ]
        return proc.run(argv, timeout_s=APPLY_S, env=self._target.env | env, ok=ok)

    def init(self) -> None:
        mirror = self._settings.provider_dir
        self.run("init", "-lockfile=readonly", *([f"-plugin-dir={mirror}"] if mirror else []))

    def inputs(self) -> list[str]:
        path = self._folder / "scratch.tfvars.json"
        path.write_text(json.dumps(self.variables))
        return ["-input=false", f"-var-file={path}"]

    def apply(self, **changed: Any) -> None:
        self.variables |= changed
        self.run("apply", "-auto-approve", *self.inputs())

    def drift(self) -> str:
        """Return what a plan would do, "" for nothing."""
        done = self.run("plan", "-detailed-exitcode", *self.inputs(), ok=(0, CHANGES))
        return done.stdout.partition("will perform")[2] if done.status == CHANGES else ""

    def destroy(self) -> None:
        self.run("destroy", "-auto-approve", *self.inputs())


@pytest.fixture(scope="module")
def scratch(lab_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scratch]:
    target = control.up(lab_settings)
    made = Scratch(lab_settings, target, tmp_path_factory.mktemp("scratch"))
    made.init()
    try:
        made.apply()
        yield made
    finally:
        with contextlib.suppress(CommandError):  # what failed once may fail again; destroy all
            made.apply(protected=False)
        made.destroy()


def test_plain_resources_do_not_drift_once_applied(scratch: Scratch) -> None:
    assert scratch.drift() == ""


@pytest.mark.parametrize(
    "changed",
    [
        {
            "instance_type": "t3.small",
            "user_data": "#cloud-config\n{}\n# changed",
            "extra_group": True,
            "hop_limit": 3,
            "label": "two",
        },
        {"extra_group": False, "protected": True, "size_gb": 2},
    ],
    ids="+".join,
)
def test_plain_resources_do_not_drift_after_changing(
    scratch: Scratch, changed: dict[str, Any]
) -> None:
    scratch.apply(**changed)
    assert scratch.drift() == ""
