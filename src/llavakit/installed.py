"""Hash again what is installed: every file against the RECORD that its package came with.

``python -m llavakit.installed --out FILE`` looks at the environment that it runs in and writes what
it found as JSON; the host judges it. What cannot be seen: a file that was changed together with
its RECORD, byte-code (no RECORD has its hash), and Python itself.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from llavakit.locks import write_json

OWN = ("_virtualenv.py", "_virtualenv.pth")
"""What uv puts beside the packages of a virtual environment that it makes."""


@dataclass
class Installed:
    """What is installed in one site-packages folder. Names are relative to it, sorted."""

    packages: dict[str, str] = field(default_factory=dict)
    """Version by normalised name."""
    hashed: int = 0
    """Files with the bytes that their RECORD says."""
    bytes: int = 0
    unhashed: int = 0
    """Files that a RECORD lists without a hash."""
    modified: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    """Files and linked folders of no package, byte-code left out."""


def look(site: Path) -> Installed:
    """Hash all files of the packages in ``site``, on all cores."""
    found, records = Installed(), _records(site)
    listed: dict[str, set[str]] = {}
    for info, rows in records.items():
        name, version = _name_version(info)
        found.packages[name] = version
        for path, sha in rows:
            listed.setdefault(_plain(path), set()).add(sha)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        states = pool.map(lambda item: _state(site / item[0], item[1]), listed.items())
        for name, (state, size) in zip(listed, states, strict=True):
            if state == "hashed":
                found.hashed += 1
                found.bytes += size
            elif state == "unhashed":
                found.unhashed += 1
            else:
                getattr(found, state).append(name)
    found.strangers = sorted(_strangers(site, listed.keys()))
    found.modified.sort()
    found.missing.sort()
    return found


def _records(site: Path) -> dict[Path, list[tuple[str, str]]]:
    """(path, hash) of every line, by dist-info folder; one without a RECORD has none."""
    found = {}
    for info in sorted(site.glob("*.dist-info")):
        try:
            with (info / "RECORD").open(encoding="utf-8", newline="") as file:
                found[info] = [(row[0], row[1]) for row in csv.reader(file) if len(row) >= 2]
        except (OSError, UnicodeDecodeError, csv.Error):
            found[info] = [(f"{info.name}/RECORD", "sha256=unreadable")]
    return found


def _name_version(info: Path) -> tuple[str, str]:
    name, _, version = info.name.removesuffix(".dist-info").partition("-")
    return normal(name), version


def normal(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _plain(path: str) -> str:
    return os.path.normpath(path)


def _state(path: Path, hashes: set[str]) -> tuple[str, int]:
    """Two packages may bring one file: it must have the bytes of one of them."""
    wanted = {each.partition("=")[2] for each in hashes if each.startswith("sha256=")}
    if path.suffix == ".pyc":  # a wheel may bring byte-code; any Python that imports it writes anew
        wanted = set()
    hasher, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while wanted and (chunk := file.read(1 << 20)):
                hasher.update(chunk)
                size += len(chunk)
    except OSError:
        return "missing" if wanted else "unhashed", 0
    if not wanted:
        return "unhashed", 0
    digest = base64.urlsafe_b64encode(hasher.digest()).decode().rstrip("=")
    return ("hashed" if digest in wanted else "modified"), size


def _strangers(site: Path, listed: object) -> Iterator[str]:
    known = set(listed)  # type: ignore[call-overload]
    for folder, folders, files in os.walk(site):
        # A linked folder is walked by nobody here, and Python imports from it all the same.
        links = [each for each in folders if os.path.islink(os.path.join(folder, each))]  # noqa: PTH114, PTH118
        if "__pycache__" in folders:
            folders.remove("__pycache__")
        for file in (*files, *links):
            name = os.path.relpath(os.path.join(folder, file), site)  # noqa: PTH118 - many
            if name not in known and name not in OWN:
                yield name


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m llavakit.installed")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found = look(Path(sysconfig.get_path("purelib")))
    write_json(args.out, {**asdict(found), "python": sys.version.split()[0]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
