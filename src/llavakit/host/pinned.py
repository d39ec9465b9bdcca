"""What a run's environment is pinned to, as data: the lock's packages with hashes and who asked for
them, the base image, the distribution's packages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from llavakit.installed import normal
from llavakit.record_form import Run

ASKED = "-r docker/requirements.in"
"""How the lock calls the kit itself where it says who wants a package."""
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"^\s+#\s+(?:via\s+)?(?P<who>\S.*)$")


@dataclass(frozen=True)
class Package:
    """A pinned package. ``sha256``: of every file of that version which may be installed."""

    name: str
    version: str
    sha256: tuple[str, ...]
    wanted_by: tuple[str, ...]
    """Other packages' names; :data:`ASKED` for the kit."""


@dataclass(frozen=True)
class Base:
    """The image that a container's environment was built on."""

    image: str
    """Its name and tag."""
    sha256: str
    """Of its digest; empty where it has none."""
    packages: Path | None
    """The committed list of the distribution's packages of what was built on it."""

    def name_and_tag(self) -> tuple[str, str]:
        """``nvidia/cuda`` and ``12.1.1-base-ubuntu22.04``."""
        name, colon, tag = self.image.rpartition(":")
        return (name, tag) if colon and "/" not in tag else (self.image, "")

    def purl(self) -> str:
        """The package URL of an image with a digest."""
        name, tag = self.name_and_tag()
        first, slash, last = name.rpartition("/")
        host = name.partition("/")[0]
        where = name if slash and re.search(r"[.:]|^localhost$", host) else (
            f"docker.io/{name if first else f'library/{name}'}")  # fmt: skip
        more = f"&tag={encoded(tag)}" if tag else ""
        digest = encoded(f"sha256:{self.sha256}")
        return f"pkg:oci/{encoded(last.lower())}@{digest}?repository_url={encoded(where)}{more}"


def base(run: Run, folder: Path) -> Base | None:
    """The base image of what trained the run; None where that was no image. ``folder`` holds the
    lists of packages (docker/apt).
    """
    if run.identity.base is None:
        return None
    stages = [stage for stage in run.provenance.stages if stage.described.get("base")]
    trained = [stage for stage in stages if stage.label == "train"] or stages
    image = trained[-1].described["base"] if trained else run.identity.base
    image, _, _ = image.partition("@")
    # As docker/apt-record calls it.
    listed = folder / f"{re.sub(r'[^A-Za-z0-9.]', '-', image)}.lock"
    sha256 = run.identity.base.partition("sha256:")[2]
    return Base(image, sha256, listed if listed.is_file() else None)


def encoded(text: str) -> str:
    """As package URLs want it: letters, digits and ``.-_~:/`` stay, the rest is ``%XX``."""
    return quote(text, safe=":/")


def packages(lock: str) -> list[Package]:
    """The packages of a lock as `uv pip compile` writes it, by name."""
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)
    return sorted(filter(None, map(_package, blocks)), key=lambda each: each.name)


def system_packages(lock: Path) -> Iterator[tuple[str, str, str]]:
    """(name, architecture or nothing, version) of a list that dpkg-query made."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        full, _, version = line.partition("\t")
        name, _, architecture = full.partition(":")
        yield name, architecture, version


def _package(block: str) -> Package | None:
    pin = _PIN.match(block)
    if pin is None:
        return None
    comments = [found["who"] for line in block.splitlines() if (found := _VIA.match(line))]
    wanted = {who if who.startswith("-") else normal(who) for who in comments if who != "via"}
    return Package(
        normal(pin["name"]), pin["version"], tuple(sorted(_HASH.findall(block))),
        tuple(sorted(wanted)),
    )  # fmt: skip
