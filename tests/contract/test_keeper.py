"""The keeper's script in a network namespace, with nobody to load rules: routes alone decide."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime import proc
from runtime.lab.machines import network

MAC = "02:00:00:00:00:10"
# As Docker leaves a network namespace to its keeper, whose /run is its own.
PLUG_IN = """
mount -t tmpfs none /run
ip link set lo up
ip link add eth0 type veth peer name cable
ip address add 10.20.1.10/24 dev eth0
ip link set cable up
ip link set eth0 up
ip route add default via 10.20.1.1
ip link add docker0 type veth peer name nested
ip address add 172.17.0.1/16 dev docker0
ip link set nested up
ip link set docker0 up
echo 1 > /proc/sys/net/ipv4/ip_forward
"""
SERVICES = (network.IMDS_ADDRESS, network.DNS_ADDRESS)
OTHERS = ("169.254.1.1", "169.254.170.2", "169.254.255.254")
BEYOND = "198.51.100.1"


@pytest.mark.parametrize(
    "where",
    ["", "from 172.17.0.2 iif docker0"],  # codespell:ignore
    ids=["its own", "a container's"],
)
def test_link_local_addresses_do_not_leave_a_machine_without_rules(
    tmp_path: Path, where: str
) -> None:
    ask = f"ip -json route get $address {where} 2>/dev/null || echo '[]'"
    nft = tmp_path / "nft"  # reads no rules, but tells where the routes lead that it finds
    nft.write_text(
        f"#!/bin/sh\nfor address in {' '.join([*SERVICES, *OTHERS, BEYOND])}; do {ask}; done\n"
    )
    nft.chmod(0o755)
    script = f'PATH="{tmp_path}:$PATH"{PLUG_IN}{network.keeper_script(mac=MAC)}'

    said = proc.run(
        ["unshare", "--map-root-user", "--net", "--mount", "sh", "-ec", script], timeout_s=20
    ).stdout

    routes = [json.loads(line) for line in said.splitlines()]
    devices = [[route["dev"] for route in found] for found in routes]
    assert devices == [["lo"]] * len(SERVICES) + [[]] * len(OTHERS) + [["eth0"]]
