"""What images are built from: a registry's image by digest, or the same assembled from packages.

Both offer the same interface (see images/README.md). Which one was taken is part of every image's
record and never hidden; `BULLION_BASES` chooses.
"""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound

from runtime import console, proc
from runtime.bake.digests import digest, files_below
from runtime.errors import BakeError, CommandError, ToolError
from runtime.settings import Settings

INPUTS = "bullion.inputs"  # label: the hash of everything an image or base was made from
ASK_S = 8  # how long a registry is given to answer
_NO_DOCS = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_MAVEN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


@dataclass(frozen=True, kw_only=True)
class Base:
    """What an image is built FROM.

    Attributes:
        reference: what Docker knows it by on this computer.
        version: digest or package version, for the record.
        origin: "registry" or "packages".
        stand_in: what it is instead of the real thing, or "".
    """

    reference: str
    version: str
    origin: str
    stand_in: str = ""

    @property
    def about(self) -> str:
        """Return origin and version, as a bake's key has them."""
        return f"{self.origin}: {self.version}"


def pins(settings: Settings) -> Mapping[str, Any]:
    """Return the pins of all images."""
    return dict(json.loads((settings.root / "images/pins.json").read_text()))


def ensure(settings: Settings, client: Any, name: str) -> Base:
    """Return the base called `name` ("kafka", "mongo", "python"), made or pulled if need be.

    Raises:
        BakeError: neither way works; the message says what was tried.
    """
    if settings.bases != "packages":
        pulled = _pull(client, pins(settings)[name]["registry"])
        if pulled:
            return pulled
        if settings.bases == "registry":
            message = f"no registry answers for {pins(settings)[name]['registry']['reference']}"
            raise BakeError(message, hint="BULLION_BASES=packages ./invoke images.build")
    return _assemble(settings, client, name)


def choose(settings: Settings, client: Any, name: str) -> str:
    """Return what `ensure` would take now, as `Base.about` tells it; nothing is made or pulled."""
    pin = pins(settings)[name]
    if settings.bases != "packages":
        reference = _reference(pin["registry"])
        if found := _find(client, reference):
            return _pulled(reference, pin["registry"], found).about
        if _registry_answers(reference):
            return f"registry: {reference}, not pulled yet"
    return f"packages: {pin['packages']['version']}"


def choose_all(settings: Settings, client: Any, names: Collection[str]) -> dict[str, str]:
    """Return {name: what would be taken now}; registries are asked all at once."""
    once = sorted(set(names))
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda name: choose(settings, client, name), once)
        return dict(zip(once, found, strict=True))


def inputs(settings: Settings, name: str) -> dict[str, str]:
    """Return {path: sha256} of what the assembled base depends on."""
    found = {
        f"images/pins.json#{name}": digest(
            json.dumps(pins(settings)[name], sort_keys=True).encode()
        )
    }
    folder = settings.root / "images" / (f"{name}/base" if name != "python" else "python-base")
    return found | {
        str(path.relative_to(settings.root)): digest(path.read_bytes())
        for path in files_below(folder)
    }


def _pull(client: Any, pin: Mapping[str, Any]) -> Base | None:
    """Return the registry's image if it is here or the registry answers."""
    reference = _reference(pin)
    image = _find(client, reference)
    if image is None:
        if not _registry_answers(reference):
            return None
        try:
            with console.step(f"Pulling {reference}"):
                image = client.images.pull(reference)
        except APIError as error:
            console.note(f"no {reference} from the registry: {error.explanation}")
            return None
    return _pulled(reference, pin, image)


def _reference(pin: Mapping[str, Any]) -> str:
    if not pin["digest"]:
        return str(pin["reference"])
    return f"{pin['reference'].split(':')[0]}@{pin['digest']}"


def _find(client: Any, reference: str) -> Any:
    try:
        return client.images.get(reference)
    except ImageNotFound:
        return None


def _pulled(reference: str, pin: Mapping[str, Any], image: Any) -> Base:
    seen = next(iter(image.attrs.get("RepoDigests") or [image.id]))
    return Base(
        reference=reference,
        version=f"{pin['reference']} {seen.partition('@')[2] or seen}",
        origin="registry",
    )


@functools.cache
def _registry_answers(reference: str) -> bool:
    """Return whether the registry knows `reference`; asked once, for a few seconds."""
    asked = ["docker", "manifest", "inspect", reference]
    try:
        proc.run(asked, timeout_s=ASK_S, env={"DOCKER_CLI_EXPERIMENTAL": "enabled"})
    except CommandError as error:
        said = error.tail.splitlines()[-1] if error.tail else "no reason given"
        console.note(f"no {reference} from a registry ({said}): assembling it from packages")
        return False
    return True


def _assemble(settings: Settings, client: Any, name: str) -> Base:
    pin = pins(settings)[name]["packages"]
    key = digest(json.dumps(inputs(settings, name), sort_keys=True).encode())[:12]
    reference = f"bullion/base-{name}:{key}"
    base = Base(
        reference=reference,
        version=pin["version"],
        origin="packages",
        stand_in=pin.get("stand_in", ""),
    )
    try:
        client.images.get(reference)
    except ImageNotFound:
        with tempfile.TemporaryDirectory(dir=_scratch(settings)) as scratch:
            context = Path(scratch)
            with console.step(f"Assembling the {name} base from packages ({pin['version']})"):
                _MAKERS[name](settings, pin, context)
                build(client, context, tag=reference, labels={INPUTS: key})
    return base


