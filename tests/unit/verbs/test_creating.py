"""What a trial's machine says it is must be what its AMI was tagged with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.bake import key
from runtime.bake.bake import Baked
from runtime.contract.manifest import ImageRecord, Manifest
from runtime.contract.roles import Role
from runtime.errors import ReleaseError
from runtime.verbs.creating import refuse_other

IMAGE = ImageRecord(name="bullion/kafka:1", id="sha256:1", base="b", origin="packages")
SEEN = Manifest(role=Role.KAFKA, version="1", key="k1", source_ami="ami-1", images=(IMAGE,))
BAKED = Baked(role=Role.KAFKA, ami_id="ami-2", key="k1", is_new=False, why="", seconds=0.0)
TAGGED = key.of_images([IMAGE])


@pytest.mark.parametrize(
    "seen", [SEEN, replace(SEEN, version="2", source_ami="ami-9", packages={"bash": "5"})]
)
def test_a_machine_of_the_same_role_key_and_images_is_what_was_baked(seen: Manifest) -> None:
    refuse_other(seen, BAKED, images=TAGGED)


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (replace(SEEN, key="k2"), "key k2, and ami-2 has k1"),
        (replace(SEEN, role=Role.MONGO), "role mongo"),
        (replace(SEEN, images=()), f"images .* has {TAGGED}"),
        (replace(SEEN, images=(replace(IMAGE, id="sha256:2"),)), f"images .* has {TAGGED}"),
    ],
)
def test_a_machine_of_another_bake_is_refused_by_its_role(seen: Manifest, what: str) -> None:
    with pytest.raises(ReleaseError, match=f"the kafka machine is of another bake: .* {what}"):
        refuse_other(seen, BAKED, images=TAGGED)
