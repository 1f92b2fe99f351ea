"""Security groups, as EC2 describes them, become permissions for addresses."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from runtime.lab.machines.firewall import permissions
from runtime.lab.machines.network import Permission

GROUP = ET.fromstring("""
<item><ipPermissions>
  <item><ipProtocol>tcp</ipProtocol><fromPort>9092</fromPort><toPort>9092</toPort>
    <groups><item><groupId>sg-processor</groupId></item><item><groupId>sg-empty</groupId></item></groups>
    <ipRanges><item><cidrIp>10.0.0.0/8</cidrIp></item></ipRanges></item>
  <item><ipProtocol>tcp</ipProtocol><fromPort>22</fromPort><toPort>22</toPort>
    <groups><item><groupId>sg-empty</groupId></item></groups><ipRanges/></item>
</ipPermissions><ipPermissionsEgress>
  <item><ipProtocol>-1</ipProtocol><groups/>
    <ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges></item>
</ipPermissionsEgress></item>
""")  # noqa: S314  written here
MEMBERS = {"sg-processor": ["10.20.1.12", "10.20.1.14"]}


def test_a_group_stands_for_its_members_and_a_range_for_itself() -> None:
    found = list(permissions(GROUP, "ipPermissions", MEMBERS))
    peers = ("10.0.0.0/8", "10.20.1.12", "10.20.1.14")
    assert found == [Permission(protocol="tcp", first=9092, last=9092, peers=peers)]


def test_a_group_without_members_lets_nobody_in() -> None:
    assert [one.first for one in permissions(GROUP, "ipPermissions", {})] == [9092]


def test_every_protocol_is_every_protocol() -> None:
    assert list(permissions(GROUP, "ipPermissionsEgress", {})) == [
        Permission(protocol="", first=-1, last=-1, peers=("0.0.0.0/0",))
    ]