def build(
    client: Any, context: Path, *, tag: str, labels: Mapping[str, str], **arguments: str
) -> str:
    """Build an image without network and return its id.

    Raises:
        BakeError: with the last lines of the build.
    """
    try:
        image, _ = client.images.build(
            path=str(context),
            tag=tag,
            labels=dict(labels),
            buildargs=arguments,
            network_mode="none",
            rm=True,
            forcerm=True,
        )
    except Exception as error:
        log = "".join(part.get("stream", "") for part in getattr(error, "build_log", ()))
        tail = "\n".join(f"  | {line}" for line in log.strip().splitlines()[-20:])
        message = f"image {tag} could not be built: {error}\n{tail}"
        raise BakeError(message, hint="./invoke images.build --name NAME shows it alone") from error
    return str(image.id)


def _make_kafka(settings: Settings, pin: Mapping[str, Any], context: Path) -> None:
    folder = settings.root / "images/kafka/base"
    proc.find("mvn", needed_by="the Kafka base", hint="apt-get install maven")
    proc.run(
        [
            "mvn",
            "-q",
            "-B",
            "-f",
            folder / "pom.xml",
            _MAVEN,
            "-DincludeScope=runtime",
            f"-DoutputDirectory={context / 'jars'}",
        ],
        timeout_s=900,
    )
    lines = (folder / "jars.sha256").read_text().splitlines()
    wanted = {name: digest for digest, name in (line.split() for line in lines)}
    seen = {path.name: digest(path.read_bytes()) for path in (context / "jars").iterdir()}
    if seen != wanted:
        wrong = sorted(
            name for name in wanted.keys() | seen.keys() if wanted.get(name) != seen.get(name)
        )
        message = f"these jars are not the pinned ones: {', '.join(wrong)}"
        raise BakeError(message, hint="see images/README.md on changing Kafka's version")
    _make_debian(settings, pin, context)
    shutil.copy(folder / "Dockerfile", context)


def _make_mongo(settings: Settings, pin: Mapping[str, Any], context: Path) -> None:
    shutil.copy(_ferretdb(settings, pin, context), context / "ferretdb")
    proc.run(["apt-get", "download", "-q", "busybox-static"], timeout_s=120, cwd=context)
    archive = next(context.glob("busybox-static_*.deb"))
    proc.run(["dpkg-deb", "-x", archive, context / "unpacked"], timeout_s=60)
    shutil.copy(next((context / "unpacked").glob("**/bin/busybox")), context / "busybox")
    shutil.rmtree(context / "unpacked")
    shutil.copy(settings.root / "images/mongo/base/Dockerfile", context)


def _make_python(settings: Settings, pin: Mapping[str, Any], context: Path) -> None:
    _make_debian(settings, pin, context)
    shutil.copy(settings.root / "images/python-base/Dockerfile", context)


def _make_debian(settings: Settings, pin: Mapping[str, Any], context: Path) -> None:
    """Write rootfs.tar: a minimal Debian with the pinned packages and no documentation."""
    hint = "apt-get install mmdebstrap uidmap"
    proc.find("mmdebstrap", needed_by="bases from packages", hint=hint)
    proc.run(
        [
            "mmdebstrap",
            "--variant=minbase",
            "--components=main",
            f"--include={','.join(pin['debian'])}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _NO_DOCS),
            # The JRE's packages put links there and fail without.
            '--setup-hook=mkdir -p "$1/usr/share/man/man1"',
            pins(settings)["suite"],
            context / "rootfs.tar",
        ],
        timeout_s=1200,
    )


def _ferretdb(settings: Settings, pin: Mapping[str, Any], context: Path) -> Path:
    """Return the program, built once from its Go module and kept in the cache."""
    program = settings.cache_dir / f"ferretdb-{pin['module_version']}"
    if program.exists():
        return program
    proc.find("go", needed_by="the stand-in for MongoDB", hint="install Go 1.24 or newer")
    go = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    module = f"{pin['module']}@{pin['module_version']}"
    found = json.loads(
        proc.run(
            ["go", "mod", "download", "-json", module], timeout_s=600, cwd=context, env=go
        ).stdout
    )
    if "Dir" not in found:
        message = f"the Go module {module} can't be had: {found.get('Error', 'no reason given')}"
        raise ToolError(message, hint="check the network, then try again")
    source = context / "source"
    proc.run(["cp", "-r", "--no-preserve=mode", found["Dir"], source], timeout_s=120)
    # The program refuses to start without a version in this file, which its own build writes.
    (source / "build/version/version.txt").write_text(pin["module_version"])
    with console.step("Building FerretDB from its Go module", expected_s=80):
        built = context / "built"
        argv: list[str | Path] = [
            "go",
            "build",
            "-trimpath",
            "-ldflags",
            "-s -w",
            "-o",
            built,
            "./cmd/ferretdb",
        ]
        proc.run(argv, timeout_s=1800, cwd=source, env=go)
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    shutil.move(built, program)
    shutil.rmtree(source)
    return program


def _scratch(settings: Settings) -> Path:
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    return settings.cache_dir


_MAKERS: Mapping[str, Callable[[Settings, Mapping[str, Any], Path], None]] = {
    "kafka": _make_kafka,
    "mongo": _make_mongo,
    "python": _make_python,
}
