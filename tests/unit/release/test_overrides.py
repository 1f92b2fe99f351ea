"""A release that does not have a parameter is not launched with an override of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import ReleaseError
from runtime.release import overrides
from tests.unit.release.records import release

KNOWN = {"bullion-param:batch_size": "7", "bullion:role": "kafka", "Name": "bullion-kafka"}
FILE = "terraform/lab.tfvars"


def test_overrides_of_what_it_has_and_all_other_tags_are_fine(tmp_path: Path) -> None:
    tags = {"kafka": KNOWN, "processor-2": KNOWN, "mongo": {}}
    overrides.refuse_unknown(release(tmp_path), tags, source=FILE)
    assert overrides.of_tags(KNOWN) == {"batch_size": "7"}


@pytest.mark.parametrize(("machine", "role"), [("kafka", "kafka"), ("processor-2", "processor")])
def test_an_override_of_what_it_lacks_is_refused_by_name_role_and_file(
    tmp_path: Path, machine: str, role: str
) -> None:
    tags = {"mongo": KNOWN, machine: KNOWN | {"bullion-param:newer": "1"}}
    with pytest.raises(ReleaseError) as refused:
        overrides.refuse_unknown(release(tmp_path), tags, source=FILE)
    said = f"release 2026.11.24 has no parameter newer of {role}, which terraform/lab.tfvars sets"
    assert refused.value.message.startswith(said)
    assert refused.value.hint == "take newer out of terraform/lab.tfvars, then try again"
