"""Images → stage → Packer → AMIs: base first, then the roles side by side in one live table."""

from __future__ import annotations

import concurrent.futures
import json
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import console, proc
from runtime.bake import images, key, plan, stage
from runtime.bake import packer as one
from runtime.bake.images import BuiltImage
from runtime.bake.packer import Progress
from runtime.bake.plan import Bake
from runtime.cloud import amis
from runtime.cloud.target import Target
from runtime.contract.manifest import Manifest
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import BakeError, BullionError, SpaceError
from runtime.settings import Settings, TargetName

SOURCE_NAME = "debian-13-amd64-*"
SOURCE_OWNER = "136693071363"  # Debian's own account
NEEDED_GB = 8
_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Baked:
    """The AMI of a role, and whether it was made now."""

    role: Role
    ami_id: str
    key: str
    manifest: Manifest
    is_new: bool
    why: str
    seconds: float


def bake(
    settings: Settings,
    target: Target,
    *,
    version: str,
    roles: Sequence[Role] = MACHINE_ROLES,
    force: bool = False,
) -> dict[Role, Baked]:
    """Return the AMI of each role, baked where its key has none, or all the same by `force`.

    Raises:
        SpaceError: too little disk; nothing was started.
        BakeError: an image or AMI could not be made; nothing but what was complete is left.
    """
    work = settings.work_dir / "bake"
    work.mkdir(parents=True, exist_ok=True)
    built = images.build(settings, roles)
    run = _Run(settings=settings, target=target, version=version, work=work)
    source = amis.newest(target, name=SOURCE_NAME, owner=SOURCE_OWNER)
    force_base = force and len(roles) == len(MACHINE_ROLES)  # one role alone keeps its base
    base = run.carry_out([(Role.BASE, source, source)], {}, forced=force_base)[Role.BASE]
    wanted = [(role, base.key, base.ami_id) for role in roles]
    return run.carry_out(wanted, built, forced=force)


