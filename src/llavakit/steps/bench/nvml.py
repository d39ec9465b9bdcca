"""The first GPU that this process may use, as the driver's own library tells it.

It makes no CUDA context, which would take memory of the GPU that is measured.
"""

from __future__ import annotations

import os
import time
from typing import Any

SETTLE_SECONDS = 0.5


class Gpu:
    """A GPU; ``handle`` is NVML's."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    def facts(self) -> dict[str, Any]:
        """``name``, ``uuid``, ``driver`` and ``total_mib``."""
        return {
            "name": _text(self._nvml.nvmlDeviceGetName(self._handle)),
            "uuid": _text(self._nvml.nvmlDeviceGetUUID(self._handle)),
            "driver": _text(self._nvml.nvmlSystemGetDriverVersion()),
            "total_mib": int(self._memory().total) >> 20,
        }

    def used_mib(self) -> int:
        """Memory in use by all, as nvidia-smi shows it."""
        return int(self._memory().used) >> 20

    def settled_mib(self, seconds: float = 10.0) -> int:
        """:meth:`used_mib` once it falls no more: what an ended process had comes back late."""
        deadline, used = time.monotonic() + seconds, self.used_mib()
        while time.monotonic() < deadline:
            time.sleep(SETTLE_SECONDS)
            before, used = used, self.used_mib()
            if used >= before:
                break
        return used

    def _memory(self) -> Any:
        """The newer form leaves out what the driver keeps for itself, as nvidia-smi does."""
        read = self._nvml.nvmlDeviceGetMemoryInfo
        try:
            return read(self._handle, self._nvml.nvmlMemory_v2)
        except (self._nvml.NVMLError, AttributeError):
            return read(self._handle)


def first() -> tuple[Gpu | None, str]:
    """The GPU that CUDA counts as 0 in this process; or none, and why."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if not chosen or chosen == "-1":
        return None, "no GPU was given"
    try:
        import pynvml

        pynvml.nvmlInit()
        gpu = Gpu(pynvml, _handle(pynvml, chosen))
        gpu.used_mib()
    except Exception as error:  # whatever the library lacks: what it would tell is optional
        return None, f"NVML does not answer: {error}"
    return gpu, ""


def _handle(nvml: Any, chosen: str) -> Any:
    """By its number, as engines order them (PCI_BUS_ID), or by the beginning of its uuid."""
    if chosen.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(chosen))
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        if _text(nvml.nvmlDeviceGetUUID(handle)).startswith(chosen):
            return handle
    raise ValueError(f"it has no {chosen}")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
