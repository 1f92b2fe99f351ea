"""What runs and what is released, as a person asks: the list, drift, and what may be pruned."""

from __future__ import annotations

import json

import pytest

from runtime.cloud import machines, ssh
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role

pytestmark = pytest.mark.e2e

BAKED = "/usr/share/bullion/parameters.json"
GONE = "/usr/lib/tmpfiles.d/bullion.conf"
KEPT = "/root/kept"


def test_drift_is_named_and_gone_when_it_is_put_back(target: Target, invoke) -> None:
    clean = invoke("drift")
    producers = machines.find(target, Role.PRODUCERS)
    tag = {"Key": "bullion-param:batch_size", "Value": "7"}
    spoil = f"sudo mkdir {KEPT}; sudo cp -p {BAKED} {KEPT}; sudo mv {GONE} {KEPT}"
    mend = f"sudo mv {KEPT}/parameters.json {BAKED}; sudo mv {KEPT}/bullion.conf {GONE}"
    ssh.run(target, producers, [f"{spoil}; echo | sudo tee -a {BAKED}"], timeout_s=30)
    target.ec2.create_tags(Resources=[producers.id], Tags=[tag])
    drifted = invoke("drift", "--json")
    target.ec2.delete_tags(Resources=[producers.id], Tags=[{"Key": tag["Key"]}])
    ssh.run(target, producers, [f"{mend}; sudo rmdir {KEPT}"], timeout_s=30)
    healed = invoke("drift")

    assert clean.status == 0, clean.stdout + clean.stderr
    assert "nothing differs" in clean.stdout
    assert drifted.status == 16, drifted.stderr
    assert "4 things are not as release" in drifted.stderr
    found = {
        (one["machine"], one["kind"], one["expected"], one["seen"])
        for one in json.loads(drifted.stdout)["differences"]
    }
    assert found == {
        ("producers", "file", f"{BAKED} as baked", "changed"),
        ("producers", "file", f"{GONE} as baked", "missing"),
        ("producers", "parameter", "batch_size = as baked", "tag says 7"),
        ("producers", "parameter", "batch_size = 7", "in force: 50"),
    }
    assert healed.status == 0, healed.stdout


def test_the_release_that_runs_is_listed_shown_and_not_pruned(target: Target, invoke) -> None:
    running = {one.release for one in machines.find_all(target).values()}
    listed = {row["version"]: row for row in json.loads(invoke("release.list", "--json").stdout)}
    (version,) = running
    shown = json.loads(invoke("release.show", version, "--json").stdout)
    same = invoke("release.diff", version, version)
    plan = json.loads(invoke("release.prune", "--json").stdout)

    assert listed[version]["runs"] == list(MACHINE_ROLES)
    assert listed[version]["channels"] == ["stable"]
    assert shown["parts"].keys() == shown["guards"].keys() == set(MACHINE_ROLES)
    assert all(one["is_protected"] for one in shown["guards"].values())
    assert f"{version} and {version} hold the same" in same.stdout
    (kept,) = [one for one in plan["stay"] if one["version"] == version]
    why = " ".join(kept["why"])
    assert "channel stable points to it" in why
    assert all(f"instance {one.id}" in why for one in machines.find_all(target).values())
    assert plan["done"] is None
