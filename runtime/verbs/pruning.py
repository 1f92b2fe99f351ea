"""Pruning: gathers who needs which AMI, prints the plan, and carries it out when told to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime

from runtime import console
from runtime.bake import survey
from runtime.cloud import channels, references, stock
from runtime.cloud.references import References
from runtime.cloud.target import Target
from runtime.release import ledger, prune, pruning
from runtime.release.prune import Item, Plan, Policy
from runtime.settings import Settings
from runtime.verbs.common import exclusive, find_target


@exclusive
def release_prune(
    settings: Settings, *, yes: bool, keep_days: str, most: str, as_json: bool
) -> None:
    """Show what may go and what stays and why; with `yes` remove it, and look that it is gone."""
    policy, target = prune.parse_policy(keep_days, most), find_target(settings)
    with console.step("Asking who needs which AMI"):
        plan = _plan(settings, target, policy)
    if not as_json:
        _show(plan, policy)
    if not plan.go:
        console.note("nothing goes")
    outcome = _carry_out(settings, target, plan) if yes and plan.go else None
    if as_json:
        told = {"go": [_about(one) for one in plan.go], "stay": [_about(one) for one in plan.stay]}
        console.result_json(told | {"done": asdict(outcome) if outcome else None})
    elif plan.go and not yes:
        console.note("nothing was removed; the same with --yes removes what goes")


def _plan(settings: Settings, target: Target, policy: Policy) -> Plan:
    releases, amis = ledger.load_all(settings.ledger_dir), stock.read_all(target)
    prune.refuse_blind(releases, amis, channels.names(target))
    current = survey.explain(settings, target).values()
    return prune.plan(
        releases,
        amis,
        _references(target, amis),
        pruned=[one.version for one in ledger.load_pruned(settings.ledger_dir)],
        current_keys={one.todo.key for one in current},
        now=datetime.now(UTC),
        policy=policy,
    )


def _references(target: Target, ami_ids: Collection[str]) -> References:
    histories = {name: channels.history(target, name) for name in channels.names(target)}
    return references.gather(target, ami_ids, prune.of_channels(histories))


def _carry_out(settings: Settings, target: Target, plan: Plan) -> pruning.Outcome:
    outcome = pruning.carry_out(
        target, settings.ledger_dir, plan, look=lambda ids: _references(target, ids)
    )
    for name, who in outcome.kept.items():
        console.warn(f"{name} stays: {who}")
    names = ", ".join(outcome.gone) or "nothing"
    console.note(
        f"removed {names}; looked: of their AMIs and {outcome.snapshots} snapshots none is left"
    )
    return outcome


def _show(plan: Plan, policy: Policy) -> None:
    rows = [
        (
            what,
            one.name,
            str(len(one.amis)),
            f"{sum(ami.size_gb for ami in one.amis)} GiB",
            "\n".join(one.why) or "nobody needs it",
        )
        for what, items in (("goes", plan.go), ("stays", plan.stay))
        for one in items
    ]
    for line in console.layout(rows, header=("", "what", "AMIs", "size", "why")):
        console.result(line)
    for ami in (ami for one in plan.stay for ami in one.amis if ami.state == stock.DISABLED):
        console.warn(f"{ami.name} ({ami.id}) is disabled: nobody can launch it until it is enabled")
    console.note(
        f"the rollback window is {policy.keep_days} days, and at most {policy.most} AMIs go in"
        " one run; EC2 tells a launch up to a day late"
    )


def _about(item: Item) -> dict[str, object]:
    return {
        "version": item.version,
        "amis": [ami.id for ami in item.amis],
        "snapshots": [snapshot for ami in item.amis for snapshot in ami.snapshots],
        "why": item.why,
    }
