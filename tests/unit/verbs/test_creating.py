"""What a trial's machine says it is must be what was baked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.contract.manifest import ImageRecord, Manifest
from runtime.contract.roles import Role
from runtime.errors import ReleaseError
from runtime.verbs.creating import refuse_other

IMAGE = ImageRecord(name="bullion/kafka:1", id="sha256:1", base="b", origin="packages")
BAKED = Manifest(role=Role.KAFKA, version="1", key="k1", source_ami="ami-1", images=(IMAGE,))


def test_a_machine_of_another_version_with_the_same_key_is_what_was_baked() -> None:
    refuse_other(replace(BAKED, version="2", packages={"bash": "5"}), BAKED)


@pytest.mark.parametrize(
    "seen",
    [
        replace(BAKED, key="k2"),
        replace(BAKED, role=Role.MONGO),
        replace(BAKED, images=()),
        replace(BAKED, images=(replace(IMAGE, id="sha256:2"),)),
    ],
)
def test_a_machine_of_another_bake_is_refused_by_its_role(seen: Manifest) -> None:
    with pytest.raises(ReleaseError, match="the kafka machine is of another bake"):
        refuse_other(seen, BAKED)
