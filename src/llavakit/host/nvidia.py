"""This host's NVIDIA GPUs, as nvidia-smi tells them."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SECONDS = 10.0
"""nvidia-smi wakes a GPU that nobody uses, which takes a while."""
FIELDS = ("index", "uuid", "name", "driver_version", "memory.total", "memory.free", "compute_cap")
"""The last one is unknown to drivers of before 2021, which then answer nothing at all."""
HOLDER_FIELDS = ("gpu_uuid", "pid", "used_memory", "process_name")
Ask = Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class Gpu:
    """One GPU. Memory in MiB, as nvidia-smi counts it."""

    index: int
    uuid: str
    name: str
    driver: str
    total_mib: int
    free_mib: int
    capability: tuple[int, int] | None = None
    """None where the driver is too old to tell it."""

    def words(self) -> str:
        """One line."""
        memory = f"{self.free_mib} of {self.total_mib} MiB free"
        return f"GPU {self.index}: {self.name}, {memory}, driver {self.driver}, {self.uuid}"


@dataclass(frozen=True)
class Holder:
    """A process that holds memory of a GPU. Processes of other containers may not be told."""

    uuid: str
    pid: int
    name: str
    mib: int | None

    def words(self) -> str:
        size = "an unknown amount" if self.mib is None else f"{self.mib} MiB"
        return f"{self.name} (process {self.pid}): {size}"


def ask(arguments: Sequence[str]) -> str:
    """What nvidia-smi answers. Raises OSError where there is none, SubprocessError otherwise."""
    done = subprocess.run(
        ["nvidia-smi", *arguments, "--format=csv,noheader,nounits"],
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    return done.stdout


def gpus(ask: Ask = ask) -> list[Gpu] | None:
    """The GPUs in nvidia-smi's order; None where it is missing or fails."""
    try:
        try:
            return parse(ask([f"--query-gpu={','.join(FIELDS)}"]))
        except subprocess.CalledProcessError:
            return parse(ask([f"--query-gpu={','.join(FIELDS[:-1])}"]))
    except (OSError, subprocess.SubprocessError):
        return None


def holders(gpu: Gpu, ask: Ask = ask) -> list[Holder]:
    """Who holds memory of ``gpu``, the largest first; empty where that cannot be told."""
    try:
        found = parse_holders(ask([f"--query-compute-apps={','.join(HOLDER_FIELDS)}"]))
    except (OSError, subprocess.SubprocessError):
        return []
    return sorted(
        (holder for holder in found if holder.uuid == gpu.uuid),
        key=lambda holder: -(holder.mib or 0),
    )


def parse(text: str) -> list[Gpu]:
    """The answer to a query of :data:`FIELDS`; lines that say anything else are left out."""
    found = []
    for row in _rows(text):
        capability = re.fullmatch(r"(\d+)\.(\d+)", row[6]) if len(row) == len(FIELDS) else None
        numbers = [_number(row[place]) for place in (0, 4, 5)] if len(row) >= 6 else [None]
        index, total, free = (*numbers, None, None)[:3]
        if index is None or total is None or free is None:
            continue
        pair = (int(capability[1]), int(capability[2])) if capability else None
        found.append(Gpu(index, row[1], row[2], row[3], total, free, pair))
    return found


def parse_holders(text: str) -> list[Holder]:
    """The answer to a query of :data:`HOLDER_FIELDS`; a name may hold commas, so it comes last."""
    found = []
    for row in _rows(text):
        pid = _number(row[1]) if len(row) >= 4 else None
        if pid is not None:
            found.append(Holder(row[0], pid, ", ".join(row[3:]), _number(row[2])))
    return found


def chosen(found: Sequence[Gpu], gpus: str) -> list[Gpu]:
    """Those that ``gpus`` (``all``, or indices and beginnings of uuids) names, in its order."""
    if gpus == "all":
        return list(found)
    named = (word.strip() for word in gpus.split(","))
    return [gpu for word in named for gpu in found if _is_named(gpu, word)]


def _is_named(gpu: Gpu, word: str) -> bool:
    return str(gpu.index) == word or (word.startswith("GPU-") and gpu.uuid.startswith(word))


def _rows(text: str) -> list[list[str]]:
    return [[field.strip() for field in row] for row in csv.reader(text.splitlines())]


def _number(text: str) -> int | None:
    """None for ``[N/A]``, ``[Not Supported]`` and the like."""
    return int(text) if text.isdecimal() else None