class _Run:
    """One invocation: what it makes carries its run id, so that a janitor finds it."""

    def __init__(self, *, settings: Settings, target: Target, version: str, work: Path) -> None:
        self.settings, self.target, self.version, self.work = settings, target, version, work
        self.id = f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:6]}"
        self.commit = _commit(settings.root)
        self.tools = {"packer": Path(settings.packer).name, "plugin": settings.packer_plugins.name}
        self.over = threading.Event()

    def carry_out(
        self,
        wanted: Sequence[tuple[Role, str, str]],
        built: Mapping[str, BuiltImage],
        *,
        forced: bool,
    ) -> dict[Role, Baked]:
        """Bake (role, what its key starts from, source AMI id) side by side."""
        inputs = {
            role: key.collect(self.settings, role, source=source, tools=self.tools)
            for role, source, _ in wanted
        }
        plans = {
            role: plan.decide(
                role,
                inputs[role],
                existing=amis.by_key(self.target, role),
                before=self._past(role).get("inputs"),
                forced=forced,
            )
            for role in inputs
        }
        sources = {role: ami for role, _, ami in wanted}
        manifests = {role: self._manifest(plans[role], sources[role], built) for role in plans}
        needed = [role for role in plans if plans[role].is_needed]
        for role, todo in plans.items():
            what = "bake" if todo.is_needed else f"keep {todo.ami_id}"
            console.note(f"{role}: {what} ({todo.why})")
        made = self._bake_all({role: plans[role] for role in needed}, manifests, sources, built)
        for role in needed:
            past = {"inputs": inputs[role], "seconds": made[role].seconds}
            (self.work / f"{role}.json").write_text(json.dumps(past, indent=1))
        return {
            role: Baked(
                role=role,
                ami_id=made[role].ami_id if role in made else plans[role].ami_id,
                key=plans[role].key,
                manifest=manifests[role],
                is_new=role in made,
                why=plans[role].why,
                seconds=sum(made[role].seconds.values()) if role in made else 0.0,
            )
            for role in plans
        }

    def _bake_all(
        self,
        plans: Mapping[Role, Bake],
        manifests: Mapping[Role, Manifest],
        sources: Mapping[Role, str],
        built: Mapping[str, BuiltImage],
    ) -> dict[Role, Progress]:
        if not plans:
            return {}
        self._refuse_without_room()
        progress = {role: Progress(role=role) for role in plans}
        failures: list[BullionError] = []
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=len(plans))
        with console.step(f"Baking {', '.join(plans)}"):
            started = [
                pool.submit(
                    self._bake_one,
                    plans[role],
                    manifests[role],
                    sources[role],
                    built,
                    progress[role],
                )
                for role in plans
            ]
            try:
                self._draw_until_done(started, progress)
            except BaseException:
                self.over.set()
                concurrent.futures.wait(started)
                raise
            finally:
                pool.shutdown()
                if self.over.is_set() or any(future.exception() for future in started):
                    self._clean_up()
            failures = [
                error for future in started if isinstance(error := future.exception(), BullionError)
            ]
            others = [
                error
                for future in started
                if (error := future.exception()) and error not in failures
            ]
        for error in others:
            raise error
        if failures:
            raise BakeError("\n".join(f.message for f in failures), hint=failures[0].hint)
        return progress

    def _bake_one(
        self,
        todo: Bake,
        manifest: Manifest,
        source: str,
        built: Mapping[str, BuiltImage],
        progress: Progress,
    ) -> None:
        name = amis.free_name(self.target, plan.ami_name(todo.role, self.version, todo.key))
        with tempfile.TemporaryDirectory(dir=self.work) as scratch:
            folder = Path(scratch)
            stage.stage(self.settings.root, manifest, folder)
            (folder / "images").mkdir()
            if manifest.images:
                (folder / "images" / f"{todo.role}.tar").hardlink_to(built[todo.role].archive)
            one.bake(
                todo.role,
                packer=self.settings.packer,
                folder=self.settings.root / "packer",
                variables=self._variables(todo, manifest, source, folder, name),
                env=self._env(),
                var_files=self._var_files(),
                work=self.work,
                progress=progress,
                over=self.over,
            )

    def _variables(
        self, todo: Bake, manifest: Manifest, source: str, folder: Path, name: str
    ) -> dict[str, object]:
        digests = key.digest({image.name: image.id for image in manifest.images})
        tags = {
            "Name": name,
            "bullion:role": todo.role,
            "bullion:version": self.version,
            "bullion:key": todo.key,
            "bullion:commit": self.commit,
            "bullion:source-ami": source,
            "bullion:images": digests,
            "bullion:run": self.id,
        }
        return {
            "role": todo.role,
            "ami_name": name,
            "source_ami": source,
            "stage_dir": str(folder),
            "region": self.target.region,
            "tags": tags,
            "run_tags": {"Name": f"bullion-bake-{todo.role}", "bullion:run": self.id},
        }

    def _var_files(self) -> list[Path]:
        given = self.target.packer_variables
        own = self.settings.root / "packer" / f"{self.target.name}.pkrvars.hcl"
        return [*([given] if given else []), own]

    def _env(self) -> dict[str, str]:
        own = {
            "PACKER_PLUGIN_PATH": str(self.settings.packer_plugins),
            "PACKER_CONFIG_DIR": str(self.settings.cache_dir),
            "PACKER_CACHE_DIR": str(self.work),
            "CHECKPOINT_DISABLE": "1",
            "PACKER_NO_COLOR": "1",
        }
        if self.target.name is TargetName.LAB and "AWS_ENDPOINT_URL" not in self.target.env:
            message = "the lab's endpoint is not set: Packer would call AWS"
            raise BakeError(message, hint="./invoke lab.up")
        return self.target.env | own

    def _manifest(self, todo: Bake, source: str, built: Mapping[str, BuiltImage]) -> Manifest:
        mine = (built[todo.role].record,) if todo.role in built else ()
        return Manifest(
            role=todo.role, version=self.version, key=todo.key, source_ami=source, images=mine
        )

    def _draw_until_done(
        self, started: Sequence[concurrent.futures.Future[None]], progress: Mapping[Role, Progress]
    ) -> None:
        live = console.Live()
        past = {role: sum(self._past(role).get("seconds", {}).values()) for role in progress}
        pending = set(started)
        while pending:
            _, pending = concurrent.futures.wait(pending, timeout=0.5)
            live.draw(
                draw(progress, past, now=time.monotonic()),
                plain=[f"{p.role}: {p.phase}" for p in progress.values()],
            )

    def _past(self, role: Role) -> dict[str, dict[str, Any]]:
        path = self.work / f"{role}.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def _refuse_without_room(self) -> None:
        free_gb = shutil.disk_usage(self.settings.root).free / _GIB
        if free_gb < NEEDED_GB:
            message = f"a bake needs {NEEDED_GB} GiB of disk; {free_gb:.1f} GiB are free"
            raise SpaceError(message, hint="free some space: docker system df; ./invoke lab.reset")

    def _clean_up(self) -> None:
        """Remove what Packer could not: by run tag, and say what."""
        for line in amis.remove_run(self.target, self.id):
            console.warn(f"removed what the interrupted bake left: {line}")


def draw(progress: Mapping[Role, Progress], past: Mapping[Role, float], *, now: float) -> list[str]:
    """Return the live table: role, phase, elapsed, remaining from the last run, AMI id."""
    rows = []
    for role, state in progress.items():
        elapsed = now - state.started
        left = past.get(role, 0.0) - elapsed
        over = state.phase in {"done", "failed"}
        spent = sum(state.seconds.values()) if over else elapsed
        remaining = "" if over or left <= 0 else f"~{console.duration(left)}"
        rows.append((role, state.phase, console.duration(spent), remaining, state.ami_id))
    return console.layout(rows, header=("role", "phase", "elapsed", "remaining", "AMI"))


def _commit(root: Path) -> str:
    seen = proc.run(["git", "-C", root, "rev-parse", "HEAD"], timeout_s=10, ok=range(256))
    return seen.stdout.strip() if seen.status == 0 else "no commit"
