"""Where a stage ran: the kit's clone, the host, and the command line that does the same by hand.

Good to know and never compared. Folders of this host stay out of it, and so do secrets.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llavakit import redact
from llavakit.engines.base import Engine, Job
from llavakit.engines.local import LocalEngine
from llavakit.errors import EngineError, KitError
from llavakit.host import environment
from llavakit.host.settings import KIT
from llavakit.locks import digest, file_sha256

GIT_SECONDS = 20
CODE = ("src", "configs", "docker", "tasks.py", "invoke.yaml")
"""Where a new file is a change of the kit; elsewhere it may be somebody's 16 GB of weights."""


def kit() -> dict[str, Any]:
    """The clone's commit, whether files differ from it, and a hash over what differs."""
    commit = environment.commit()
    known = re.fullmatch(r"([0-9a-f]{40})(-dirty)?", commit)
    try:
        new = _git("ls-files", "--others", "--exclude-standard", "-z", *CODE).decode().split("\0")
        files = {name: file_sha256(KIT / name) for name in sorted(filter(None, new))}
        dirty = bool(known and known[2]) or bool(files)
        changes = _git("diff", "--binary", "HEAD") if dirty else b""
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return {"commit": known[1] if known else commit, "dirty": bool(known and known[2])}
    diff = digest([hashlib.sha256(changes).hexdigest(), files]) if dirty else None
    return {"commit": known[1] if known else commit, "dirty": dirty, "diff": diff}


def host() -> dict[str, Any]:
    """This computer, in a few words."""
    return {
        "name": socket.gethostname(),
        "system": _system(),
        "kernel": platform.release(),
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "memory_mib": environment.memory_bytes() >> 20,
    }


def describe(engine: Engine | None) -> Mapping[str, str]:
    """What the engine says of itself; nothing where it is gone."""
    try:
        return engine.describe() if engine else {}
    except EngineError:  # the stage's own failure is what counts
        return {}


def command(engine: Engine, job: Job) -> str | None:
    """The engine's command line for ``job``; folders of this host by names such as $WORKSPACE."""
    try:
        line = engine.command(job)
    except KitError:  # the engine is gone; the stage's own failure is what counts
        return None
    others = [each for each in job.mounts if not each.source.is_relative_to(job.workspace)]
    places = {str(mount.source): f"${_variable(mount.target)}" for mount in others}
    if isinstance(engine, LocalEngine):
        places[str(engine.python.parent.parent)] = "$ENVIRONMENT"
    places |= {str(KIT): "$KIT", str(Path.home()): "$HOME", str(job.workspace): "$WORKSPACE"}
    for place in sorted(places, key=len, reverse=True):
        if place != "/":
            line = line.replace(place, places[place])
    return redact.scrub(line, redact.secrets(os.environ | dict(job.env)))


def _variable(target: str) -> str:
    """A name for what is mounted at ``target``: ``inputs/llm-0123abcd`` is ``LLM_0123ABCD``."""
    return re.sub(r"\W+", "_", Path(target).name).upper()


def _git(*words: str) -> bytes:
    done = subprocess.run(
        ["git", *words], cwd=KIT, capture_output=True, timeout=GIT_SECONDS, check=True
    )
    return done.stdout


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def base(described: Mapping[str, str]) -> str | None:
    """The base image that an engine's description names: its digest, else its name."""
    return described.get("base_digest") or described.get("base") or None
