"""Images → stage → Packer → AMIs: base first, then the roles side by side in one live table."""

from __future__ import annotations

import concurrent.futures
import shutil
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runtime import console, lock, proc
from runtime.bake import images, key, live, plan, stage, survey, tools
from runtime.bake import packer as one
from runtime.bake.images import BuiltImage
from runtime.bake.packer import Progress
from runtime.bake.plan import Bake
from runtime.bake.survey import Past, scratch_dir, work_dir
from runtime.cloud import amis, removal
from runtime.cloud.leftovers import RUN_TIME
from runtime.cloud.target import Target
from runtime.contract.manifest import ImageRecord, Manifest
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import BakeError, BullionError, SpaceError
from runtime.settings import Settings, TargetName

NEEDED_GB = 8
_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Baked:
    """The AMI of a role, and whether it was made now."""

    role: Role
    ami_id: str
    key: str
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
    survey.clear_scratch(settings)
    for killed in lock.find_killed(settings.runs_dir):
        console.warn(f"run {killed} was killed and may have left something: ./invoke janitor")
    built = images.build(settings, roles)
    run = _Run(settings=settings, target=target, version=version)
    source = survey.source(target)
    force_base = force and len(roles) == len(MACHINE_ROLES)  # one role alone keeps its base
    base = run.carry_out([(Role.BASE, source, source)], {}, forced=force_base)[Role.BASE]
    wanted = [(role, base.key, base.ami_id) for role in roles]
    return run.carry_out(wanted, built, forced=force)


class _Run:
    """One invocation: what it makes carries its run id, so that a janitor finds it."""

    def __init__(self, *, settings: Settings, target: Target, version: str) -> None:
        self.settings, self.target, self.version = settings, target, version
        self.work = work_dir(settings)
        self.id = run_id(datetime.now(UTC))
        self.commit = commit(settings.root)
        self.versions = tools.versions(settings)
        self.over = threading.Event()
        self.inputs: dict[Role, key.Inputs] = {}

    def carry_out(
        self,
        wanted: Sequence[tuple[Role, str, str]],
        built: Mapping[str, BuiltImage],
        *,
        forced: bool,
    ) -> dict[Role, Baked]:
        """Bake (role, what its key starts from, source AMI id) side by side."""
        looks = {
            role: survey.look(
                self.settings,
                self.target,
                role,
                source=source,
                versions=self.versions,
                origin=f"{record.origin}: {record.base}"
                if (record := _record(built, role))
                else "",
                forced=forced,
            )
            for role, source, _ in wanted
        }
        plans = {role: look.todo for role, look in looks.items()}
        sources = {role: ami for role, _, ami in wanted}
        needed = [role for role in plans if plans[role].is_needed]
        manifests = {role: self._manifest(plans[role], sources[role], built) for role in needed}
        self.inputs |= {role: look.inputs for role, look in looks.items()}
        for role, todo in plans.items():
            what = "bake" if todo.is_needed else f"keep {todo.ami_id}"
            console.note(f"{role}: {what} ({todo.why})")
            if not todo.is_needed:
                survey.remember_kept(self.settings, role, looks[role].inputs)
        made = self._bake_all({role: plans[role] for role in needed}, manifests, sources, built)
        return {
            role: Baked(
                role=role,
                ami_id=made[role].ami_id if role in made else plans[role].ami_id,
                key=plans[role].key,
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
        started: list[concurrent.futures.Future[None]] = []
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=len(plans))
        roles = ", ".join(plans)
        with (
            console.step(f"Baking {roles}"),
            lock.mark(self.settings.runs_dir, self.id, what=f"bake of {roles}") as marker,
        ):
            try:
                for role, todo in plans.items():
                    one_of = (todo, manifests[role], sources[role], built, progress[role], marker)
                    started.append(pool.submit(self._bake_one, *one_of))
                past = {
                    role: sum(survey.recall(self.settings, role).seconds.values()) for role in plans
                }
                live.draw_until_done(started, progress, past)
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
        marker: int,
    ) -> None:
        wanted = plan.ami_name(todo.role, self.version, todo.key)
        name = amis.free_name(self.target, wanted, key=todo.key)
        with tempfile.TemporaryDirectory(dir=scratch_dir(self.settings)) as scratch:
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
                marker=marker,
            )
        past = Past(inputs=self.inputs[todo.role], seconds=progress.seconds)
        survey.remember(self.settings, todo.role, past)

    def _variables(
        self, todo: Bake, manifest: Manifest, source: str, folder: Path, name: str
    ) -> dict[str, object]:
        tags = {
            "Name": name,
            "bullion:role": todo.role,
            "bullion:version": self.version,
            "bullion:key": todo.key,
            "bullion:commit": self.commit,
            "bullion:source-ami": source,
            amis.IMAGES_TAG: key.of_images(manifest.images),
            "bullion:run": self.id,
            amis.MANAGED_TAG: "true",
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
        record = _record(built, todo.role)
        manifest = Manifest(
            role=todo.role,
            version=self.version,
            key=todo.key,
            source_ami=source,
            images=(record,) if record else (),
        )
        return stage.complete(self.settings.root, manifest)

    def _refuse_without_room(self) -> None:
        free_gb = shutil.disk_usage(self.settings.root).free / _GIB
        if free_gb < NEEDED_GB:
            message = f"a bake needs {NEEDED_GB} GiB of disk; {free_gb:.1f} GiB are free"
            raise SpaceError(message, hint="free some space: docker system df; ./invoke lab.reset")

    def _clean_up(self) -> None:
        """Remove what Packer could not: by run tag, and say what."""
        for line in removal.remove_run(self.target, self.id):
            console.warn(f"removed what the interrupted bake left: {line}")


def run_id(now: datetime) -> str:
    """Return the id of a run that begins `now`; it tells when that was."""
    return f"{now:{RUN_TIME}}-{uuid.uuid4().hex[:6]}"


def _record(built: Mapping[str, BuiltImage], role: Role) -> ImageRecord | None:
    return built[role].record if role in built else None


def commit(root: Path) -> str:
    """Return the commit that is checked out in `root`, and whether files differ from it."""

    def ask(*words: str) -> str | None:
        seen = proc.run(["git", "-C", root, *words], timeout_s=10, ok=range(256))
        return seen.stdout.strip() if seen.status == 0 else None

    head = ask("rev-parse", "HEAD")
    if head is None:
        return "no commit"
    return f"{head} with changes" if ask("status", "--porcelain") else head
