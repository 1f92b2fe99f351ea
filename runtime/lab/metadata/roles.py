"""Roles of machines: the instance profile's role and credentials for it, minted by STS.

The metadata service hands them out, so that a program on a machine signs its calls without any
secret in its AMI. Credentials live six hours, as EC2's do, and are renewed long before they end.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from runtime.lab.ec2 import Query, Refused, WsgiApp, text

_log = logging.getLogger(__name__)
LIFE = timedelta(hours=6)
# The newest credentials must outlive what SDKs take for stale: botocore asks again from 15
# minutes before the end (botocore/credentials.py), EC2 promises 5.
SPARE = timedelta(minutes=30)
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What STS gave for a role."""

    key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    made_at: datetime
    expires_at: datetime

    def document(self) -> str:
        """Return them as the metadata service writes them."""
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": self.made_at.strftime(_FORMAT),
                "Type": "AWS-HMAC",
                "AccessKeyId": self.key_id,
                "SecretAccessKey": self.secret,
                "Token": self.token,
                "Expiration": self.expires_at.strftime(_FORMAT),
            },
            indent=2,
        )


@dataclass(frozen=True, kw_only=True)
class Role:
    """A machine's instance profile, and the role in it.

    Attributes:
        name, arn: the role's, "" for a profile without one.
        profile_arn, profile_id: the profile's.
        credentials: current ones, None where there is no role or STS gives none.
    """

    name: str
    arn: str
    profile_arn: str
    profile_id: str
    credentials: Credentials | None = None

    def info(self) -> str:
        """Return the metadata service's iam/info."""
        updated = self.credentials.made_at if self.credentials else datetime.now(UTC)
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": updated.strftime(_FORMAT),
                "InstanceProfileArn": self.profile_arn,
                "InstanceProfileId": self.profile_id,
            },
            indent=2,
        )


def is_stale(credentials: Credentials | None, *, now: datetime) -> bool:
    """Return whether new credentials must be made."""
    return credentials is None or now >= credentials.expires_at - SPARE


@dataclass
class Roles:
    """Finds roles in IAM and keeps fresh credentials for each machine's."""

    iam: Query
    sts: Query
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _held: dict[tuple[str, str], Credentials] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, profile_arn: str) -> Role | None:
        """Return the role of an instance profile, None if there is no such profile."""
        name = profile_arn.rpartition("/")[2]
        try:
            found = self.iam.ask("GetInstanceProfile", {"InstanceProfileName": name})
        except Refused:  # deleted while a machine has it
            return None
        profile = "GetInstanceProfileResult/InstanceProfile"
        return Role(
            name=text(found, f"{profile}/Roles/member/RoleName"),
            arn=text(found, f"{profile}/Roles/member/Arn"),
            profile_arn=text(found, f"{profile}/Arn"),
            profile_id=text(found, f"{profile}/InstanceProfileId"),
        )

    def with_credentials(self, role: Role, machine_id: str) -> Role:
        """Return the role with credentials that are good for a while."""
        if not role.arn:
            return role
        who = (machine_id, role.arn)
        with self._lock:
            held = self._held.get(who)
            if held is None or is_stale(held, now=self.now()):
                try:
                    held = self._held[who] = self._mint(role.arn, machine_id)
                except Refused:
                    _log.exception("no credentials for %s of %s", role.arn, machine_id)
                    return role
        return replace(role, credentials=held)

    def _mint(self, role_arn: str, machine_id: str) -> Credentials:
        asked = {"RoleArn": role_arn, "RoleSessionName": machine_id}
        life = {"DurationSeconds": str(int(LIFE.total_seconds()))}
        made = self.sts.ask("AssumeRole", asked | life)
        found = "AssumeRoleResult/Credentials"
        return Credentials(
            key_id=text(made, f"{found}/AccessKeyId"),
            secret=text(made, f"{found}/SecretAccessKey"),
            token=text(made, f"{found}/SessionToken"),
            made_at=self.now(),
            expires_at=datetime.fromisoformat(text(made, f"{found}/Expiration")),
        )


def of_app(app: WsgiApp, region: str) -> Roles:
    """Return the roles of moto's IAM and STS."""
    return Roles(
        iam=Query(app, region, service="iam", version="2010-05-08"),
        sts=Query(app, region, service="sts", version="2011-06-15"),
    )
