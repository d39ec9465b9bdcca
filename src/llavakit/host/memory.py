"""How much of this host's memory a job could have: what is free, within what a container may use.

The limits are those of this process's own control group and of the groups around it. A container of
a Docker Engine on the same host has others, which the engine sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
UNLIMITED = 1 << 60
"""Control groups of version 1 say a number near 2^63 for no limit."""


def available_bytes(root: Path = ROOT) -> int | None:
    """Bytes that can be had without swapping; None where the kernel does not tell."""
    found = [_of_host(root), *(_of_group(folder) for folder in _groups(root))]
    known = [each for each in found if each is not None]
    return min(known) if known else None


def _of_host(root: Path) -> int | None:
    for line in _read(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups, and of those around them.

    In a container the path may be the host's, which is not there: its own limits are at the top.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        group = top / path.strip("/")
        yield group
        yield from (parent for parent in group.parents if parent.is_relative_to(top))


def _of_group(folder: Path) -> int | None:
    """The group's limit less what it uses; pages of files can be given back and are not use."""
    for limit_file, used_file, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = _number(folder / limit_file), _number(folder / used_file)
        if limit is not None and limit < UNLIMITED:
            return max(0, limit - (used or 0) + _statistic(folder, cached))
    return None


def _statistic(folder: Path, name: str) -> int:
    pairs = (line.split() for line in _read(folder / "memory.stat").splitlines())
    return next((int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == name), 0)


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
