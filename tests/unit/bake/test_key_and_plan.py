"""Same inputs, same key, nothing to do; and a person is told which input changed."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path, PurePosixPath

import pytest
from freezegun import freeze_time

from runtime.bake import key, plan, tools
from runtime.bake.stage import inputs, machine_program
from runtime.contract.paths import MACHINE_PROGRAM
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.settings import ROOT, Settings

INPUTS = {"source": "ami-1", "packer/build.pkr.hcl": "aa", "tool packer": "1.16.0"}


def decide(**more: object) -> plan.Bake:
    options = {"existing": {}, "before": None, "forced": False} | more
    return plan.decide(Role.KAFKA, INPUTS, **options)


def test_the_order_of_inputs_does_not_change_the_key() -> None:
    assert key.digest(INPUTS) == key.digest(dict(reversed(INPUTS.items())))


@pytest.mark.parametrize("name", INPUTS)
def test_any_changed_input_changes_the_key(name: str) -> None:
    assert key.digest(INPUTS | {name: "other"}) != key.digest(INPUTS)


def test_an_ami_with_the_key_is_kept() -> None:
    kept = decide(existing={key.digest(INPUTS): "ami-9"})
    assert (kept.is_needed, kept.ami_id, kept.why) == (False, "ami-9", "nothing changed")


def test_force_bakes_although_nothing_changed() -> None:
    assert decide(existing={key.digest(INPUTS): "ami-9"}, forced=True).is_needed


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (None, "never baked here"),
        (INPUTS, "its AMI is gone"),
        (INPUTS | {"source": "ami-0"}, "changed: source"),
        ({"a": "1", "b": "2"}, "changed: a, b, packer/build.pkr.hcl and 2 more"),
    ],
)
def test_the_reason_names_what_changed(before: dict[str, str] | None, why: str) -> None:
    assert decide(before=before).why == why


def test_the_amis_name_tells_role_version_and_key() -> None:
    name = plan.ami_name(Role.MONGO, "2026.11.24", "0123456789ab")
    assert name == "bullion-mongo-2026.11.24-01234567"


@pytest.mark.parametrize("role", MACHINE_ROLES)
def test_inputs_of_a_role_are_its_own_files_by_relative_path(role: Role) -> None:
    found = inputs(ROOT, role)
    others = {f"runtime/rootfs/{other}/" for other in Role if other is not role}
    assert any(name.startswith(f"runtime/rootfs/{role}/") for name in found)
    assert not [name for name in found if name.startswith((*others, "/"))]


def test_neither_folder_nor_user_nor_umask_nor_clock_changes_a_key(
    lab_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = clone(tmp_path / "one"), clone(tmp_path / "another place/under a name")
    for path in there.rglob("*"):
        path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)
        os.utime(path, (1, 1))
    expected = keys(lab_settings, here)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("USER", "somebody")
    time.tzset()
    with freeze_time("2031-05-05"):
        assert keys(lab_settings, there) == expected
    monkeypatch.undo()
    time.tzset()


def test_whether_a_file_runs_changes_its_key(lab_settings: Settings, tmp_path: Path) -> None:
    root = clone(tmp_path / "one")
    before = keys(lab_settings, root)
    (root / "images/mongo/start").chmod(0o644)
    assert changed(before, keys(lab_settings, root)) == {Role.MONGO}


@pytest.mark.parametrize(
    ("path", "rebaked"),
    [
        ("images/processor/processor/app.py", {Role.PROCESSOR}),
        ("images/kafka/start", {Role.KAFKA}),
        ("images/kafka/base/pom.xml", {Role.KAFKA}),
        ("images/python-base/Dockerfile", {Role.PROCESSOR, Role.PRODUCERS}),
        ("runtime/rootfs/mongo/usr/lib/bullion/probe", {Role.MONGO}),
        ("runtime/rootfs/base/usr/bin/bullion", set(Role)),
        ("runtime/machine/boot.py", set(Role)),
        ("runtime/contract/ports.py", set(Role)),
        ("packer/provisioners/cleanup.sh", set(Role)),
        ("packer/build.pkr.hcl", set(Role)),
        ("README.md", set()),
        ("images/README.md", set()),
    ],
)
def test_a_changed_file_changes_the_keys_of_those_it_lands_in(
    lab_settings: Settings, tmp_path: Path, path: str, rebaked: set[Role]
) -> None:
    root = clone(tmp_path / "one")
    before = keys(lab_settings, root)
    with (root / path).open("a") as file:
        file.write("# more")
    assert changed(before, keys(lab_settings, root)) == rebaked


def test_another_tool_or_source_changes_every_key(lab_settings: Settings) -> None:
    before = keys(lab_settings, ROOT)
    assert changed(before, keys(lab_settings, ROOT, packer="1.17.0")) == set(Role)
    assert changed(before, keys(lab_settings, ROOT, source="ami-2")) == set(Role)


def test_a_container_base_from_elsewhere_changes_the_key(lab_settings: Settings) -> None:
    of = {"source": "k", "tools": {}}
    one, other = (
        key.collect(lab_settings, Role.KAFKA, origin=origin, **of)
        for origin in ("registry: kafka 4", "packages: kafka 4")
    )
    assert key.changed(one, other) == ["container base"]


def test_a_tools_version_is_asked_for_once_and_again_when_its_file_changed(tmp_path: Path) -> None:
    program, memory, asked = tmp_path / "packer-1", tmp_path / "cache/versions.json", []

    def ask(path: Path) -> str:
        asked.append(path)
        return path.read_text()

    program.write_text("1.16.0")
    assert [tools.remembered(memory, program, ask) for _ in range(2)] == ["1.16.0", "1.16.0"]
    assert len(asked) == 1
    program.write_text("1.16.10")
    assert tools.remembered(memory, program, ask) == "1.16.10"
    assert len(json.loads(memory.read_text())) == 1


def clone(into: Path) -> Path:
    """Copy what keys are made of."""
    for name in ("packer", "images", "runtime", "README.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        into.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, into / name)
    return into


def keys(
    settings: Settings, root: Path, *, packer: str = "1.16.0", source: str = "ami-1"
) -> dict[Role, str]:
    """Return each role's key as a bake chains them: base's goes into the others'."""
    settings = dataclasses.replace(settings, root=root)
    versions = {"packer": packer}
    base = key.digest(key.collect(settings, Role.BASE, source=source, tools=versions))
    return {Role.BASE: base} | {
        role: key.digest(
            key.collect(settings, role, source=base, tools=versions, origin="packages: 1")
        )
        for role in MACHINE_ROLES
    }


def changed(before: dict[Role, str], after: dict[Role, str]) -> set[Role]:
    return {role for role in before if before[role] != after[role]}


def test_the_machine_program_holds_no_test_and_no_operator_code() -> None:
    names = [PurePosixPath(name).relative_to(MACHINE_PROGRAM) for name in machine_program(ROOT)]
    rooms = {name.parts[1] for name in names if len(name.parts) > 2}
    assert rooms == {"contract", "machine"}
