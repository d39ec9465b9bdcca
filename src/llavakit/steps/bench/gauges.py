"""What a running child takes: memory of its processes and of the host, disk, the GPU's memory.

GPU: ten times a second. Memory and disk: twice a second, or less often where looking takes long, so
that it takes no more than a tenth of one core.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from llavakit.steps.bench.nvml import Gpu

GPU_SECONDS = 0.1
SLOW_SECONDS = 0.5
SHARE = 0.1
MIB = 1 << 20


class Gauges(threading.Thread):
    """Looks from :meth:`watch` to :meth:`close`; what is in use when it is made is not counted."""

    def __init__(self, folder: Path, gpu: Gpu | None) -> None:
        super().__init__(daemon=True)
        self._folder, self._gpu = folder, gpu
        self._processes: Callable[[], list[int]] = list
        self._over = threading.Event()
        self._available = available_mib()
        self.gpu_before = gpu.settled_mib() if gpu else None
        self._peaks = {"memory_mib": 0.0, "host_memory_mib": 0.0, "disk_mib": 0.0, "gpu_mib": 0.0}

    def watch(self, processes: Callable[[], list[int]]) -> None:
        """Begin; ``processes`` names those whose memory counts."""
        self._processes = processes
        self.start()

    def run(self) -> None:
        due = 0.0
        while not self._over.wait(GPU_SECONDS):
            self._look_at_gpu()
            began = time.monotonic()
            if began >= due:
                self._look_at_host()
                took = time.monotonic() - began
                due = began + max(SLOW_SECONDS, took / SHARE)

    def close(self) -> dict[str, int | None]:
        """Stop looking; the peaks in MiB.

        ``memory_mib``: of the processes (see :func:`memory_mib`); ``host_memory_mib``: by how much
        the host had less than at the start, whoever took it; ``disk_mib``: in the folder;
        ``gpu_mib``: more than at the start, None where nobody tells.
        """
        self._over.set()
        self.join()
        peaks: dict[str, int | None] = {name: round(value) for name, value in self._peaks.items()}
        return peaks if self._gpu else {**peaks, "gpu_mib": None}

    def _look_at_gpu(self) -> None:
        if self._gpu:
            with contextlib.suppress(Exception):  # one look more or less
                self._most("gpu_mib", self._gpu.used_mib() - (self.gpu_before or 0))

    def _look_at_host(self) -> None:
        self._most("memory_mib", memory_mib(self._processes()))
        self._most("host_memory_mib", self._available - available_mib())
        self._most("disk_mib", disk_mib(self._folder))

    def _most(self, name: str, value: float) -> None:
        self._peaks[name] = max(self._peaks[name], value)


def memory_mib(processes: Iterable[int]) -> float:
    """What the processes hold that is no file's: anonymous and shared memory, pinned pages with it.

    (On an H100 this said 15,836 MiB with 10.5 GiB of optimizer states in pinned slabs, 12,715 with
    7.8, 7,721 with none; the host had 16,144, 12,965 and 7,773 less.)

    Of one process alone the kernel's counters say it; of several the proportional set size, which
    counts what they share once. Where that may not be read, the counters all the same.
    """
    found = list(processes)
    fields = ("Pss_Anon", "Pss_Shmem"), ("RssAnon", "RssShmem")
    if len(found) > 1:
        sums = [_sum(Path(f"/proc/{each}/smaps_rollup"), fields[0]) for each in found]
        if any(sums):
            return sum(sums) / 1024
    return sum(_sum(Path(f"/proc/{each}/status"), fields[1]) for each in found) / 1024


def available_mib() -> float:
    """What the host has for a program that asks."""
    return _sum(Path("/proc/meminfo"), ("MemAvailable",)) / 1024


def disk_mib(folder: Path) -> float:
    """What a folder takes on its disk; files come and go while it is looked at."""
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(top) / name).lstat().st_blocks * 512
    return total / MIB


def _sum(file: Path, names: tuple[str, ...]) -> int:
    """The sum of some of a file's ``Name: NUMBER kB`` lines; 0 where it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        pairs = (line.split()[:2] for line in file.read_text("ascii", "replace").splitlines())
        return sum(int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0][:-1] in names)
    return 0
