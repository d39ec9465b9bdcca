"""The programs git and git-lfs, run so that nothing but the network decides what they do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from llavakit.errors import SourceError

TICK = 0.1
"""Seconds between two looks at a running program."""


@dataclass(frozen=True)
class Ended:
    """How a program ended. ``quiet``: it was stopped, because nothing had happened for too long."""

    status: int
    out: bytes
    said: str
    quiet: bool = False


def program(name: str, title: str) -> str:
    """Where ``name`` is. Raises SourceError ``no-tool``."""
    found = shutil.which(name)
    if found is None:
        raise SourceError("no-tool", source=title, tool=name)
    return found


def environment(config: Mapping[str, str]) -> dict[str, str]:
    """Our variables without any of git's, and with ``config``, which so is in no file.

    Nobody is asked for a password; neither the user's nor the system's configuration counts, no
    hook runs, nothing but HTTP(S) is spoken. Proxies, ``.netrc`` and certificates are as for the
    other sources; a relative path to these is relative to the folder that we work in.
    """
    plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    settings = {
        "core.hooksPath": os.devnull,
        "credential.helper": "",
        "gc.auto": "0",
        "maintenance.auto": "false",
        "protocol.allow": "never",
        "protocol.http.allow": "always",
        "protocol.https.allow": "always",
        **config,
    }
    numbered = dict(enumerate(settings.items()))
    certificates = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("GIT_SSL_CAINFO")
    return {
        **plain,
        "LC_ALL": "C",
        "GIT_ASKPASS": "false",
        "GIT_SSH_COMMAND": "false",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **({"GIT_SSL_CAINFO": str(Path(certificates).absolute())} if certificates else {}),
        "GIT_CONFIG_COUNT": str(len(settings)),
        **{f"GIT_CONFIG_KEY_{number}": key for number, (key, _) in numbered.items()},
        **{f"GIT_CONFIG_VALUE_{number}": value for number, (_, value) in numbered.items()},
    }


def run(
    argv: Sequence[str],
    env: Mapping[str, str],
    where: Path,
    *,
    patience: float,
    data: bytes = b"",
    sign: Callable[[], int] = lambda: 0,
    out: int | IO[bytes] = subprocess.PIPE,
) -> Ended:
    """Run a program in the folder ``where``, with ``data`` as its standard input.

    It is stopped, with all that it started, when ``sign()`` has not changed for ``patience``
    seconds, and when the user interrupts; it dies with this process.
    """
    outlives_nobody = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with subprocess.Popen(
        [*outlives_nobody, *argv],
        cwd=where,
        env=env,
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            return _wait(process, data, patience, sign)
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program that leads a process group of its own, and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _wait(
    process: subprocess.Popen[bytes], data: bytes, patience: float, sign: Callable[[], int]
) -> Ended:
    last, since = sign(), time.monotonic()
    given: bytes | None = data
    while True:
        try:
            out, said = process.communicate(given, timeout=TICK)
        except subprocess.TimeoutExpired:
            given = None
        else:
            sign()
            return Ended(process.returncode, out or b"", said.decode(errors="replace"))
        now = sign()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > patience:
            stop(process)
            out, said = process.communicate()
            return Ended(process.returncode, out or b"", said.decode(errors="replace"), quiet=True)
