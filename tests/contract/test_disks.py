"""What the copy of a data volume shares with its source, and what it has for itself."""

from __future__ import annotations

from pathlib import Path

from runtime import proc
from runtime.lab.machines import disks

FINISHED = ("overlay2/done/committed", "overlay2/done/diff/file")
OTHERS = ("overlay2/open/diff/file", "image/file")


def test_finished_layers_are_linked_and_all_else_is_copied(tmp_path: Path) -> None:
    source, target = (tmp_path / name / "_data" for name in ("from", "to"))
    target.mkdir(parents=True)
    for name in (*FINISHED, *OTHERS):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)

    copy = disks._COPY.replace("/volumes", str(tmp_path))
    proc.run(["sh", "-c", copy, "sh", "from", "to"], timeout_s=20)

    links = {name: (target / name).stat().st_nlink for name in (*FINISHED, *OTHERS)}
    assert links == dict.fromkeys(FINISHED, 2) | dict.fromkeys(OTHERS, 1)
    assert [(target / name).read_text() for name in links] == list(links)
