"""What the operator's variables come to, by Terraform's own rules and before it plans anything."""

from __future__ import annotations

import ipaddress
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import proc
from runtime.cloud import ssh
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES
from runtime.deploy.terraform import errors_of, explain
from runtime.settings import Settings

TIMEOUT_S = 120
_FILES = ("variables.tf", "parameters.tf")
_READ = ("admin_cidr", "vpc_cidr", "public_ip", "processor_count")
# A release brings them later, and they must be something.
_LATER = {"release": "2000.01.01", "ami_ids": dict.fromkeys(MACHINE_ROLES, "ami-00000000")}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Those of the operator's variables that decide whether a launch can end well."""

    admin: ipaddress.IPv4Network
    vpc: ipaddress.IPv4Network
    is_public: bool
    processor_count: int


def read(settings: Settings, target: Target) -> Inputs:
    """Return the operator's variables, by a module that has nothing but them.

    Raises:
        UsageError: no key for the machines was chosen.
        DeployError: a variable is missing or breaks its rule.
    """
    with tempfile.TemporaryDirectory() as scratch:
        module = Path(scratch)
        for name in _FILES:
            shutil.copy(settings.root / "terraform" / name, module)
        shown = {name: {"value": f"${{var.{name}}}"} for name in _READ}
        (module / "outputs.tf.json").write_text(json.dumps({"output": shown}))
        later = module / "later.tfvars.json"
        later.write_text(json.dumps(_LATER | {"ssh_public_key": ssh.public_key(target)}))
        own = settings.root / "terraform" / f"{target.name}.tfvars"
        files = [target.terraform_variables, own, later]
        argv = [
            settings.terraform,
            f"-chdir={module}",
            "apply",
            "-auto-approve",
            "-input=false",
            "-json",
            *(f"-var-file={path}" for path in files if path),
        ]
        env = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        done = proc.run(argv, timeout_s=TIMEOUT_S, env=env, ok=range(256))
    rows = done.stdout.splitlines()
    if done.status:
        said = [line for row in rows for line in errors_of(row)]
        raise explain("\n".join(said) or done.stderr, "plan")
    return parse(rows)


def parse(rows: Sequence[str]) -> Inputs:
    """Return the variables out of what an apply of them said, row by row of JSON."""
    events = (json.loads(row) for row in rows)
    (*_, last) = (event["outputs"] for event in events if event["type"] == "outputs")
    values: dict[str, Any] = {name: entry["value"] for name, entry in last.items()}
    return Inputs(
        admin=ipaddress.IPv4Network(values["admin_cidr"], strict=False),
        vpc=ipaddress.IPv4Network(values["vpc_cidr"], strict=False),
        is_public=values["public_ip"],
        processor_count=values["processor_count"],
    )
