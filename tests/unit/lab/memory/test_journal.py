"""The journal's file, what is kept in it and what is left out when it is read again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from runtime.errors import LabError
from runtime.lab.memory.journal import Call, Entry, Journal, addresses_in, compact, ids_in

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


def signed(service: str, **headers: str) -> dict[str, str]:
    scope = f"lab/20260101/us-east-1/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, Signature=x"} | headers


def call(
    method: str = "POST", url: str = "/", service: str = "ec2", body: bytes = b"", **headers: str
) -> Call:
    return Call(method=method, url=url, headers=signed(service, **headers), body=body)


def s3(method: str, url: str, status: int = 200, **headers: str) -> Entry:
    return Entry(call=call(method, url, "s3", **headers), seed=1, at=0, status=status)


@pytest.mark.parametrize(
    ("one", "is_read"),
    [
        (call(body=b"Action=DescribeInstances", **FORM), True),
        (call(body=b"Action=RunInstances", **FORM), False),
        (call(body=b"Action=GetConsoleOutput", **FORM), True),
        (call("GET", "/?Action=CreateVpc&Version=1"), False),
        (call(service="ssm", **{"X-Amz-Target": "AmazonSSM.GetParameter"}), True),
        (call(service="ssm", **{"X-Amz-Target": "AmazonSSM.PutParameter"}), False),
        (call("GET", "/bucket/key", "s3"), True),
        (call("HEAD", "/bucket", "s3"), True),
        (call("PUT", "/bucket/key", "s3"), False),
        (call("DELETE", "/bucket/key", "s3"), False),
        (call("POST", "/bucket?delete", "s3"), False),
        (call(body=b"Action=WhatIsThis", **FORM), False),
    ],
)
def test_what_only_asks_is_told_from_what_changes(one: Call, is_read: bool) -> None:
    assert one.is_read is is_read


def test_a_call_says_which_region_and_service_it_is_for() -> None:
    assert call(service="iam").scope == ("us-east-1", "iam")
    assert Call(method="GET", url="/", headers={}, body=b"").scope == ("", "")


def test_ids_are_found_in_an_answer() -> None:
    answer = b"<a>i-0123456789abcdef0</a><b>vpc-0123456789abcdef0</b><a>i-0123456789abcdef0</a>"
    assert ids_in(answer) == ("i-0123456789abcdef0", "vpc-0123456789abcdef0")


def test_private_addresses_are_found_in_an_answer() -> None:
    answer = b"<privateIpAddress>10.0.0.5</privateIpAddress><cidrBlock>10.0.0.0/8</cidrBlock>"
    assert addresses_in(answer) == ("10.0.0.5",)


def test_a_line_of_before_addresses_were_written_down_is_read_without() -> None:
    row = json.loads(Entry(call=call(), seed=1, at=0, status=200, addresses=()).line())
    assert Entry.parse(row).addresses == ()
    del row["addresses"]
    assert Entry.parse(row).addresses is None


def test_of_an_object_that_is_written_often_the_last_state_is_kept() -> None:
    state, lock = "/state/a.tfstate?x-id=PutObject", "/state/a.tfstate.tflock"
    entries = [
        s3("PUT", "/state"),
        *[s3("PUT", lock), s3("PUT", state), s3("DELETE", lock, 204)] * 3,
        s3("PUT", lock, 412),
    ]
    kept = [(entry.call.method, entry.call.url) for entry in compact(entries)]
    assert kept == [("PUT", "/state"), ("PUT", state), ("DELETE", lock)]


def test_a_refused_put_does_not_stand_for_the_one_before() -> None:
    entries = [s3("PUT", "/state/a"), s3("PUT", "/state/a", 412)]
    assert compact(entries) == entries[:1]


def test_nothing_is_left_out_that_a_copy_may_have_read() -> None:
    copy = s3("PUT", "/state/b", **{"X-Amz-Copy-Source": "state/a"})
    entries = [s3("PUT", "/state/a"), copy, s3("PUT", "/state/a")]
    assert compact(entries) == entries


def test_requests_to_other_services_are_all_kept() -> None:
    made = Entry(call=call(body=b"Action=CreateVpc", **FORM), seed=1, at=0, status=400)
    assert compact([made, made]) == [made, made]


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, region="us-east-1")
    entry = Entry(
        call=call(body=b"\xff\x00", **FORM),
        seed=7,
        at=1.5,
        status=200,
        ids=("i-0123456789abcdef0",),
    )
    journal.append(entry)
    journal.close()
    again = Journal(path, region="us-east-1")
    assert again.entries == [entry]
    assert again.seed == journal.seed
    assert not again.dropped


def test_a_torn_last_line_is_dropped_with_a_word_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, region="us-east-1")
    entry = Entry(call=call(body=b"Action=CreateVpc", **FORM), seed=7, at=1.5, status=200)
    for seed in (1, 2):
        journal.append(dataclasses.replace(entry, seed=seed))
    journal.close()
    path.write_bytes(path.read_bytes()[:-9])

    torn = Journal(path, region="us-east-1")
    torn.append(dataclasses.replace(entry, seed=3))
    torn.close()

    assert "never answered" in torn.dropped
    assert [one.seed for one in Journal(path, region="us-east-1").entries] == [1, 3]


@pytest.mark.parametrize("line", [1, 2])
def test_other_damage_is_named_by_file_and_line(tmp_path: Path, line: int) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, region="us-east-1")
    for _ in range(2):
        journal.append(Entry(call=call(), seed=1, at=0, status=200))
    journal.close()
    lines = path.read_text().splitlines()
    lines[line - 1] = lines[line - 1][:-5]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(LabError, match=rf"journal\.jsonl is damaged in line {line}: .*") as raised:
        Journal(path, region="us-east-1")
    assert "lab.reset" in raised.value.hint


def test_a_lab_of_another_region_is_not_taken_for_this_one(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.jsonl", region="eu-west-1").close()
    with pytest.raises(LabError, match="made in eu-west-1, and us-east-1 is asked for"):
        Journal(tmp_path / "journal.jsonl", region="us-east-1")


def test_a_journal_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"journal": 99, "region": "us-east-1", "seed": 1}\n')
    with pytest.raises(LabError, match="format 99"):
        Journal(path, region="us-east-1")
