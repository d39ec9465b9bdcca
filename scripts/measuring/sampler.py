"""What a machine has in use, once a second: its GPUs, a disk, its memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path


class Sampler(threading.Thread):
    """Once a second: memory of all GPUs, disk in use, memory in use."""

    def __init__(self, folder: Path, file: Path) -> None:
        super().__init__(daemon=True)
        self._folder, self._file = folder, file
        self._gpu: tuple[int, int] | None = None
        self._peaks: dict[str, float] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        self._watch_gpu()
        with self._file.open("a", encoding="utf-8", buffering=1) as out:
            while True:
                sample = self.sample()
                out.write(json.dumps(sample) + "\n")
                time.sleep(1)

    def sample(self) -> dict[str, float]:
        """The present values, which also count for the peaks."""
        disk, memory = shutil.disk_usage(self._folder), meminfo()
        used = memory.get("MemTotal", 0) - memory.get("MemAvailable", 0)
        found = {
            "time": round(time.time(), 1),
            "disk_gib": round(disk.used / 2**30, 2),
            "disk_free_gib": round(disk.free / 2**30, 2),
            "memory_gib": round(used / 2**20, 2),
        }
        if self._gpu is not None:
            found["gpu_mib"], found["gpu_percent"] = self._gpu
        self._keep(found)
        return found

    def begin(self) -> dict[str, float]:
        """Forget the peaks; the values now."""
        with self._lock:
            self._peaks = {}
        return self.sample()

    def peaks(self) -> dict[str, float]:
        """The largest values since :meth:`begin`."""
        self.sample()
        with self._lock:
            return dict(self._peaks)

    def _keep(self, found: dict[str, float]) -> None:
        with self._lock:
            for name in ("disk_gib", "memory_gib", "gpu_mib"):
                if name in found:
                    self._peaks[name] = max(self._peaks.get(name, 0), found[name])

    def _watch_gpu(self) -> None:
        query = ["nvidia-smi", "--query-gpu=memory.used,utilization.gpu",
                 "--format=csv,noheader,nounits", "-lms", "250"]  # fmt: skip
        if not shutil.which(query[0]):
            return

        def read() -> None:
            with subprocess.Popen(query, stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout or ():
                    with contextlib.suppress(ValueError):
                        used, busy = (int(word) for word in line.split(","))
                        self._gpu = (used, busy)
                        self._keep({"gpu_mib": used})

        threading.Thread(target=read, daemon=True).start()


def meminfo() -> dict[str, int]:
    """/proc/meminfo in KiB."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def size(folder: Path) -> int:
    """Bytes on the disk."""
    found = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
    total = 0
    for path in found:
        with contextlib.suppress(OSError):
            total += path.lstat().st_blocks * 512
    return total
