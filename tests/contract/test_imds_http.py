"""The metadata service over HTTP refuses as EC2's does."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from runtime.lab.metadata.documents import Guest
from runtime.lab.metadata.imds import Imds, Tokens

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
NAME = "/latest/meta-data/instance-id"
KAFKA = Guest(
    id="i-0123456789abcdef0",
    address="127.0.0.1",
    mac="02:00:00:00:00:01",
    interface_id="eni-1",
    ami_id="ami-0123456789abcdef0",
    machine_type="t3.small",
    zone="us-east-1a",
    zone_id="use1-az4",
    subnet_id="subnet-1",
    subnet_cidr="127.0.0.0/24",
    vpc_id="vpc-1",
    vpc_cidrs=("127.0.0.0/16",),
    account="123456789012",
    reservation_id="r-1",
    launched_at="2026-01-01T00:00:00Z",
    key_name="operator",
    public_key="ssh-ed25519 AAAA operator",
    user_data=b"",
    tags={},
)


@dataclass
class Service:
    """A running service, and which machine it takes each loopback address for."""

    port: int
    guests: dict[str, Guest] = field(default_factory=dict)
    clock: list[float] = field(default_factory=lambda: [0.0])

    def ask(
        self, method: str, path: str, source: str = "127.0.0.1", **headers: str
    ) -> tuple[int, str]:
        names = {"ttl": TTL, "token": TOKEN, "forwarded": "X-Forwarded-For"}
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=5, source_address=(source, 0)
        )
        connection.request(
            method, path, headers={names[key]: text for key, text in headers.items()}
        )
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def token(self, source: str = "127.0.0.1", ttl: str = "60") -> str:
        status, token = self.ask("PUT", "/latest/api/token", source, ttl=ttl)
        assert status == 200
        return token


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service(port=0)
    server = Imds(("127.0.0.1", 0), find=made.guests.get, tokens=Tokens(now=lambda: made.clock[0]))
    made.port = server.server_address[1]
    made.guests["127.0.0.1"] = KAFKA
    made.guests["127.0.0.2"] = replace(KAFKA, id="i-other", address="127.0.0.2")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_token_opens_the_machines_own_documents(service: Service) -> None:
    assert service.ask("GET", NAME, token=service.token()) == (200, KAFKA.id)


def test_without_a_token_nothing_is_told(service: Service) -> None:
    assert service.ask("GET", NAME)[0] == 401
    assert service.ask("GET", "/latest/user-data")[0] == 401


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-1", "ten", "1.5"])
def test_a_token_needs_a_time_to_live_of_up_to_six_hours(service: Service, ttl: str) -> None:
    assert service.ask("PUT", "/latest/api/token", ttl=ttl)[0] == 400


def test_a_token_needs_a_time_to_live_at_all(service: Service) -> None:
    assert service.ask("PUT", "/latest/api/token")[0] == 400


def test_a_forwarded_request_for_a_token_is_refused(service: Service) -> None:
    assert service.ask("PUT", "/latest/api/token", ttl="60", forwarded="10.0.0.1")[0] == 403


def test_a_token_is_of_no_use_to_another_machine(service: Service) -> None:
    token = service.token()
    assert service.ask("GET", NAME, "127.0.0.2", token=token)[0] == 401
    assert service.ask("GET", NAME, "127.0.0.2", token=service.token("127.0.0.2")) == (
        200,
        "i-other",
    )


def test_an_invented_token_is_refused(service: Service) -> None:
    assert service.ask("GET", NAME, token="invented")[0] == 401


def test_an_unknown_path_and_an_unknown_machine_find_nothing(service: Service) -> None:
    assert service.ask("GET", "/latest/meta-data/nonsense", token=service.token())[0] == 404
    assert service.ask("GET", NAME, "127.0.0.3")[0] == 404


def test_a_switched_off_service_refuses_everything(service: Service) -> None:
    service.guests["127.0.0.1"] = replace(KAFKA, is_enabled=False)
    assert service.ask("PUT", "/latest/api/token", ttl="60")[0] == 403
    assert service.ask("GET", NAME)[0] == 403


def test_where_tokens_are_optional_the_old_way_works(service: Service) -> None:
    service.guests["127.0.0.1"] = replace(KAFKA, is_token_required=False)
    assert service.ask("GET", NAME) == (200, KAFKA.id)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/latest/api/token"),
        ("POST", "/latest/api/token"),
        ("DELETE", "/latest/api/token"),
        ("PUT", NAME),
        ("POST", NAME),
        ("PATCH", NAME),
    ],
)
def test_a_wrong_method_is_not_allowed(service: Service, method: str, path: str) -> None:
    assert service.ask(method, path, token=service.token(), ttl="60")[0] == 405


def test_a_proxy_is_refused_a_token_even_when_it_names_nobody(service: Service) -> None:
    assert service.ask("PUT", "/latest/api/token", ttl="60", forwarded="")[0] == 403


def test_a_token_that_is_wrong_is_refused_even_where_none_is_required(service: Service) -> None:
    service.guests["127.0.0.1"] = replace(KAFKA, is_token_required=False)
    assert service.ask("GET", NAME, token="invented")[0] == 401


def test_a_token_ends_by_its_time_to_live(service: Service) -> None:
    token = service.token(ttl="60")
    assert service.ask("GET", NAME, token=token)[0] == 200
    service.clock[0] += 60
    assert service.ask("GET", NAME, token=token)[0] == 401


def test_a_name_in_the_path_may_be_percent_encoded(service: Service) -> None:
    service.guests["127.0.0.1"] = replace(KAFKA, tags={"bullion:role": "kafka"})
    path = "/latest/meta-data/tags/instance/bullion%3Arole"
    assert service.ask("GET", path, token=service.token()) == (200, "kafka")
