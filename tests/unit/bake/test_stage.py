"""What lands on a machine is the same bytes for the same inputs."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from runtime.bake import stage
from runtime.contract import parameters
from runtime.contract.manifest import ImageRecord, Manifest
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.settings import ROOT


def manifest(role: Role, *, with_image: bool = True) -> Manifest:
    image = ImageRecord(name=f"bullion/{role}:abc", id="sha256:abc", base="b", origin="packages")
    images = (image,) if with_image and role is not Role.BASE else ()
    return Manifest(role=role, version="v", key="k", source_ami="ami-1", images=images)


@pytest.mark.parametrize("role", [Role.BASE, *MACHINE_ROLES])
def test_a_stage_is_the_same_bytes_twice_and_root_owns_it(role: Role, tmp_path: Path) -> None:
    archives = []
    for name in ("once", "again"):
        into = tmp_path / name
        into.mkdir()
        stage.stage(ROOT, manifest(role), into)
        archives.append((into / "rootfs.tar").read_bytes())
    assert archives[0] == archives[1]
    with tarfile.open(tmp_path / "once/rootfs.tar") as archive:
        entries = archive.getmembers()
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries} == {(0, 0, 0)}
    assert not [entry.name for entry in entries if entry.name.endswith(".j2")]


def test_the_compose_file_names_the_image_that_was_built(tmp_path: Path) -> None:
    stage.stage(ROOT, manifest(Role.KAFKA), tmp_path)
    with tarfile.open(tmp_path / "rootfs.tar") as archive:
        compose = archive.extractfile("usr/share/bullion/stack/compose.yaml")
        parameters = archive.extractfile("usr/share/bullion/parameters.json")
        assert compose
        assert parameters
        assert "image: bullion/kafka:abc" in compose.read().decode()
        names = [row["name"] for row in json.loads(parameters.read())]
    assert names == [
        "gpu_topic",
        "token_topic",
        "topic_partitions",
        "kafka_heap_mb",
        "kafka_flush_messages",
    ]


@pytest.mark.parametrize("role", MACHINE_ROLES)
def test_the_manifest_tells_every_staged_file_of_base_and_role_as_it_lands(
    role: Role, tmp_path: Path
) -> None:
    landed = {}
    for one in (Role.BASE, role):
        stage.stage(ROOT, manifest(one), tmp_path)
        with tarfile.open(tmp_path / "rootfs.tar") as archive:
            for entry in archive.getmembers():
                content = archive.extractfile(entry)
                assert content
                landed[f"/{entry.name}"] = hashlib.sha256(content.read()).hexdigest()
    whole = stage.complete(ROOT, manifest(role))
    assert whole.files == landed
    assert "/usr/lib/bullion/machine/__main__.py" in whole.files
    assert "/usr/share/bullion/stack/compose.yaml" in whole.files


def test_the_manifest_tells_the_parameters_defaults_as_text() -> None:
    whole = stage.complete(ROOT, manifest(Role.KAFKA))
    assert whole.parameters["gpu_topic"] == "gpu.metrics.v1"
    assert list(whole.parameters) == [p.name for p in parameters.for_role(Role.KAFKA)]
    assert all(isinstance(value, str) for value in whole.parameters.values())


@pytest.mark.parametrize("role", [Role.BASE, *MACHINE_ROLES])
def test_a_manifest_is_the_same_twice_and_reads_back(role: Role) -> None:
    once, again = (stage.complete(ROOT, manifest(role)).to_json() for _ in range(2))
    assert once == again
    assert Manifest.parse(once) == stage.complete(ROOT, manifest(role))


def test_a_template_that_names_an_unknown_image_fails(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError, match="kafka"):
        stage.stage(ROOT, manifest(Role.KAFKA, with_image=False), tmp_path)
