"""The metadata service follows the API: what a client changes there, the machine reads at once."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError
from botocore.utils import InstanceMetadataFetcher

from tests.contract.emulator import LOOPBACK, Emulator

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
ROLE_PATH = "iam/security-credentials/"


@dataclass
class Machine:
    """A recorded machine, spoken for from its own address on loopback."""

    emulator: Emulator
    id: str
    address: str
    port: int

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=5, source_address=(self.address, 0)
        )
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a path below latest/, asked with a token."""
        status, token = self.ask("PUT", "/latest/api/token", {TTL: "60"})
        return self.ask("GET", f"/latest/{path}", {TOKEN: token}) if status == 200 else (status, "")

    def read(self, path: str) -> str:
        status, body = self.get(f"meta-data/{path}")
        assert status == 200, (path, body)
        return body

    def options(self, **changed: object) -> dict[str, object]:
        """Change metadata options through the API; return how a description shows them."""
        ec2 = self.emulator.client()
        ec2.modify_instance_metadata_options(InstanceId=self.id, **changed)
        found = ec2.describe_instances(InstanceIds=[self.id])["Reservations"][0]["Instances"]
        return found[0]["MetadataOptions"]


@pytest.fixture
def machines(emulator: Emulator) -> Iterator[list[Machine]]:
    """Two machines that tell tags and require tokens."""
    subnet = emulator.loopback_subnet()
    with emulator.metadata() as port:
        made = []
        for address in (f"{LOOPBACK}.0.10", f"{LOOPBACK}.0.11"):
            machine_id = emulator.recorded(
                **{
                    "SubnetId": subnet,
                    "PrivateIpAddress": address,
                    "InstanceType": "t3.small",
                    "MetadataOptions.HttpTokens": "required",
                    "MetadataOptions.HttpEndpoint": "enabled",
                    "MetadataOptions.HttpPutResponseHopLimit": "2",
                    "MetadataOptions.InstanceMetadataTags": "enabled",
                    "TagSpecification.1.ResourceType": "instance",
                    "TagSpecification.1.Tag.1.Key": "bullion:role",
                    "TagSpecification.1.Tag.1.Value": address,
                }
            )
            made.append(Machine(emulator=emulator, id=machine_id, address=address, port=port))
        yield made


@pytest.fixture
def machine(machines: list[Machine]) -> Machine:
    return machines[0]


def give_role(emulator: Emulator, name: str) -> str:
    """Make a role and a profile of that name; return the role's ARN."""
    iam = emulator.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return str(role["Arn"])


def test_each_machine_reads_its_own_documents(machines: list[Machine]) -> None:
    for machine in machines:
        assert machine.read("instance-id") == machine.id
        assert machine.read("tags/instance/bullion:role") == machine.address


def test_what_it_tells_is_what_the_api_describes(machine: Machine) -> None:
    ec2 = machine.emulator.client()
    found = ec2.describe_instances(InstanceIds=[machine.id])["Reservations"][0]
    item = found["Instances"][0]
    interface = item["NetworkInterfaces"][0]
    place = f"network/interfaces/macs/{interface['MacAddress']}"
    assert machine.read("network/interfaces/macs/") == f"{interface['MacAddress']}/"
    assert {
        "mac": interface["MacAddress"],
        "ami-id": item["ImageId"],
        "instance-type": "t3.small",
        "reservation-id": found["ReservationId"],
        "placement/availability-zone": item["Placement"]["AvailabilityZone"],
        "security-groups": "default",
        f"{place}/interface-id": interface["NetworkInterfaceId"],
        f"{place}/subnet-id": item["SubnetId"],
        f"{place}/vpc-id": item["VpcId"],
        f"{place}/subnet-ipv4-cidr-block": f"{LOOPBACK}.0.0/24",
        f"{place}/vpc-ipv4-cidr-blocks": f"{LOOPBACK}.0.0/16",
        f"{place}/owner-id": found["OwnerId"],
        f"{place}/security-group-ids": interface["Groups"][0]["GroupId"],
    } == {path: machine.read(path) for path in _paths(place)}
    assert machine.read("placement/availability-zone-id").startswith("use1-az")


