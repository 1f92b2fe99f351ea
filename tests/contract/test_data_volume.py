"""The data volume on a real block device: formatted only if blank, kept otherwise, never guessed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime import proc
from runtime.contract.roles import Role
from runtime.settings import Settings
from tests.contract.guest import Guest, Volume, image, volumes

MakeVolume = Callable[..., Volume]
DATA = "/var/lib/bullion/data"


@pytest.fixture(scope="module")
def debian(lab_settings: Settings) -> Iterator[str]:
    """The lab's Debian as an image."""
    with image(lab_settings) as name:
        yield name


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeVolume]:
    """Make volumes of so many MiB."""
    with volumes(tmp_path) as made:
        yield made


@pytest.fixture
def kafka(make: MakeVolume, debian: str) -> Iterator[Guest]:
    """A kafka machine; gone before its volumes are."""
    guest = Guest(debian, Role.KAFKA)
    guest.start()
    yield guest
    guest.remove()


def digest(volume: Volume) -> str:
    proc.run(["blockdev", "--flushbufs", volume.device], timeout_s=10)
    return hashlib.sha256(volume.file.read_bytes()).hexdigest()


def filled_mb(guest: Guest) -> int:
    """Return the size of the mounted file system in MiB."""
    blocks, size = guest.run("stat", "--file-system", "--format=%b %S", DATA).said.split()
    return int(blocks) * int(size) >> 20


def test_a_blank_volume_is_formatted_and_mounted_with_the_stacks_own_directory(
    kafka: Guest, make: MakeVolume
) -> None:
    volume = make()
    kafka.attach(volume)

    done = kafka.data()

    assert done.status == 0, done.said
    assert f"{volume.id} is blank: formatting /dev/nvme1n1" in done.said
    owner = kafka.run("stat", "--format=%u:%g %m", f"{DATA}/kafka").said.strip()
    assert owner == f"1000:1000 {DATA}"


def test_a_second_run_and_another_machine_find_the_data(
    kafka: Guest, make: MakeVolume, debian: str
) -> None:
    volume = make()
    kafka.attach(volume)
    assert kafka.data().status == 0
    kafka.run("sh", "-c", f"echo kept > {DATA}/kafka/file")
    again = kafka.data()
    assert (again.status, "formatting" in again.said) == (0, False), again.said
    kafka.run("umount", DATA)

    successor = Guest(debian, Role.KAFKA)
    try:
        successor.start()
        successor.attach(volume)
        taken_over = successor.data()
        assert taken_over.status == 0, taken_over.said
        assert "formatting" not in taken_over.said
        assert successor.run("cat", f"{DATA}/kafka/file").said.strip() == "kept"
    finally:
        successor.remove()


def test_a_volume_that_was_torn_off_while_written_is_mended(
    kafka: Guest, make: MakeVolume, debian: str
) -> None:
    volume, copy = make(), make()
    kafka.attach(volume)
    assert kafka.data().status == 0
    kafka.run("sh", "-c", f"echo kept > {DATA}/kafka/file; sync")
    copy.file.write_bytes(volume.file.read_bytes())  # as a machine that lost its power leaves it
    successor = Guest(debian, Role.KAFKA)
    try:
        successor.start()
        successor.attach(copy)
        assert successor.data().status == 0
        assert successor.run("cat", f"{DATA}/kafka/file").said.strip() == "kept"
    finally:
        successor.remove()


