"""Credentials of roles are renewed in time, and asked for no more often than that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runtime.lab.ec2 import Query, plain
from runtime.lab.metadata.roles import LIFE, SPARE, Credentials, Role, Roles, is_stale

START = datetime(2026, 1, 1, tzinfo=UTC)
HELD = Credentials(key_id="A", secret="s", token="t", made_at=START, expires_at=START + LIFE)
ROLE = Role(name="kafka", arn="arn:kafka", profile_arn="arn:p", profile_id="AIPA")
SDKS_ASK_AGAIN = timedelta(minutes=15)  # before the end: botocore's advisory refresh


@pytest.mark.parametrize(
    ("left", "stale"),
    [
        (LIFE, False),
        (SPARE + timedelta(seconds=1), False),
        (SPARE, True),
        (SDKS_ASK_AGAIN, True),
        (timedelta(0), True),
        (-LIFE, True),
    ],
)
def test_credentials_are_stale_before_an_sdk_takes_them_for_stale(
    left: timedelta, stale: bool
) -> None:
    assert is_stale(HELD, now=HELD.expires_at - left) == stale


def test_no_credentials_are_stale() -> None:
    assert is_stale(None, now=START)


class Sts(Query):
    """Counts what it is asked, and gives numbered keys for LIFE from `clock`."""

    def __init__(self, clock: list[datetime]) -> None:
        self.clock, self.asked = clock, []

    def ask(self, _, parameters=None):
        self.asked.append(dict(parameters))
        ends = (self.clock[0] + LIFE).isoformat()
        return plain(
            f"<r><AssumeRoleResult><Credentials><AccessKeyId>key-{len(self.asked)}</AccessKeyId>"
            f"<Expiration>{ends}</Expiration></Credentials></AssumeRoleResult></r>"
        )


def test_each_machine_keeps_its_credentials_until_they_are_renewed() -> None:
    clock = [START]
    sts = Sts(clock)
    roles = Roles(iam=sts, sts=sts, now=lambda: clock[0])

    def key(machine_id: str) -> str:
        credentials = roles.with_credentials(ROLE, machine_id).credentials
        assert credentials
        return credentials.key_id

    assert [key("i-1"), key("i-1"), key("i-2")] == ["key-1", "key-1", "key-2"]
    clock[0] += LIFE - SPARE
    assert [key("i-1"), key("i-1")] == ["key-3", "key-3"]
    assert [asked["RoleSessionName"] for asked in sts.asked] == ["i-1", "i-2", "i-1"]


def test_another_role_has_other_credentials() -> None:
    sts = Sts([START])
    roles = Roles(iam=sts, sts=sts, now=lambda: START)
    roles.with_credentials(ROLE, "i-1")
    roles.with_credentials(replace(ROLE, arn="arn:other"), "i-1")
    assert [asked["RoleArn"] for asked in sts.asked] == ["arn:kafka", "arn:other"]


def test_a_profile_without_a_role_has_no_credentials() -> None:
    sts = Sts([START])
    empty = replace(ROLE, arn="", name="")
    assert Roles(iam=sts, sts=sts).with_credentials(empty, "i-1") == empty
    assert sts.asked == []


def test_secrets_do_not_show_in_a_log() -> None:
    held = replace(HELD, secret="very-secret", token="very-secret-too")
    assert "very-secret" not in repr(held)
