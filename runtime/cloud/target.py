"""Where we work, as bake, deploy and verify see it; they do not know whether it is the lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from runtime.settings import TargetName


@dataclass(frozen=True, kw_only=True)
class Target:
    """An EC2 API and how to reach the machines behind it.

    Attributes:
        name: lab or aws.
        region: its region.
        endpoint: URL of the API, or "" for AWS's own.
        credentials: environment variables that every tool gets, endpoint included.
        ssh_key: private key for the machines, Path() where none is chosen.
        ssh_user: the login of the AMIs.
        known_hosts: host keys seen, by machine id.
        terraform_variables, packer_variables: files of what the target itself decides, if any.
        trial_variables: as terraform_variables, for a stack beside the operator's.
    """

    name: TargetName
    region: str
    endpoint: str
    credentials: Mapping[str, str]
    ssh_key: Path
    ssh_user: str
    known_hosts: Path
    terraform_variables: Path | None = None
    packer_variables: Path | None = None
    trial_variables: Path | None = None

    @property
    def env(self) -> dict[str, str]:
        """Return what Packer and Terraform need in their environment to work here."""
        return {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region, **self.credentials}

    @cached_property
    def ec2(self) -> Any:
        """Return an EC2 client."""
        return self.client("ec2")

    def client(self, service: str) -> Any:
        """Return a client of `service` that goes where this target says."""
        keys = {
            "aws_access_key_id": self.credentials.get("AWS_ACCESS_KEY_ID"),
            "aws_secret_access_key": self.credentials.get("AWS_SECRET_ACCESS_KEY"),
        }
        # An endpoint of its own is on this computer, where no proxy leads.
        path_style = Config(
            s3={"addressing_style": "path"}, retries={"max_attempts": 3}, proxies={}
        )
        return boto3.client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint or None,
            config=path_style if self.endpoint else None,
            **(keys if self.endpoint else {}),
        )
