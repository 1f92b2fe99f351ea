"""Every verb a person types: `./invoke --list`. Settings → call → print; work is in runtime/."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from invoke import Collection, Context, Exit, ParseError, Program, __version__, task

from runtime import console, settings
from runtime.errors import INTERRUPTED, BullionError, UsageError
from runtime.verbs import (
    creating,
    drifting,
    lab,
    letters,
    looking,
    making,
    operating,
    proving,
    pruning,
    releasing,
    testing,
    tidying,
)
from runtime.verbs.common import spell_out

TARGET = {"target": "where to work: lab or aws"}
CHANNEL = {"channel": "which one; stable without"}
BEFORE_AFTER = {"before": "a release", "after": "another release", "json": "as JSON"}
VERSION = {"version": "a release, such as 2026.11.25"}
LETTERS = {"keys": "ids, with commas between", "all": "every one"}
MAY_FOLLOW = {f"dead-letters.{name}": "keys" for name in ("replay", "drop")}
MAY_FOLLOW |= {"release.create": "version"}
MACHINE = {"machine": "kafka, mongo, processor, processor-2 and so on, or producers"}


def verb(help: dict[str, str] | None = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a task that turns our errors into a message and an exit code."""

    def wrap(body: Callable[..., Any]) -> Any:
        @functools.wraps(body)
        def guarded(*args: Any, **kwargs: Any) -> None:
            try:
                status = body(*args, **kwargs)
            except BullionError as error:
                console.error(str(error))
                raise Exit(code=error.code) from None
            except KeyboardInterrupt:
                console.error("interrupted, perhaps half-way; ./invoke status tells what is there")
                raise Exit(code=INTERRUPTED) from None
            if isinstance(status, int) and status:
                raise Exit(code=status)

        return task(guarded, help=help or {}, **options)

    return wrap


@verb({**TARGET, "force": "bake although nothing changed"})
def up(_: Context, target: str = "lab", force: bool = False) -> None:
    """Do it all: lab → images → bake → release → promote → deploy → verify."""
    making.up(settings.load(target), force=force)


@verb({"fast": "unit and style only, under two minutes", "k": "only tests that match (pytest -k)"})
def test(_: Context, fast: bool = False, k: str = "") -> int:  # noqa: PT028  a task
    """Run every test: unit, contract, style, end to end."""
    return testing.test(settings.load("lab"), fast=fast, matching=k)


@verb(
    {
        **TARGET,
        "role": "one role only; all four without",
        "force": "bake although nothing changed",
        "explain": "bake nothing; show what the keys are made of",
        "json": "as JSON",
    }
)
def bake(
    _: Context,
    target: str = "lab",
    role: str = "",
    force: bool = False,
    explain: bool = False,
    json: bool = False,
) -> None:
    """Bake the AMIs whose inputs changed; say which input did."""
    if explain:
        making.explain(settings.load(target), role=role, as_json=json)
    else:
        making.bake(settings.load(target), role=role, force=force, as_json=json)


@verb({**TARGET, **CHANNEL, "release": "version to launch instead of the channel's"})
def deploy(_: Context, target: str = "lab", release: str = "", channel: str = "stable") -> None:
    """Launch the release of a channel with Terraform."""
    releasing.deploy(settings.load(target), version=release, channel=channel)


@verb({**TARGET, **CHANNEL})
def rollback(_: Context, target: str = "lab", channel: str = "stable") -> None:
    """Take a channel back to the release it had before, and launch that."""
    releasing.rollback(settings.load(target), channel=channel)


@verb({**TARGET, "yes": "do not ask", "data": "delete the data volumes, too"})
def destroy(_: Context, target: str = "lab", yes: bool = False, data: bool = False) -> None:
    """Take everything away but AMIs and data volumes, and look that it is gone."""
    making.destroy(settings.load(target), yes=yes, data=data)


@verb({**TARGET, "yes": "do not ask", "json": "what was found, as JSON"})
def janitor(_: Context, target: str = "lab", yes: bool = False, json: bool = False) -> None:
    """Remove what killed bakes and trial stacks left, after showing it."""
    tidying.janitor(settings.load(target), yes=yes, as_json=json)


@verb({**TARGET, "json": "machines, release and bases as JSON"})
def status(_: Context, target: str = "lab", json: bool = False) -> None:
    """Show what runs: machines, release, what each image was built from."""
    proving.status(settings.load(target), as_json=json)


@verb(
    {
        **TARGET,
        "count": "messages per topic",
        "interval": "pause between batches in seconds",
        "source": "simulation, nvml, http://host:port/metrics or a file on the machine",
    }
)
def produce(
    _: Context, target: str = "lab", count: str = "", interval: str = "", source: str = ""
) -> None:
    """Send one run of messages."""
    operating.produce(settings.load(target), count=count, interval=interval, source=source)


