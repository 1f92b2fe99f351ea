"""Terraform: one module, two targets; JSON in, JSON out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runtime import console, proc
from runtime.cloud import ssh
from runtime.cloud.machines import STACK
from runtime.cloud.target import Target
from runtime.errors import BusyError, CommandError, DeployError, UsageError
from runtime.settings import Settings, TargetName

TIMEOUT_S = 1800
_LOCK_TIMEOUT = "-lock-timeout=5s"
MACHINES = "aws_instance.role"  # by name
KEPT = "aws_ebs_volume.data"  # what a destroy leaves unless it is told to take it
LIFT = """\
resource "aws_ebs_volume" "data" {
  lifecycle {
    prevent_destroy = false
  }
}
"""
# What a trial stack stores nobody misses: its machines just end, and take it with them.
CAST_OFF = """\
resource "aws_volume_attachment" "data" {
  skip_destroy                   = true
  stop_instance_before_detaching = false
}
"""
_CHANGES = 2  # exit status of plan -detailed-exitcode


class Terraform:
    """Terraform for one target, with state in S3 and its lock there too."""

    def __init__(
        self,
        settings: Settings,
        target: Target,
        *,
        stack: str = STACK,
        inherits: Sequence[int] = (),
    ) -> None:
        """Prepare for the operator's stack, or for a trial `stack` beside it; nothing is run.

        What changes anything gets the file descriptors in `inherits`.

        Raises:
            UsageError: no bucket for the state, or no endpoint in the lab.
        """
        if not settings.state_bucket:
            message = "Terraform's state needs a bucket on aws"
            raise UsageError(message, hint="BULLION_STATE_BUCKET=NAME ./invoke deploy --target aws")
        if target.name is TargetName.LAB and "AWS_ENDPOINT_URL" not in target.env:
            message = "the lab's endpoint is not set: Terraform would call AWS"
            raise DeployError(message, hint="./invoke lab.up")
        self._settings, self._target, self._stack = settings, target, stack
        self._inherits = inherits
        self._is_trial = stack != STACK
        self._work = settings.work_dir / ("trial" if self._is_trial else "terraform")
        self._sources = settings.root / "terraform"
        self._module = self._work / "unprotected" if self._is_trial else self._sources

    def init(self) -> None:
        """Make the bucket in the lab, and let Terraform prepare its provider and backend."""
        if self._is_trial:
            shutil.rmtree(self._work, ignore_errors=True)
            self._unprotect(LIFT + CAST_OFF)
        self._work.mkdir(parents=True, exist_ok=True)
        backend = {
            "bucket": self._settings.state_bucket,
            "key": self._state_key,
            "region": self._target.region,
        }
        if self._target.name is TargetName.LAB:
            self._make_bucket()
            backend |= {"use_path_style": "true", "skip_credentials_validation": "true"}
        options = [f"-backend-config={name}={value}" for name, value in backend.items()]
        if self._settings.provider_dir:
            options.append(f"-plugin-dir={self._settings.provider_dir}")
        self._run(["init", "-reconfigure", "-lockfile=readonly", *options])

    def has_changes(self, variables: Sequence[Path]) -> bool:
        """Return whether an apply would do anything."""
        return self.plan(variables) is not None

    def plan(self, variables: Sequence[Path]) -> dict[str, dict[str, Any]] | None:
        """Return {name: attributes} of the instances after an apply, None if it has nothing to do.

        Of an instance that is to be made, what only EC2 knows is missing.
        """
        argv = ["plan", "-detailed-exitcode", "-lock=false", f"-out={self._plan}"]
        if self._run([*argv, *self._inputs(variables)], ok=(0, _CHANGES)).status != _CHANGES:
            return None
        shown = json.loads(self._run(["show", "-json", self._plan]).stdout)
        return instances({"values": shown["planned_values"]})

    def apply_planned(self) -> None:
        """Do what the last `plan` found, and nothing else; progress by resource.

        Raises:
            BusyError: somebody has changed the deployment since.
        """
        self._stream(["apply", "-input=false", _LOCK_TIMEOUT, self._plan], "made")

    def apply(self, variables: Sequence[Path]) -> None:
        """Bring the target in line with the module; progress by resource."""
        self._stream(["apply", "-auto-approve", *self._inputs(variables)], "made")

    def destroy(self, variables: Sequence[Path], *, data: bool) -> None:
        """Take everything away that apply made; data volumes stay, and stay in the state.

        With `data` they go, too: by a copy of the module that does not protect them.
        """
        argv = ["destroy", "-auto-approve", *self._inputs(variables)]
        if data:
            if self._is_trial:  # nobody else changed it, and looking takes half of the time
                self._stream([*argv, "-refresh=false"], "removed")
            else:
                self._stream(argv, "removed", module=self._unprotect(LIFT))
        elif found := targets(json.loads(self._run(["show", "-json"]).stdout)):
            self._stream([*argv, *(f"-target={address}" for address in found)], "removed")

    def output(self) -> dict[str, Any]:
        """Return the module's outputs, {} before the first apply."""
        found = json.loads(self._run(["output", "-json"]).stdout)
        return {name: entry["value"] for name, entry in found.items()}

    def machines(self) -> dict[str, dict[str, Any]]:
        """Return {name: attributes} of the instances as the last apply left them, {} before."""
        return instances(json.loads(self._run(["show", "-json"]).stdout))

    def forget(self) -> None:
        """Remove the state and all else that a destroyed trial stack leaves of Terraform's."""
        try:
            for key in (self._state_key, f"{self._state_key}.tflock"):
                self._target.client("s3").delete_object(Bucket=self._settings.state_bucket, Key=key)
        except (BotoCoreError, ClientError) as error:
            message = f"the state {self._state_key} stays in {self._settings.state_bucket}: {error}"
            raise DeployError(message, hint="delete that object") from error
        shutil.rmtree(self._work, ignore_errors=True)

    @property
    def _plan(self) -> str:
        return str(self._work / "plan")

    @property
    def _state_key(self) -> str:
        return f"{self._stack}.tfstate"

    def _unprotect(self, override: str) -> Path:
        """Return a copy of the module whose data volumes may be destroyed."""
        copy = self._work / "unprotected"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self._sources, copy, ignore=shutil.ignore_patterns("tests"))
        (copy / "override.tf").write_text(override)
        return copy

    def _inputs(self, variables: Sequence[Path]) -> list[str]:
        own = self._sources / f"{self._target.name}.tfvars"
        beside = self._target.trial_variables if self._is_trial else None
        files = [self._target.terraform_variables, own, *variables, beside]
        return [
            "-input=false",
            _LOCK_TIMEOUT,
            *(f"-var-file={path}" for path in files if path),
            f"-var=stack={self._stack}",
            f"-var=ssh_public_key={ssh.public_key(self._target)}",
        ]

    def _run(self, arguments: Sequence[str], ok: Sequence[int] = (0,)) -> proc.Completed:
        argv = [
            self._settings.terraform,
            f"-chdir={self._module}",
            *arguments[:1],
            "-no-color",
            *arguments[1:],
        ]
        if arguments[0] == "output":
            argv.remove("-no-color")
        try:
            return proc.run(argv, timeout_s=TIMEOUT_S, env=self._env(), ok=ok)
        except CommandError as error:
            raise explain(error.tail, arguments[0]) from error

    def _stream(self, arguments: Sequence[str], done: str, *, module: Path | None = None) -> None:
        argv = [
            self._settings.terraform,
            f"-chdir={module or self._module}",
            arguments[0],
            "-json",
            *arguments[1:],
        ]
        said: list[str] = []
        with proc.stream(argv, env=self._env(), grace_s=300, inherits=self._inherits) as running:
            for row in running.lines:
                for line in narrate(row, done):
                    console.note(line)
                said += errors_of(row)
            status = running.wait(TIMEOUT_S)
        if status:
            raise explain("\n".join(said) or "no reason given", arguments[0])

    def _env(self) -> dict[str, str]:
        own = {"TF_DATA_DIR": str(self._work), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        return self._target.env | own

    def _make_bucket(self) -> None:
        try:
            self._target.client("s3").create_bucket(Bucket=self._settings.state_bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {
                "BucketAlreadyOwnedByYou",
                "BucketAlreadyExists",
            }:
                raise


def targets(state: Mapping[str, Any]) -> list[str]:
    """Return the addresses that go when the data stays, out of `terraform show -json`."""
    resources = state.get("values", {}).get("root_module", {}).get("resources", [])
    return [
        str(resource["address"])
        for resource in resources
        if resource["mode"] == "managed" and f"{resource['type']}.{resource['name']}" != KEPT
    ]


def instances(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return {name: attributes} of the machines in `terraform show -json`."""
    resources = state.get("values", {}).get("root_module", {}).get("resources", [])
    return {
        str(resource["index"]): dict(resource["values"])
        for resource in resources
        if f"{resource['type']}.{resource['name']}" == MACHINES
    }


def narrate(row: str, done: str) -> Iterator[str]:
    """Yield what a row of Terraform's JSON output is worth telling."""
    event = _event(row)
    if event.get("type") == "apply_complete":
        hook = event["hook"]
        yield f"{done} {hook['resource']['addr']} ({hook.get('elapsed_seconds', 0)} s)"


def errors_of(row: str) -> list[str]:
    """Return the error messages in a row of Terraform's JSON output."""
    event = _event(row)
    found = event.get("diagnostic", {})
    if found.get("severity") != "error":
        return []
    detail = str(found.get("detail", "")).strip()
    return [f"{found['summary']}: {detail}" if detail else str(found["summary"])]


def explain(said: str, verb: str) -> DeployError | BusyError:
    """Return the error that fits what Terraform said."""
    if "Error acquiring the state lock" in said:
        message = f"somebody else changes this deployment: {said}"
        return BusyError(message, hint="wait; or, if that run is dead, terraform force-unlock ID")
    if "Saved plan is stale" in said:
        message = "somebody else has changed this deployment since it was looked at"
        return BusyError(message, hint="type it again")
    shown = "\n".join(f"  | {line}" for line in said.strip().splitlines() if line.strip())
    hint = (
        "correct the value in terraform/*.tfvars" if "Invalid value" in said else "./invoke status"
    )
    return DeployError(f"terraform {verb} failed:\n{shown}", hint=hint)


def _event(row: str) -> Mapping[str, Any]:
    try:
        value = json.loads(row)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
