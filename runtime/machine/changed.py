"""Which of the files that were baked are not what was baked any more."""

from __future__ import annotations

import hashlib
from pathlib import Path

from runtime.contract import paths
from runtime.contract.manifest import Manifest
from runtime.errors import BootError


def changed(root: Path = Path("/")) -> dict[str, list[str]]:
    """Return {"changed": paths, "missing": paths} of baked files, compared by content.

    Raises:
        BootError: the manifest is not there, or is of an AMI that does not tell its files.
    """
    try:
        manifest = Manifest.parse(_below(root, str(paths.MANIFEST)).read_text())
    except OSError as error:
        message = f"this machine has no manifest: {error}"
        raise BootError(message, hint="the AMI is damaged: bake the role again") from error
    if not manifest.files:
        message = "the manifest tells no files: the AMI was baked before manifests did"
        raise BootError(message, hint="bake the role again")
    found: dict[str, list[str]] = {"changed": [], "missing": []}
    for path, digest in sorted(manifest.files.items()):
        try:
            content = _below(root, path).read_bytes()
        except OSError:
            found["missing"].append(path)
        else:
            if hashlib.sha256(content).hexdigest() != digest:
                found["changed"].append(path)
    return found


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
