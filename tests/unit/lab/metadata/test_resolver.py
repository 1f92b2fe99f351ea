"""The name service of a VPC answers as EC2's does, and at once."""

from __future__ import annotations

import dns.message
import dns.rcode
import pytest

from runtime.lab.metadata import resolver


def ask(name: str, kind: str = "A", beyond: resolver.Ask | None = None) -> dns.message.Message:
    return resolver.answer(dns.message.make_query(name, kind), beyond)


@pytest.mark.parametrize(
    "name", ["ip-10-20-1-10.ec2.internal", "IP-10-20-1-10.eu-west-1.compute.internal"]
)
def test_a_machines_own_name_is_its_address(name: str) -> None:
    (row,) = ask(name).answer
    assert str(row[0]) == "10.20.1.10"


def test_a_name_that_has_no_such_record_has_an_empty_answer_and_no_error() -> None:
    reply = ask("ip-10-20-1-10.ec2.internal", "AAAA")
    assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])


def test_a_name_that_only_looks_like_an_address_is_none() -> None:
    assert ask("ip-10-20-1-999.ec2.internal").rcode() == dns.rcode.NXDOMAIN


def test_without_a_way_out_a_public_name_does_not_exist() -> None:
    assert ask("example.com").rcode() == dns.rcode.NXDOMAIN


def test_with_a_way_out_the_resolver_beyond_is_asked() -> None:
    asked = []

    def beyond(query: dns.message.Message) -> dns.message.Message:
        asked.append(query.question[0].name.to_text())
        return dns.message.make_response(query)

    ask("example.com", beyond=beyond)
    assert asked == ["example.com."]


def test_a_resolver_beyond_that_fails_is_a_failure_and_not_silence() -> None:
    def beyond(_: dns.message.Message) -> dns.message.Message:
        raise TimeoutError

    assert ask("example.com", beyond=beyond).rcode() == dns.rcode.SERVFAIL
