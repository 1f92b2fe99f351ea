"""Looking at what runs, and proving that it does its part."""

from __future__ import annotations

from runtime import console
from runtime.cloud import machines
from runtime.contract.roles import parse_role
from runtime.settings import Settings
from runtime.verbs.common import find_target, running, running_stand_ins
from runtime.verbs.operating import parse_count
from runtime.verify import checks, workflow


def status(settings: Settings, *, as_json: bool) -> None:
    """Show machines, the release they run, and the bases of its images."""
    target = find_target(settings)
    found = machines.find_all(target)
    records = [
        image
        for release in running(settings, target)
        for part in release.parts.values()
        for image in part.images
    ]
    if as_json:
        console.result_json(
            {
                "target": settings.target,
                "machines": [vars(machine) for machine in found.values()],
                "images": [vars(image) for image in records],
            }
        )
        return
    rows = [(m.name, m.state, m.id, m.reach, m.ami_id, m.release) for m in found.values()]
    for line in console.layout(
        rows, header=("machine", "state", "id", "address", "AMI", "release")
    ):
        console.result(line)
    console.result("")
    bases = [(i.name, i.base, i.origin, i.stand_in or "-") for i in records]
    for line in console.layout(bases, header=("image", "base", "from", "stand-in")):
        console.result(line)


def verify(settings: Settings, *, as_json: bool) -> None:
    """Check every machine, then the workflow; banner at the end."""
    target = find_target(settings)
    verdicts = checks.run(target)
    checks.report(verdicts)
    stand_ins = running_stand_ins(settings, target)
    report: dict[str, object] = {"checks": checks.to_json(verdicts), "stand_ins": stand_ins}
    try:
        checks.refuse_failed(verdicts)
        outcome = workflow.run(target, count=workflow.COUNT)
        report["workflow"] = vars(outcome)
    finally:
        if as_json:
            console.result_json(report)
    workflow.celebrate(outcome, stand_ins)


def verify_role(settings: Settings, role: str, *, as_json: bool) -> None:
    """Check the machines of one role."""
    verdicts = checks.run(find_target(settings), [parse_role(role)])
    checks.report(verdicts)
    if as_json:
        console.result_json(checks.to_json(verdicts))
    checks.refuse_failed(verdicts)


def verify_workflow(settings: Settings, *, count: str, as_json: bool) -> None:
    """Prove that exactly what was sent arrived."""
    target = find_target(settings)
    outcome = workflow.run(target, count=parse_count(count) or workflow.COUNT)
    if as_json:
        console.result_json(vars(outcome))
    workflow.celebrate(outcome, running_stand_ins(settings, target))
