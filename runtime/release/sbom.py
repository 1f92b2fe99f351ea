"""Software bills of materials: an AMI's inventory as CycloneDX 1.6, and how two differ; pure.

Same inventory, same bytes: there is no clock in it but what is passed in.
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]

SUFFIX = ".cdx.json"
MACHINE = "machine"  # where what is in no container image lies
WHERE = "bullion:where"  # property of a component: MACHINE, or the name of its image
_AMI = "ami"  # bom-ref of the whole
_PACKAGE_TYPES = {"alpine": "apk"}  # of a package by its operating system's id; else deb


@dataclass(frozen=True, kw_only=True)
class Change:
    """One package that differs between two AMIs.

    Attributes:
        where: "machine", or the image without its tag.
        name: with its kind, as "deb openssl" or "pypi fastapi".
        before, after: versions, "" where it is not there.
    """

    where: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What is in the second AMI and not in the first, the other way round, and in both anew."""

    added: tuple[Change, ...]
    removed: tuple[Change, ...]
    changed: tuple[Change, ...]

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        return bool(self.added or self.removed or self.changed)


def to_cyclonedx(
    inventory: Json, *, role: str, version: str, ami_id: str = "", at: str = ""
) -> dict[str, Any]:
    """Return the bill of an AMI as a CycloneDX document.

    Args:
        inventory: what `bullion inventory` printed on a machine of the AMI.
        role: what was baked.
        version: the release it is in.
        ami_id: the AMI, if it is to be told.
        at: when, in ISO 8601 with zone; nothing is told without.
    """
    whole: dict[str, Any] = {
        "type": "operating-system",
        "bom-ref": _AMI,
        "name": f"bullion-{role}",
        "version": version,
    }
    if ami_id:
        whole["properties"] = [{"name": "bullion:ami", "value": ami_id}]
    by_ref = {str(one["bom-ref"]): one for one in _components(inventory)}
    components = [by_ref[ref] for ref in sorted(by_ref)]
    held: dict[str, list[str]] = defaultdict(list)
    for one in components:
        place = _where(one)
        held[_AMI if place == MACHINE else place].append(one["bom-ref"])
    held[_AMI] += sorted(inventory["images"])
    images = [
        {"type": "container", "bom-ref": name, "name": name.partition(":")[0]}
        | ({"version": tag} if (tag := name.partition(":")[2]) else {})
        for name in sorted(inventory["images"])
    ]
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": whole} | ({"timestamp": at} if at else {}),
        "components": [*images, *components],
        "dependencies": [{"ref": ref, "dependsOn": held[ref]} for ref in sorted(held)],
    }
    digest = hashlib.sha256(to_json(document).encode()).hexdigest()
    return document | {"serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"}


def to_json(document: Json) -> str:
    """Return the text of a document as its file has it."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def compare(before: Json, after: Json) -> Difference:
    """Return how the packages of two documents differ; images are the same by name, not by tag."""
    one, other = _versions(before), _versions(after)
    found: dict[str, list[Change]] = {"added": [], "removed": [], "changed": []}
    for where, name in sorted(one.keys() | other.keys()):
        old, new = one.get((where, name), ""), other.get((where, name), "")
        if old == new:
            continue
        kind = "changed" if old and new else "added" if new else "removed"
        found[kind].append(Change(where=where, name=name, before=old, after=new))
    return Difference(**{kind: tuple(changes) for kind, changes in found.items()})


def _versions(document: Json) -> dict[tuple[str, str], str]:
    """Return {(where, kind and name): version}; several versions of one, or digests, joined."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in document.get("components", ()):
        if one["type"] == "container":
            continue
        kind = one.get("purl", "pkg:file/").removeprefix("pkg:").partition("/")[0]
        name = f"{one['group']}/{one['name']}" if one.get("group") else one["name"]
        digest = next((f"sha256:{h['content'][:12]}" for h in one.get("hashes", ())), "unknown")
        place = _where(one).partition(":")[0]
        found[place, f"{kind} {name}"].add(one.get("version") or digest)
    return {key: ", ".join(sorted(versions)) for key, versions in found.items()}


def _components(inventory: Json) -> Iterator[dict[str, Any]]:
    yield from _of(MACHINE, inventory)
    for name, image in inventory["images"].items():
        yield from _of(name, image)


def _of(where: str, found: Json) -> Iterator[dict[str, Any]]:
    system = found.get("os", {})
    for row in found.get("packages", ()):
        yield _component(where, row, purl=_system_purl(row, system))
    for row in found.get("python", ()):
        name = row["name"].lower().replace("_", "-")
        yield _component(where, row, purl=_purl("pypi", name, row["version"]))
    for row in found.get("jars", ()):
        kind = "maven" if row.get("group") else "generic"
        path = f"{row['group']}/{row['name']}" if row.get("group") else row["name"]
        yield _component(where, row, purl=_purl(kind, path, row["version"]))
    for row in found.get("go", ()):
        version = "" if row["version"] == "(devel)" else row["version"]
        yield _component(where, row, purl=_purl("golang", row["name"], version))
    for row in found.get("programs", ()):
        yield _component(where, row, kind="file")


def _component(
    where: str, row: Mapping[str, str], *, purl: str = "", kind: str = "library"
) -> dict[str, Any]:
    # Two jars may bear one name; their digests tell them apart.
    digest = row.get("sha256", "")
    one: dict[str, Any] = {
        "type": kind,
        "bom-ref": "#".join(filter(None, (where, purl or row["name"], digest[:16]))),
        "name": row["name"],
        "properties": [{"name": WHERE, "value": where}],
    }
    more = {"group": row.get("group"), "version": row.get("version"), "purl": purl}
    one |= {name: value for name, value in more.items() if value}
    if digest:
        one["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return one


def _system_purl(row: Mapping[str, str], system: Mapping[str, str]) -> str:
    vendor = system.get("id") or "debian"
    told = {"arch": row.get("arch", "")}
    if system.get("version"):
        told["distro"] = f"{vendor}-{system['version']}"
    kind = _PACKAGE_TYPES.get(vendor, "deb")
    return _purl(kind, f"{vendor}/{row['name']}", row["version"], **told)


def _purl(kind: str, path: str, version: str, **qualifiers: str) -> str:
    """Return a package URL; see the purl specification on what is to be escaped."""
    name = "/".join(urllib.parse.quote(part, safe="") for part in path.split("/"))
    told = "&".join(
        f"{key}={urllib.parse.quote(value, safe='')}"
        for key, value in sorted(qualifiers.items())
        if value
    )
    behind = f"@{urllib.parse.quote(version, safe='')}" if version else ""
    return f"pkg:{kind}/{name}{behind}" + (f"?{told}" if told else "")


def _where(component: Json) -> str:
    return next((str(p["value"]) for p in component["properties"] if p["name"] == WHERE), MACHINE)
