"""What goes into an image is the same whoever cloned the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.bake import images


@pytest.mark.parametrize(("mode", "copied"), [(0o600, 0o644), (0o664, 0o644), (0o700, 0o755)])
def test_a_file_of_an_image_has_a_mode_that_no_umask_tells(
    tmp_path: Path, mode: int, copied: int
) -> None:
    source, target = tmp_path / "start", tmp_path / "context/inner/start"
    source.write_text("#!/bin/sh\n")
    source.chmod(mode)
    images._copy(source, target)
    assert target.read_text() == source.read_text()
    assert target.stat().st_mode & 0o777 == copied
    assert target.parent.stat().st_mode & 0o777 == 0o755
