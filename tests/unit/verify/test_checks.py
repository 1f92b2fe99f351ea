"""Which machines are checked, and what is said of them by name."""

from __future__ import annotations

from runtime.cloud.machines import Machine
from runtime.contract.checks import Check
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.verify import checks


def machine(name: str, role: Role) -> Machine:
    return Machine(
        id=f"i-{name}",
        name=name,
        role=role,
        state="running",
        address="",
        public_address="",
        ami_id="",
        release="",
    )


KNOWN = {
    "kafka": machine("kafka", Role.KAFKA),
    "processor": machine("processor", Role.PROCESSOR),
    "processor-2": machine("processor-2", Role.PROCESSOR),
    "i-7": machine("i-7", Role.PROCESSOR),
}
PLACES = ["kafka", "mongo", "processor", "processor-2", "processor-3", "somebody-elses"]


def test_each_role_is_checked_and_each_machine_that_is_there_or_should_be() -> None:
    assert checks.choose(MACHINE_ROLES, KNOWN, PLACES) == [
        *("kafka", "mongo", "processor", "i-7", "processor-2", "processor-3", "producers")
    ]
    assert checks.choose([Role.MONGO], KNOWN, PLACES) == ["mongo"]
    assert checks.choose(MACHINE_ROLES, {}, []) == list(MACHINE_ROLES)


def test_a_hint_names_the_machine_and_not_its_role() -> None:
    def hint(text: str) -> str:
        check = Check(name="stack", ok=False, expected="x", seen="y", hint=text)
        return checks.name_in_hint(check, KNOWN["processor-2"]).hint

    assert hint("./invoke logs processor") == "./invoke logs processor-2"
    assert hint("./invoke refresh --role processor") == "./invoke refresh --role processor"