def _paths(place: str) -> list[str]:
    below = "interface-id subnet-id vpc-id subnet-ipv4-cidr-block vpc-ipv4-cidr-blocks owner-id"
    return [
        *("mac", "ami-id", "instance-type", "reservation-id", "placement/availability-zone"),
        "security-groups",
        *(f"{place}/{name}" for name in [*below.split(), "security-group-ids"]),
    ]


def test_tokens_are_required_or_not_as_the_api_says_at_once(machine: Machine) -> None:
    without = ("GET", "/latest/meta-data/instance-id")
    assert machine.ask(*without)[0] == 401
    machine.options(HttpTokens="optional")
    assert machine.ask(*without) == (200, machine.id)
    machine.options(HttpTokens="required")
    assert machine.ask(*without)[0] == 401


def test_a_change_of_one_option_leaves_the_others(machine: Machine) -> None:
    assert machine.options(HttpPutResponseHopLimit=3) == {
        "State": "applied",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 3,
        "HttpEndpoint": "enabled",
        "HttpProtocolIpv6": "disabled",
        "InstanceMetadataTags": "enabled",
    }
    assert machine.options(HttpTokens="optional")["HttpPutResponseHopLimit"] == 3
    guest = machine.emulator.api.guests.at(machine.address)
    assert guest
    assert guest.hop_limit == 3


def test_the_reply_to_a_change_tells_all_options_pending(machine: Machine) -> None:
    ec2 = machine.emulator.client()
    reply = ec2.modify_instance_metadata_options(InstanceId=machine.id, HttpTokens="optional")
    options = reply["InstanceMetadataOptions"]
    assert (options["State"], options["HttpEndpoint"]) == ("pending", "enabled")


@pytest.mark.parametrize("wrong", [{"HttpPutResponseHopLimit": 0}, {"HttpPutResponseHopLimit": 65}])
def test_an_impossible_option_is_refused_and_changes_nothing(
    machine: Machine, wrong: dict[str, int]
) -> None:
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        machine.options(**wrong)
    assert machine.options(HttpTokens="required")["HttpPutResponseHopLimit"] == 2


def test_a_switched_off_endpoint_refuses_until_it_is_switched_on(machine: Machine) -> None:
    machine.options(HttpEndpoint="disabled")
    assert machine.get("meta-data/")[0] == 403
    machine.options(HttpEndpoint="enabled")
    assert machine.get("meta-data/")[0] == 200


def test_tags_follow_the_api(machine: Machine) -> None:
    ec2 = machine.emulator.client()
    ec2.create_tags(Resources=[machine.id], Tags=[{"Key": "new", "Value": "one"}])
    assert machine.read("tags/instance/") == "bullion:role\nnew"
    assert machine.read("tags/instance/new") == "one"
    ec2.create_tags(Resources=[machine.id], Tags=[{"Key": "new", "Value": "two"}])
    assert machine.read("tags/instance/new") == "two"
    ec2.delete_tags(Resources=[machine.id], Tags=[{"Key": "new"}])
    assert machine.get("meta-data/tags/instance/new")[0] == 404


def test_tags_are_told_only_while_the_api_says_so(machine: Machine) -> None:
    machine.options(InstanceMetadataTags="disabled")
    assert machine.get("meta-data/tags/instance/")[0] == 404
    assert "tags/" not in machine.read("").split("\n")
    machine.options(InstanceMetadataTags="enabled")
    assert machine.read("tags/instance/bullion:role") == machine.address


@pytest.mark.parametrize("key", ["a/b", "a b", "_index", ".."])
def test_a_key_that_metadata_cannot_tell_is_refused(machine: Machine, key: str) -> None:
    ec2 = machine.emulator.client()
    tag = {"Resources": [machine.id], "Tags": [{"Key": key, "Value": "x"}]}
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        ec2.create_tags(**tag)
    machine.options(InstanceMetadataTags="disabled")
    ec2.create_tags(**tag)
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        machine.options(InstanceMetadataTags="enabled")


def test_user_data_is_absent_or_what_was_given_last(machine: Machine) -> None:
    assert machine.get("user-data")[0] == 404
    ec2 = machine.emulator.ec2
    ec2.ask("StopInstances", {"InstanceId.1": machine.id})
    machine.emulator.client().modify_instance_attribute(
        InstanceId=machine.id, UserData={"Value": b"#cloud-config\n"}
    )
    assert machine.get("user-data") == (200, "#cloud-config\n")


