"""How a container gets its GPUs: by CDI, or by NVIDIA's container runtime."""

from __future__ import annotations

import re
import resource
import shutil
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from docker.types import DeviceRequest

CAP_SYS_RESOURCE = 1 << 24
CDI_KIND = "nvidia.com/gpu"
_SPEC_KIND = re.compile(r"""["']?\bkind["']?\s*:\s*["']?nvidia\.com/gpu\b""")
RUNTIME_HOOK = "nvidia-container-runtime-hook"
"""What Docker looks for on its PATH before it accepts a request with the capability 'gpu'."""


class GpuAccess(str, Enum):
    CDI = "cdi"
    RUNTIME = "nvidia-runtime"
    NONE = "none"


def access(info: Mapping[str, Any]) -> GpuAccess:
    """What the engine whose ``info`` this is can do.

    A spec file is looked for on this host, so one that only a remote engine has is not seen (newer
    engines list their devices themselves).
    """
    devices = info.get("DiscoveredDevices") or []
    if any(str(device.get("ID", "")).startswith(CDI_KIND) for device in devices):
        return GpuAccess.CDI
    if specs(info):
        return GpuAccess.CDI
    if "nvidia" in (info.get("Runtimes") or {}) or shutil.which(RUNTIME_HOOK):
        return GpuAccess.RUNTIME
    return GpuAccess.NONE


def specs(info: Mapping[str, Any]) -> list[Path]:
    """NVIDIA's CDI specs on this host that the engine reads.

    An engine that has CDI switched off lists no folders: a spec alone is not enough.
    """
    folders = [Path(folder) for folder in info.get("CDISpecDirs") or []]
    files = (file for folder in folders for file in _spec_files(folder))
    return [file for file in files if _is_nvidia_spec(file)]


def missing(spec: Path) -> list[str]:
    """What a CDI spec gives containers and this host does not have.

    A driver that was updated has other libraries than the spec that was made for it before. A spec
    that cannot be read misses nothing that is known.
    """
    try:
        body = yaml.safe_load(spec.read_text(encoding="utf-8"))
        edits = [
            body.get("containerEdits") or {},
            *(device.get("containerEdits") or {} for device in body.get("devices") or []),
        ]
        mounts = [mount["hostPath"] for edit in edits for mount in edit.get("mounts") or []]
        nodes = [node.get("hostPath") or node["path"]
                 for edit in edits for node in edit.get("deviceNodes") or []]  # fmt: skip
    except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return []
    return [path for path in dict.fromkeys([*nodes, *mounts]) if not Path(path).exists()]


def device_requests(gpus: str, how: GpuAccess) -> list[DeviceRequest]:
    """The SDK's form of ``Job.gpus``; empty for ``none``."""
    if gpus == "none":
        return []
    if how is GpuAccess.CDI:
        return [DeviceRequest(driver="cdi", device_ids=_cdi_names(gpus))]
    if gpus == "all":
        return [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    return [DeviceRequest(device_ids=gpus.split(","), capabilities=[["gpu"]])]


def arguments(gpus: str, how: GpuAccess) -> list[str]:
    """The same for the command line of ``docker run``."""
    if gpus == "none":
        return []
    if how is GpuAccess.CDI:
        return [word for name in _cdi_names(gpus) for word in ("--device", name)]
    return ["--gpus", gpus if gpus == "all" else f'"device={gpus}"']


def may_lock_memory(status: Path = Path("/proc/self/status")) -> bool:
    """Whether an engine of this host may start containers without a limit on locked memory.

    An engine that runs in a container without CAP_SYS_RESOURCE may not raise its own limit: runc
    then says ``error setting rlimit type 8: operation not permitted``. The client is in the same
    container and has the same bounds. An engine elsewhere is not looked at.
    """
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY:
        return True
    try:
        found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status.read_text("ascii"), re.MULTILINE)
    except (OSError, ValueError):
        return False
    return found is not None and bool(int(found[1], 16) & CAP_SYS_RESOURCE)


def _cdi_names(gpus: str) -> list[str]:
    return [f"{CDI_KIND}={index}" for index in gpus.split(",")]


def _spec_files(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if file.suffix in (".json", ".yaml")]
    except OSError:
        return []


def _is_nvidia_spec(file: Path) -> bool:
    try:
        return _SPEC_KIND.search(file.read_text(encoding="utf-8")) is not None
    except (OSError, ValueError):
        return False
