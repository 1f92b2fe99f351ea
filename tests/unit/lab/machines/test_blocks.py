"""Files of volumes: what is refused before anything is done. The rest needs a kernel."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import LabError, SpaceError
from runtime.lab.machines.blocks import Blocks


class NoImages:
    """A Docker in which nothing of the lab is left."""

    api = property(lambda self: self)

    def images(self, **_: object) -> list[Any]:
        """Return no images."""
        return []


def test_a_copy_that_would_fill_the_file_system_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = Blocks(None, "lab-1", tmp_path)
    blocks.create("vol-1", 1)
    (file,) = blocks.files()
    with file.open("r+b") as volume:
        volume.write(b"x" * 65536)
    nearly_full = shutil.disk_usage(tmp_path)._replace(free=65536)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: nearly_full)

    with pytest.raises(SpaceError, match="a copy of vol-1 takes"):
        blocks.copy("vol-1", "snap-1", size_gb=1)
    assert blocks.files() == [file]


def test_a_volume_whose_file_is_gone_is_named_and_not_bound(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"file of volume vol-1 is gone.*bullion-lab-1-vol-1\.img"):
        Blocks(None, "lab-1", tmp_path).bind("vol-1")


def test_without_an_image_to_work_from_the_way_out_is_told(tmp_path: Path) -> None:
    blocks = Blocks(NoImages(), "lab-1", tmp_path)
    blocks.create("vol-1", 1)
    with pytest.raises(LabError, match="losetup --detach"):
        blocks.bind("vol-1")


def test_files_of_another_lab_are_not_seen(tmp_path: Path) -> None:
    Blocks(None, "lab-2", tmp_path).create("vol-1", 1)
    assert Blocks(None, "lab-1", tmp_path).files() == []


def test_a_volume_is_not_cut_short_by_whoever_grows_it_by_less(tmp_path: Path) -> None:
    blocks = Blocks(None, "lab-1", tmp_path)
    blocks.create("vol-1", 1)
    for size_gb in (3, 2):
        blocks.grow("vol-1", size_gb)
    assert blocks.files()[0].stat().st_size == 3 << 30
