"""What the operator chose, read once from the environment; the only reader of it."""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runtime.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent


_AWS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CA_BUNDLE",
)
_PASSED = ("XDG_CACHE_HOME", "AWS_REGION", "AWS_DEFAULT_REGION", "CI")


class TargetName(StrEnum):
    """Where we work."""

    LAB = "lab"
    AWS = "aws"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that may differ between two operators.

    Attributes:
        root: the checkout.
        target: lab or aws.
        region: AWS region; the lab uses it too.
        lab_name: labs of different names do not see each other (BULLION_LAB).
        lab_dir: the lab's state.
        lab_port: TCP port of the lab's API on 127.0.0.1 (BULLION_LAB_PORT); 0 for a free one.
        state_bucket: S3 bucket of Terraform's state (BULLION_STATE_BUCKET; the lab makes its own).
        ssh_key: private key for the machines (BULLION_SSH_KEY; the lab makes its own, on
            aws it is Path() where none is chosen).
        cache_dir: tools and downloads, shared by checkouts (XDG_CACHE_HOME).
        bases: registry, packages or auto: where base images come from (BULLION_BASES).
        packer, terraform: programs to use, as the wrapper found them.
        provider_dir: an unpacked Terraform provider mirror, if the wrapper found one.
        packer_plugins: folder with Packer's amazon plugin.
        aws_credentials: the operator's AWS variables, for tools that work on aws.
        own_variables: Bullion's own variables as they are set.
    """

    root: Path
    target: TargetName
    region: str
    lab_name: str
    lab_dir: Path
    lab_port: int
    state_bucket: str
    ssh_key: Path
    cache_dir: Path
    bases: str
    packer: str
    terraform: str
    provider_dir: Path | None
    packer_plugins: Path
    aws_credentials: Mapping[str, str]
    own_variables: Mapping[str, str]

    def passed_on(self) -> dict[str, str]:
        """Return the variables that a Bullion started by this one needs to see the same."""
        return dict(self.own_variables)

    @property
    def lab_id(self) -> str:
        """Return what labels this checkout's lab, so that two checkouts do not meet."""
        return f"{self.lab_name}-{hashlib.sha256(str(self.root).encode()).hexdigest()[:6]}"

    @property
    def ledger_dir(self) -> Path:
        """Return where releases of the target are recorded: committed for aws, under .lab else."""
        return (
            self.root / "releases" if self.target is TargetName.AWS else self.lab_dir / "releases"
        )

    @property
    def work_dir(self) -> Path:
        """Return where runs on this target keep their scratch files; ignored by git."""
        return self.lab_dir if self.target is TargetName.LAB else self.root / ".aws"

    @property
    def runs_dir(self) -> Path:
        """Return where runs that make something in EC2 hold a file while they are at work."""
        return self.work_dir / "runs"


def load(target: str = "lab", *, env: Mapping[str, str] | None = None) -> Settings:
    """Return the settings for `target` out of the environment (or `env`).

    Raises:
        UsageError: no such target, or a variable that does not parse; names the variable.
    """
    env = os.environ if env is None else env
    if target not in list(TargetName):
        message = f"there is no target {target!r}"
        raise UsageError(message, hint="use --target lab or --target aws")
    lab_name = env.get("BULLION_LAB", "lab")
    if not lab_name.isalnum():
        message = f"BULLION_LAB is {lab_name!r}; allowed: letters and digits"
        raise UsageError(message, hint="unset BULLION_LAB")
    lab_dir = ROOT / (".lab" if lab_name == "lab" else f".lab-{lab_name}")
    cache = Path(env.get("XDG_CACHE_HOME") or Path(env.get("HOME", "/root")) / ".cache") / "bullion"
    provider_dir = env.get("BULLION_PROVIDER_DIR", "")
    own_key = lab_dir / "ssh" / "id_ed25519"
    return Settings(
        root=ROOT,
        target=TargetName(target),
        region=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1",
        lab_name=lab_name,
        lab_dir=lab_dir,
        lab_port=_port(env),
        state_bucket=env.get("BULLION_STATE_BUCKET", "bullion-state" if target == "lab" else ""),
        ssh_key=Path(env.get("BULLION_SSH_KEY") or (own_key if target == "lab" else "")),
        cache_dir=cache,
        bases=_one_of(env, "BULLION_BASES", ("auto", "registry", "packages")),
        packer=env.get("BULLION_PACKER", "packer"),
        terraform=env.get("BULLION_TERRAFORM", "terraform"),
        provider_dir=Path(provider_dir) if provider_dir else None,
        packer_plugins=Path(env.get("BULLION_PACKER_PLUGINS") or cache / "packer-plugins"),
        aws_credentials={name: value for name, value in env.items() if name in _AWS},
        own_variables={
            name: value
            for name, value in env.items()
            if name.startswith("BULLION_") or name in _PASSED
        },
    )


def parse_network(text: str, *, what: str) -> ipaddress.IPv4Network:
    """Return the IPv4 network `text`, or raise UsageError naming `what` holds it."""
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        message = f"{what} is {text!r}, not an IPv4 network: {error}"
        raise UsageError(message, hint="write it like 10.20.0.0/16") from error


def _port(env: Mapping[str, str]) -> int:
    text = env.get("BULLION_LAB_PORT", "")
    if not text:
        return 0
    if text.isdigit() and 1024 <= int(text) <= 65535:
        return int(text)
    message = f"BULLION_LAB_PORT is {text!r}; allowed: 1024 to 65535"
    raise UsageError(message, hint="unset BULLION_LAB_PORT")


def _one_of(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    text = env.get(name, allowed[0])
    if text in allowed:
        return text
    message = f"{name} is {text!r}; allowed: {', '.join(allowed)}"
    raise UsageError(message, hint=f"unset {name}")