@verb({**TARGET, "role": "one role only; all four without"})
def refresh(_: Context, target: str = "lab", role: str = "") -> None:
    """Have machines read their parameters again and bring their stack in line."""
    operating.refresh(settings.load(target), role=role)


@verb({**TARGET, "yes": "do not ask"})
def mongo_factory_reset(_: Context, target: str = "lab", yes: bool = False) -> None:
    """Delete every stored document and apply the seeds again."""
    operating.reset_mongo(settings.load(target), yes=yes)


@verb({**TARGET, **MACHINE}, positional=["machine"])
def ssh(_: Context, machine: str, target: str = "lab") -> int:
    """Open a shell on a machine, over ssh."""
    return operating.ssh(settings.load(target), machine)


@verb({**TARGET, **MACHINE, "follow": "go on until interrupted"}, positional=["machine"])
def logs(_: Context, machine: str, target: str = "lab", follow: bool = False) -> int:
    """Show the journal of a machine's boot, stack and containers."""
    return operating.logs(settings.load(target), machine, follow=follow)


@verb({**TARGET, "json": "as JSON"}, default=True, name="all")
def verify_all(_: Context, target: str = "lab", json: bool = False) -> None:
    """Check every machine, then the whole workflow."""
    proving.verify(settings.load(target), as_json=json)


def _verify_one(role: str) -> Any:
    def body(_: Context, target: str = "lab", json: bool = False) -> None:
        proving.verify_role(settings.load(target), role, as_json=json)

    body.__doc__ = f"Check what has the role {role}."
    return verb({**TARGET, "json": "as JSON"}, name=role)(body)


@verb({**TARGET, "count": "messages per topic; 100 without", "json": "as JSON"}, name="workflow")
def verify_workflow(_: Context, target: str = "lab", count: str = "", json: bool = False) -> None:
    """Send messages and prove that exactly those arrived."""
    proving.verify_workflow(settings.load(target), count=count, as_json=json)


@verb(name="up")
def lab_up(_: Context) -> None:
    """Start the lab: EC2 on this computer."""
    lab.up(settings.load("lab"))


@verb(name="down")
def lab_down(_: Context) -> None:
    """Stop the lab and its machines; lab.up brings them back."""
    lab.down(settings.load("lab"))


@verb({"json": "as JSON"}, name="status")
def lab_status(_: Context, json: bool = False) -> None:
    """Show the lab's machines and AMIs."""
    lab.status(settings.load("lab"), as_json=json)


@verb({"machine": "role, name or instance id"}, name="shell", positional=["machine"])
def lab_shell(_: Context, machine: str) -> int:
    """Open a root shell on a machine of the lab, without ssh."""
    return lab.shell(settings.load("lab"), machine)


@verb({"json": "every action, as JSON"}, name="coverage")
def lab_coverage(_: Context, json: bool = False) -> None:
    """Show which EC2 actions are real, which are records, which are refused."""
    lab.show_coverage(settings.load("lab"), as_json=json)


@verb({"yes": "do not ask", "vanished": "instead labs whose checkout is gone"}, name="reset")
def lab_reset(_: Context, yes: bool = False, vanished: bool = False) -> None:
    """Remove everything of the lab, AMIs and releases too, after listing it."""
    lab.reset(settings.load("lab"), yes=yes, vanished=vanished)


@verb({"name": "one image only; all four without", "json": "as JSON"}, name="build")
def images_build(_: Context, name: str = "", json: bool = False) -> None:
    """Build the container images."""
    making.images_build(settings.load("lab"), name=name, as_json=json)


@verb({**TARGET, "version": "today's next without", "keep": "leave the trial"}, name="create")
def release_create(_: Context, version: str = "", target: str = "lab", keep: bool = False) -> None:
    """Verify the AMIs as a stack beside the running one, and record them as a release."""
    creating.create(settings.load(target), version=version, keep=keep)


@verb({**TARGET, **CHANNEL, "version": "the release"}, name="promote", positional=["version"])
def release_promote(_: Context, version: str, target: str = "lab", channel: str = "stable") -> None:
    """Point a channel to a release, once its AMIs are seen to be launchable."""
    releasing.promote(settings.load(target), version=version, channel=channel)


@verb({**TARGET, "json": "as JSON"}, name="list")
def release_list(_: Context, target: str = "lab", json: bool = False) -> None:
    """List releases: age, channel, where each runs, size, what verified it."""
    looking.release_list(settings.load(target), as_json=json)