def test_an_attribute_that_is_empty_is_no_user_data(machine: Machine) -> None:
    encoded = base64.b64encode(b"").decode()
    assert encoded == ""
    assert machine.get("user-data")[0] == 404


def test_without_a_profile_there_are_no_credentials(machine: Machine) -> None:
    assert machine.get(f"meta-data/{ROLE_PATH}")[0] == 404
    assert machine.get("meta-data/iam/info")[0] == 404


def test_a_profile_given_to_a_running_machine_shows_and_goes_when_taken(machine: Machine) -> None:
    give_role(machine.emulator, "kafka")
    ec2 = machine.emulator.client()
    given = ec2.associate_iam_instance_profile(
        IamInstanceProfile={"Name": "kafka"}, InstanceId=machine.id
    )["IamInstanceProfileAssociation"]
    assert machine.read(ROLE_PATH) == "kafka"
    info = json.loads(machine.read("iam/info"))
    assert (info["Code"], info["InstanceProfileArn"]) == (
        "Success",
        given["IamInstanceProfile"]["Arn"],
    )

    give_role(machine.emulator, "mongo")
    given = ec2.replace_iam_instance_profile_association(
        IamInstanceProfile={"Name": "mongo"}, AssociationId=given["AssociationId"]
    )["IamInstanceProfileAssociation"]
    assert machine.read(ROLE_PATH) == "mongo"
    assert machine.get(f"meta-data/{ROLE_PATH}kafka")[0] == 404

    ec2.disassociate_iam_instance_profile(AssociationId=given["AssociationId"])
    assert machine.get(f"meta-data/{ROLE_PATH}")[0] == 404


def test_a_change_in_iam_shows_at_once(machine: Machine) -> None:
    give_role(machine.emulator, "kafka")
    machine.emulator.client().associate_iam_instance_profile(
        IamInstanceProfile={"Name": "kafka"}, InstanceId=machine.id
    )
    assert machine.read(ROLE_PATH) == "kafka"
    machine.emulator.client("iam").remove_role_from_instance_profile(
        InstanceProfileName="kafka", RoleName="kafka"
    )
    assert machine.get(f"meta-data/{ROLE_PATH}")[0] == 404


def test_boto3s_own_fetcher_finds_credentials_that_are_the_roles(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = give_role(machine.emulator, "kafka")
    machine.emulator.client().associate_iam_instance_profile(
        IamInstanceProfile={"Name": "kafka"}, InstanceId=machine.id
    )
    _speak_from(machine.address, monkeypatch)
    fetcher = InstanceMetadataFetcher(base_url=f"http://127.0.0.1:{machine.port}/", env={})
    found = fetcher.retrieve_iam_role_credentials()
    monkeypatch.undo()

    assert found["role_name"] == "kafka"
    sts = machine.emulator.client(
        "sts",
        aws_access_key_id=found["access_key"],
        aws_secret_access_key=found["secret_key"],
        aws_session_token=found["token"],
    )
    me = sts.get_caller_identity()
    assert me["Arn"] == arn.replace(":iam:", ":sts:").replace(
        ":role/kafka", f":assumed-role/kafka/{machine.id}"
    )


def test_boto3s_own_fetcher_finds_nothing_for_a_machine_without_a_role(
    machines: list[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_role, without = machines
    give_role(with_role.emulator, "kafka")
    with_role.emulator.client().associate_iam_instance_profile(
        IamInstanceProfile={"Name": "kafka"}, InstanceId=with_role.id
    )
    _speak_from(without.address, monkeypatch)
    fetcher = InstanceMetadataFetcher(base_url=f"http://127.0.0.1:{without.port}/", env={})
    assert fetcher.retrieve_iam_role_credentials() == {}


def _speak_from(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make urllib3, which botocore speaks through, connect from an address of a machine."""
    from urllib3.util import connection

    true = connection.create_connection

    def from_there(to, timeout=None, source_address=None, socket_options=None):
        return true(to, timeout, (address, 0), socket_options)

    monkeypatch.setattr(connection, "create_connection", from_there)