@pytest.mark.parametrize(
    ("make_it", "what"),
    [
        ("mkfs.ext4 -q DEVICE", "ext4 without a label"),
        ("mkfs.ext4 -q -L other DEVICE", "ext4 labelled 'other'"),
        ("mkswap DEVICE", "swap without a label"),
        ("printf XFSB | dd of=DEVICE conv=notrunc", "no known signature, but not zeros"),
        ("echo 'label: gpt\n,' | sfdisk -q DEVICE", "gpt without a label"),
        ("printf x | dd of=DEVICE seek=67108863 bs=1 conv=notrunc", "no known signature"),
        ("mkfs.ext4 -q -L bullion-data DEVICE; mkswap -f -L bullion-data DEVICE", "swap"),
    ],
    ids=["ext4", "other-label", "swap", "scribble", "gpt", "last-byte", "swap-over-ours"],
)
def test_what_is_neither_blank_nor_ours_is_refused_by_name_and_stays_byte_for_byte(
    kafka: Guest, make: MakeVolume, make_it: str, what: str
) -> None:
    volume = make()
    kafka.attach(volume)
    assert kafka.run("sh", "-ec", make_it.replace("DEVICE", "/dev/nvme1n1")).status == 0
    before = digest(volume)

    done = kafka.data()

    assert done.status == 13
    assert f"{volume.id} (/dev/nvme1n1) is neither blank nor ours: {what}" in done.said
    assert digest(volume) == before
    assert kafka.run("test", "-e", f"{DATA}/kafka").status != 0


def test_of_two_volumes_neither_is_touched(kafka: Guest, make: MakeVolume) -> None:
    one, other = make(), make()
    kafka.attach(one)
    kafka.attach(other, name="nvme2n1")
    before = digest(one), digest(other)

    done = kafka.data()

    assert done.status == 13
    assert "2 volumes may be the data volume" in done.said
    assert one.id in done.said
    assert other.id in done.said
    assert (digest(one), digest(other)) == before


def test_a_volume_that_something_else_is_mounted_from_is_none_of_ours(
    kafka: Guest, make: MakeVolume
) -> None:
    root, ours = make(), make()
    kafka.attach(root, name="nvme0n1")
    kafka.run("sh", "-ec", "mkfs.ext4 -q /dev/nvme0n1; mount /dev/nvme0n1 /mnt")
    kafka.attach(ours)

    done = kafka.data()

    assert done.status == 0, done.said
    assert f"{ours.id} is blank" in done.said


def test_without_a_volume_it_says_what_it_waits_for_and_makes_nothing(kafka: Guest) -> None:
    done = kafka.data()
    assert done.status == 13
    assert "waiting for a volume to be attached as /dev/sdf" in done.said
    assert "no data volume was attached within 1 s" in done.said
    assert kafka.run("test", "-e", f"{DATA}/kafka").status != 0


def test_a_volume_that_grew_between_boots_is_filled(kafka: Guest, make: MakeVolume) -> None:
    volume = make()
    kafka.attach(volume)
    assert kafka.data().status == 0
    kafka.run("sh", "-c", f"echo kept > {DATA}/kafka/file")
    kafka.run("umount", DATA)
    volume.grow(256)

    done = kafka.data()

    assert done.status == 0, done.said
    assert filled_mb(kafka) > 200
    assert kafka.run("cat", f"{DATA}/kafka/file").said.strip() == "kept"


def test_a_volume_that_grew_while_mounted_is_filled_or_said_to_be_at_the_next_boot(
    kafka: Guest, make: MakeVolume
) -> None:
    volume = make()
    kafka.attach(volume)
    assert kafka.data().status == 0
    volume.grow(256)

    done = kafka.data()

    assert done.status == 0, done.said
    if f"{volume.id} has grown" not in done.said:  # as where Docker may not have CAP_SYS_RESOURCE
        assert "and will at the next boot" in done.said
        assert "0.2 GiB more after a reboot" in done.said
        kafka.run("umount", DATA)
        assert kafka.data().status == 0
    assert filled_mb(kafka) > 200


def test_a_role_that_keeps_no_data_waits_for_nothing(debian: str) -> None:
    guest = Guest(debian, Role.PROCESSOR)
    try:
        guest.start()
        done = guest.data(wait_s=60)
    finally:
        guest.remove()
    assert (done.status, "processor keeps no data" in done.said) == (0, True), done.said