@verb({**TARGET, **VERSION, "json": "as JSON"}, name="show", positional=["version"])
def release_show(_: Context, version: str, target: str = "lab", json: bool = False) -> None:
    """Show all that is known of a release."""
    looking.release_show(settings.load(target), version=version, as_json=json)


@verb({**TARGET, **BEFORE_AFTER}, name="diff", positional=["before", "after"])
def release_diff(
    _: Context, before: str, after: str, target: str = "lab", json: bool = False
) -> None:
    """Show what differs between two releases: packages, images, files, parameters."""
    looking.release_diff(settings.load(target), before=before, after=after, as_json=json)


@verb(
    {
        **TARGET,
        "yes": "remove what goes; only the plan without",
        "keep_days": "the rollback window in days: 30 without",
        "most": "AMIs that may go in one run: 20 without",
        "json": "as JSON",
    },
    name="prune",
)
def release_prune(
    _: Context,
    target: str = "lab",
    yes: bool = False,
    keep_days: str = "",
    most: str = "",
    json: bool = False,
) -> None:
    """Show which releases and AMIs nobody needs; with --yes remove them."""
    chosen = settings.load(target)
    pruning.release_prune(chosen, yes=yes, keep_days=keep_days, most=most, as_json=json)


@verb({**TARGET, **CHANNEL, "json": "as JSON"})
def drift(_: Context, target: str = "lab", channel: str = "stable", json: bool = False) -> None:
    """Say whether machines, their release and the channel are at one; exit 16 if not."""
    drifting.drift(settings.load(target), channel=channel, as_json=json)


@verb(name="pipeline")
def bench_pipeline(_: Context) -> int:
    """Measure messages a second: ours, Kafka Connect, a plain loop."""
    return testing.bench(settings.load("lab"), "pipeline")


@verb({"minutes": "how long", "seed": "as a run told it, to repeat it", "json": "as JSON"})
def soak(_: Context, minutes: str = "10", seed: str = "", json: bool = False) -> int:
    """Kill, hang and cut off parts at random under load; see that nothing is lost or twice."""
    return testing.soak(settings.load("lab"), minutes=minutes, seed=seed, as_json=json)


@verb({**TARGET, "limit": "most to list", "json": "as JSON"}, name="list")
def letters_list(_: Context, target: str = "lab", limit: str = "100", json: bool = False) -> None:
    """List what could not be stored as what it should be, the newest first."""
    letters.show_all(settings.load(target), limit=limit, as_json=json)


@verb({**TARGET, "key": "id of a dead letter"}, name="show", positional=["key"])
def letters_show(_: Context, key: str, target: str = "lab") -> None:
    """Show a dead letter with its reason, its place in Kafka and its bytes."""
    letters.show(settings.load(target), key)


@verb({**TARGET, **LETTERS}, name="replay")
def letters_replay(_: Context, keys: str = "", target: str = "lab", all: bool = False) -> None:
    """Try to store dead letters again; those that still can't be stay."""
    letters.replay(settings.load(target), keys, everything=all)


@verb({**TARGET, **LETTERS, "yes": "do not ask"}, name="drop")
def letters_drop(
    _: Context, keys: str = "", target: str = "lab", all: bool = False, yes: bool = False
) -> None:
    """Delete dead letters."""
    letters.drop(settings.load(target), keys, everything=all, yes=yes)


RELEASE = [release_create, release_promote, release_list, release_show, release_diff, release_prune]
GROUPS = {
    "verify": [verify_all, verify_workflow, *map(_verify_one, ("kafka", "mongo", "processor"))],
    "lab": [lab_up, lab_down, lab_status, lab_coverage, lab_shell, lab_reset],
    "images": [images_build],
    "release": RELEASE,
    "dead-letters": [letters_list, letters_show, letters_replay, letters_drop],
    "bench": [bench_pipeline],
}
ALONE = [up, test, bake, deploy, rollback, destroy, drift, janitor, soak, status]
ALONE += [produce, refresh, mongo_factory_reset, ssh, logs]
ns = Collection(*ALONE, *(Collection(name, *verbs) for name, verbs in GROUPS.items()))

if __name__ == "__main__":
    try:
        with console.quiet_if_unread():
            Program(__version__, ns, "Invoke", "./invoke").run(spell_out(sys.argv, MAY_FOLLOW))
    except SystemExit as end:  # Invoke has said what it can't parse, and would exit with 1
        if isinstance(end.__context__, ParseError):
            console.note("hint: ./invoke --list; ./invoke --help VERB")
            raise SystemExit(UsageError.code) from None
        raise
