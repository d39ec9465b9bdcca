"""The probe: a job with the GPUs, hardened as every other, that runs nvidia-smi and CUDA.

A driver, a toolkit and a spec can all be there and still not work together: only a job that
allocates memory shows it. It takes seconds, so it runs after the other checks and only on a host
that has a GPU.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from llavakit.engines.base import Engine, Job
from llavakit.engines.gpus import GpuAccess
from llavakit.errors import KitError
from llavakit.host import environment
from llavakit.host.doctor.findings import Finding, Host, Status
from llavakit.host.doctor.place import scratch
from llavakit.host.plan import Stage

ID = "gpu.probe"
SECONDS = 120.0
"""The first import of torch from a cold disk takes most of it."""
INSIDE = Path(__file__).with_name("inside.py")
NO_LIBRARY = {
    GpuAccess.CDI.value: "probe.no-libcuda-cdi",
    GpuAccess.RUNTIME.value: "probe.no-libcuda-runtime",
}
"""Whose the libraries are to give, by how jobs get their GPUs."""
BROKEN_DRIVER = {"803", "804", "999", "802", "3"}
"""CUDA's codes for a driver that does not fit its libraries, or that is not set up."""


def look(host: Host) -> Finding:
    """Run the probe, where there is a GPU and an environment to run it in."""
    if host.pipeline.gpus() == "none" or not environment.has_nvidia_gpu():
        return host.skipped("gpu.not-there" if host.needs_gpu else "gpu.none")
    if host.gpu_access() == "none":
        return host.skipped("probe.no-access")
    if not host.has_environment():
        return host.skipped("probe.no-environment")
    facts = host.facts()
    engine = environment.present(host.settings, facts.client if facts else None)
    host.pipeline.screen.say("probe", host.say("probe.starts", engine=engine.name))
    began = time.monotonic()
    try:
        with _folder(host) as folder:
            text, detail = _run(engine, _job(host, folder))
    except KitError as error:
        return host.refused("fail" if host.needs_gpu else "warn", error)
    return judge(host, read(text), detail, time.monotonic() - began)


def judge(host: Host, found: Mapping[str, Any], detail: str, seconds: float) -> Finding:
    """What the probe's line means."""
    status: Status = "fail" if host.needs_gpu else "warn"
    cuda, smi, torch = (found.get(name, {}) for name in ("cuda", "smi", "torch"))
    if not found:
        return host.lacks(status, "probe.silent", why=detail[-300:] or "-")
    if cuda.get("code") == "libcuda":
        key = NO_LIBRARY.get(host.gpu_access(), "probe.no-libcuda")
        return host.lacks(status, key, why=cuda["error"])
    if "error" in cuda:
        broken = str(cuda.get("code")) in BROKEN_DRIVER
        return host.lacks(status, "probe.driver" if broken else "probe.cuda", why=cuda["error"])
    if "error" in smi:
        return host.lacks(status, "probe.smi", why=smi["error"])
    if "error" in torch or not cuda.get("right") or not torch.get("right", True):
        return host.lacks(status, "probe.torch", why=torch.get("error", "wrong numbers"))
    names = "; ".join(smi.get("gpus", [])) or host.say("probe.no-smi")
    version = torch.get("version", "-")
    return host.passed("probe.works", gpus=names, torch=version, seconds=f"{seconds:.1f}")


def read(text: str) -> dict[str, Any]:
    """The probe's line, which is the last that is JSON; empty without one."""
    for line in reversed(text.splitlines()):
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict) and "cuda" in found:
                return found
    return {}


def _job(host: Host, folder: Path) -> Job:
    """A job of the pipeline's own, with its limits, in a folder of its own."""
    code = INSIDE.read_text(encoding="utf-8")
    place = PurePosixPath("cache")
    stage = Stage("doctor", "doctor", "", ("-c", code), place, uses_gpu=True, protects=())
    return replace(host.pipeline.job(stage), workspace=folder, labels={"stage": "doctor"})


def _run(engine: Engine, job: Job) -> tuple[str, str]:
    """The job's output, and its last words when it ended badly."""
    running = engine.start(job)
    watchdog = threading.Timer(SECONDS, running.stop)
    watchdog.daemon = True
    watchdog.start()
    try:
        lines = list(running.lines())
    except KeyboardInterrupt:
        running.stop(1)
        raise
    finally:
        watchdog.cancel()
        outcome = running.wait()
    text = "\n".join(lines)
    return text, str(outcome.detail) or text or f"exit status {outcome.exit_code}"


@contextlib.contextmanager
def _folder(host: Host) -> Iterator[Path]:
    """Beside the workspace, where the engine sees folders of this host if it sees any."""
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch(host.nearest))
        except OSError:
            folder = stack.enter_context(scratch(None))
        yield folder
