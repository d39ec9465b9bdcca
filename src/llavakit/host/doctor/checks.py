"""The table of all checks, in the order of the report, and what runs them in time."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from llavakit.errors import KitError
from llavakit.host.disk import system_error
from llavakit.host.doctor import engine, gpu, leftovers, memory, network, pinned, place
from llavakit.host.doctor.findings import Check, Finding, Host, Status


@dataclass(frozen=True)
class Row:
    """A check's finding, and how long it took."""

    id: str
    finding: Finding
    seconds: float


def host_itself(host: Host) -> Finding:
    """Whether the pinned packages exist for this machine."""
    params = {"python": platform.python_version(), "machine": platform.machine(),
              "system": platform.system(), "cores": os.cpu_count()}  # fmt: skip
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return host.lacks("fail", "host.other", **params)
    return host.passed("host.wsl" if os.path.exists("/dev/dxg") else "host.linux", **params)  # noqa: PTH110


CHECKS: tuple[Check, ...] = (
    Check("host", host_itself),
    *engine.CHECKS,
    *pinned.CHECKS,
    *gpu.CHECKS,
    *memory.CHECKS,
    *place.CHECKS,
    *network.CHECKS,
    *leftovers.CHECKS,
)


def run(host: Host, checks: Sequence[Check] = CHECKS) -> list[Row]:
    """All at once, each in its time: whoever hangs is left behind and said to hang."""
    began = time.monotonic()
    found: dict[str, Row] = {}
    threads = [
        threading.Thread(target=_keep, args=(found, host, check), daemon=True) for check in checks
    ]
    for thread in threads:
        thread.start()
    rows = []
    for check, thread in zip(checks, threads, strict=True):
        thread.join(max(0.0, began + check.seconds - time.monotonic()))
        rows.append(found.get(check.id) or Row(check.id, hung(host, check), check.seconds))
    return rows


def hung(host: Host, check: Check) -> Finding:
    """The finding about a check that did not end."""
    words = {"engine": "hung.engine", "image": "hung.engine", "gpu": "hung.gpu",
             "network": "hung.network"}  # fmt: skip
    status: Status = "fail" if check.needed and not _has_way_round(host, check) else "warn"
    key = words.get(check.theme, "hung.place")
    return host.lacks(status, key, seconds=f"{check.seconds:g}")


def _has_way_round(host: Host, check: Check) -> bool:
    """Without an engine `auto` goes on with the local one, without a GPU most recipes do."""
    if check.theme in ("engine", "image"):
        return host.settings.engine != "docker"
    return check.theme == "gpu" and not host.needs_gpu


def _keep(found: dict[str, Row], host: Host, check: Check) -> None:
    began = time.monotonic()
    try:
        finding = check.look(host)
    except KitError as error:
        finding = host.refused("fail" if check.needed else "warn", error)
    except OSError as error:
        refused = system_error(error, host.workspace.root)
        finding = host.refused("fail" if check.needed else "warn", refused)
    except Exception as error:  # one check's mistake must not hide what the others found
        why = f"{type(error).__name__}: {error}"
        finding = host.lacks("warn", "check-broke", check=check.id, why=why)
    found[check.id] = Row(check.id, finding, round(time.monotonic() - began, 3))
