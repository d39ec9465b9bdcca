"""The environment of a run as a CycloneDX 1.6 bill of materials.

From the lock that the record names, and for an image its base and the committed list of its
distribution's packages. Nothing of this host or of this moment is in it: the same pins give the
same bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from llavakit.host import pinned
from llavakit.host.pinned import ASKED, Base, Package, encoded
from llavakit.locks import digest, file_sha256
from llavakit.record_form import Run

FILE_NAME = "sbom.cdx.json"
VERSION = "1.6"
INDEX = "https://pypi.org/simple/"
"""Where the lock was resolved; its hashes hold whatever the mirror."""
ROOT = "environment"
NAMESPACE = uuid.UUID("7a3f0c52-0f0b-5d5c-9b52-6c6c6176616b")
"""Of serial numbers: they come from what the bill holds."""


Licences = Mapping[str, Mapping[str, str]]
"""By a package's name, in CycloneDX's words: an ``id``, a ``name`` or an ``expression``."""


def bill(run: Run, lock: str, made_from: Base | None, licences: Licences) -> dict[str, Any]:
    """The bill of the environment that ``lock`` (its text) and ``made_from`` describe."""
    packages = pinned.packages(lock)
    components = [_python(run), *(_package(each, licences.get(each.name)) for each in packages)]
    if made_from:
        components += [_base(made_from), *_system(made_from)]
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": VERSION,
        "version": 1,
        "metadata": {
            "component": _root(run, made_from),
            "properties": list(_facts(run, made_from)),
        },
        "components": components,
        "dependencies": list(_dependencies(packages, components)),
        "compositions": list(_compositions(packages, components, made_from)),
    }
    return {**body, "serialNumber": uuid.uuid5(NAMESPACE, digest(body)).urn}


def _root(run: Run, made_from: Base | None) -> dict[str, Any]:
    return {
        "type": "container" if made_from else "platform",
        "bom-ref": ROOT,
        "name": "llavakit-environment",
        "version": run.identity.lock[:12],
        "description": "The pinned environment that XTuner 0.1.18 is run in",
    }


def _facts(run: Run, made_from: Base | None) -> Iterator[dict[str, str]]:
    facts = {"lock:sha256": run.identity.lock, "platform": "x86_64-manylinux_2_28"}
    if made_from and made_from.packages:
        facts |= {"apt:list": f"docker/apt/{made_from.packages.name}",
                  "apt:sha256": file_sha256(made_from.packages)}  # fmt: skip
    for name, value in facts.items():
        yield {"name": f"llavakit:{name}", "value": value}


def _python(run: Run) -> dict[str, Any]:
    version = run.identity.python
    known = {"version": version, "purl": f"pkg:generic/python@{version}"} if version else {}
    return {"type": "platform", "bom-ref": "python", "name": "python", **known}


def _package(each: Package, licence: Mapping[str, str] | None) -> dict[str, Any]:
    purl = _purl(each)
    files = [{"alg": "SHA-256", "content": sha} for sha in each.sha256]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": each.name,
        "version": each.version,
        "purl": purl,
        **({"licenses": [_declared(licence)]} if licence else {}),
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"{INDEX}{each.name}/",
                "hashes": files,
                "comment": "the lock's hashes: an installed file has one of these",
            }
        ],
    }


def _purl(each: Package) -> str:
    return f"pkg:pypi/{each.name}@{encoded(each.version)}"


def _declared(licence: Mapping[str, str]) -> dict[str, Any]:
    """What the package says of itself; nobody looked into it."""
    said = {**licence, "acknowledgement": "declared"}
    return said if "expression" in licence else {"license": said}


def _base(made_from: Base) -> dict[str, Any]:
    name, tag = made_from.name_and_tag()
    known: dict[str, Any] = {"version": tag} if tag else {}
    if made_from.sha256:
        known["hashes"] = [{"alg": "SHA-256", "content": made_from.sha256}]
        known["purl"] = made_from.purl()
    return {"type": "container", "bom-ref": "base", "name": name, **known}


def _system(made_from: Base) -> Iterator[dict[str, Any]]:
    if made_from.packages is None:
        return
    vendor = "ubuntu" if "ubuntu" in made_from.image else "debian"
    for name, architecture, version in pinned.system_packages(made_from.packages):
        purl = f"pkg:deb/{vendor}/{encoded(name)}@{encoded(version)}"
        purl += f"?arch={architecture}" if architecture else ""
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _dependencies(packages: list[Package], components: list[Any]) -> Iterator[dict[str, Any]]:
    """The lock's `via` lines, turned round."""
    refs = {each.name: _purl(each) for each in packages}
    wants: dict[str, set[str]] = {each["bom-ref"]: set() for each in components}
    wants[ROOT] = {ref for ref in wants if not ref.startswith("pkg:pypi/")}
    for each in packages:
        for who in each.wanted_by:
            wants[ROOT if who == ASKED else refs[who]].add(refs[each.name])
    for ref, found in sorted(wants.items()):
        yield {"ref": ref, "dependsOn": sorted(found)} if found else {"ref": ref}


def _compositions(
    packages: list[Package], components: list[Any], made_from: Base | None
) -> Iterator[dict[str, Any]]:
    """Of what everything is named, and of what not: Python itself, and a base without a list."""
    refs = {_purl(each) for each in packages}
    if made_from and made_from.packages:
        refs |= {each["bom-ref"] for each in components if each["bom-ref"].startswith("pkg:deb/")}
    rest = {each["bom-ref"] for each in components} - refs
    yield {"aggregate": "complete", "dependencies": sorted(refs)}
    yield {"aggregate": "incomplete", "assemblies": sorted(rest)}
