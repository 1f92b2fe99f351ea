"""The source AMI of the lab: a Debian 13 root file system that boots as a machine.

The counterpart of the AMI that Debian publishes on AWS: same release, same login, cloud-init with
the Ec2 data source, nothing of ours.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from runtime import console, lock, proc
from runtime.errors import LabError
from runtime.lab.machines import labels, sources
from runtime.lab.machines.labels import AMI, HOME, KIND, LABEL, home

SUITE = "trixie"
NAME = "debian-13-amd64-lab"
PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "dbus",
    "e2fsprogs",
    "iproute2",
    "iputils-ping",
    "less",
    "netbase",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tzdata",
)
GUEST = Path(__file__).parent / "guest"


def ami_id() -> str:
    """Return the source AMI's id: the same inputs make the same AMI."""
    digest = hashlib.sha256(f"{SUITE} {PACKAGES}".encode())
    for path in sorted(GUEST.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return f"ami-{digest.hexdigest()[:17]}"


def ensure(client: Any, *, lab: str, cache_dir: Path, catalogue: Path) -> str:
    """Return the source AMI's id, after making its disk and its record where they are missing.

    Raises:
        ToolError, CommandError: mmdebstrap is missing or failed.
        LabError: Docker could not build it.
    """
    wanted = ami_id()
    if not labels.images(client, f"{LABEL}={lab}", f"{AMI}={wanted}"):
        archive = _root_file_system(cache_dir)
        with console.step("Making the lab's Debian AMI"):
            _build(client, archive, lab=lab, wanted=wanted)
    rows = [row for row in sources.read(catalogue) if row["ami_id"] != wanted]
    row = sources.entry(wanted, name=NAME, description="Debian 13 for the lab")
    sources.write(catalogue, [*rows, row])
    return wanted


def _root_file_system(cache_dir: Path) -> Path:
    key = hashlib.sha256(f"{SUITE} {PACKAGES}".encode()).hexdigest()[:12]
    archive = cache_dir / f"rootfs-{SUITE}-{key}.tar"
    if archive.exists():
        return archive
    hint = "apt-get install mmdebstrap uidmap, or run ./invoke lab.up, which does"
    proc.find("mmdebstrap", needed_by="the lab's Debian AMI", hint=hint)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with lock.take_turn(cache_dir / "rootfs.lock", what="making Debian for a lab's machines"):
        if not archive.exists():  # whoever was before us may have made it
            _install(archive)
    return archive


def _install(archive: Path) -> None:
    partial = archive.with_suffix(".partial.tar")
    with console.step("Installing Debian 13 for the lab's machines", expected_s=80):
        proc.run(
            [
                "mmdebstrap",
                "--variant=apt",
                "--components=main",
                f"--include={','.join(PACKAGES)}",
                SUITE,
                partial,
            ],
            timeout_s=1200,
        )
    partial.replace(archive)


def _build(client: Any, archive: Path, *, lab: str, wanted: str) -> None:
    raw = f"bullion-{lab}/rootfs:{wanted}"
    proc.run(["docker", "import", archive, raw], timeout_s=600)
    try:
        client.images.build(
            path=str(GUEST),
            tag=f"bullion-{lab}/ami:{wanted}",
            buildargs={"ROOTFS": raw},
            labels={LABEL: lab, HOME: home(), KIND: "ami", AMI: wanted},
            network_mode="none",
            rm=True,
            forcerm=True,
        )
    except Exception as error:
        message = f"Docker could not build the lab's Debian AMI: {error}"
        raise LabError(message, hint="./invoke lab.reset, then ./invoke lab.up") from error
    client.images.remove(raw, noprune=True)
