"""The pinned environment as a virtual environment, made by uv from the hash lock."""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from llavakit.engines.python310 import FoundPython, find_python, find_uv
from llavakit.errors import EnvironmentFailure
from llavakit.locks import file_sha256, write_atomic

__all__ = ["FoundPython", "ensure", "find_python", "installer_environment", "is_ready", "ready"]

STAMP = "llavakit-lock.sha256"
"""Written last, with the sha256 of the lock: a folder without it is half-made."""
BUILD_LOCK = "build.lock"
"""Beside the lock: what builds those of its packages that have no wheel, by hash too."""
KEPT_LINES = 30
FAILURES: tuple[tuple[str, str], ...] = (
    ("hash mismatch", "hash-mismatch"),
    ("no space left on device", "disk-full"),
    ("dns error", "no-network"),
    ("tcp connect error", "no-network"),
    ("operation timed out", "no-network"),
    ("failed to connect", "no-network"),
    ("error sending request", "no-network"),
    ("request failed", "no-network"),
    ("failed to fetch", "no-network"),
)
"""Part of uv's text in lower case, and the error that it means; the first that fits counts."""


def ready(folder: Path, lock: Path) -> Path | None:
    """The environment's python when ``folder`` is complete and made from ``lock``, else None."""
    python = folder / "bin" / "python"
    try:
        made_from = (folder / STAMP).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return python if made_from == file_sha256(lock) and python.exists() else None


def is_ready(folder: Path, lock: Path) -> bool:
    """Whether :func:`ensure` would find nothing to do."""
    return ready(folder, lock) is not None


def version(folder: Path) -> str | None:
    """The Python version that an environment was made with; None where it does not say."""
    try:
        config = (folder / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^version(?:_info)? *= *(3\.\d+\.\d+)", config, re.MULTILINE)
    return found[1] if found else None


def ensure(folder: Path, lock: Path, python: Path, on_line: Callable[[str], None]) -> Path:
    """The python of the environment in ``folder``; made from ``lock`` unless it is there.

    ``on_line`` gets each line that uv prints. Raises EnvironmentFailure ``hash-mismatch``,
    ``no-network``, ``disk-full``, ``install-failed`` or ``no-uv``; the folder is gone then.
    """
    if found := ready(folder, lock):
        return found
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    guard = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        guard.acquire(timeout=0)
    except Timeout:
        on_line(f"Waiting for another process that makes {folder.name}")
        guard.acquire()
    try:
        return ready(folder, lock) or _make(folder, lock, python, on_line)
    finally:
        guard.release()


def _make(folder: Path, lock: Path, python: Path, on_line: Callable[[str], None]) -> Path:
    uv = str(find_uv())
    made = folder / "bin" / "python"
    sync = ["pip", "sync", "--python", str(made), "--require-hashes", "--compile-bytecode"]
    if (builders := lock.absolute().with_name(BUILD_LOCK)).exists():
        sync += ["--build-constraints", str(builders)]
    try:
        _remove(folder)
        _run([uv, "venv", "--no-project", "--python", str(python), str(folder)], folder, on_line)
        _run([uv, *sync, str(lock.absolute())], folder, on_line)
        write_atomic(folder / STAMP, file_sha256(lock) + "\n")
    except BaseException as error:
        _remove(folder)
        if isinstance(error, OSError):
            raise _failure(str(error), folder) from None
        raise
    return made


def _run(command: list[str], folder: Path, on_line: Callable[[str], None]) -> None:
    last: deque[str] = deque(maxlen=KEPT_LINES)
    with subprocess.Popen(
        command,
        cwd=folder.parent,
        env=installer_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101
        try:
            for line in process.stdout:
                last.append(line.rstrip())
                on_line(line.rstrip())
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise _failure("\n".join(last), folder)


def _failure(text: str, folder: Path) -> EnvironmentFailure:
    low = text.lower()
    name = next((name for part, name in FAILURES if part in low), "install-failed")
    return EnvironmentFailure(name, why=text, folder=folder)


def installer_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables, with pip's mirror and certificates said in uv's words.

    What uv itself is told wins; then PIP_INDEX_URL, then the index-url of pip's own files.
    """
    env = dict(environ)
    if not ({"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & env.keys()):
        index = env.get("PIP_INDEX_URL") or _pip_setting("index-url", env)
        if index:
            env["UV_DEFAULT_INDEX"] = index
    certificates = env.get("PIP_CERT") or env.get("REQUESTS_CA_BUNDLE")
    if certificates:
        env.setdefault("SSL_CERT_FILE", certificates)
    env.pop("VIRTUAL_ENV", None)
    return env


def _pip_setting(name: str, env: Mapping[str, str]) -> str:
    """A setting of pip's configuration files, the user's before the system's."""
    home = Path(env.get("HOME", "/nonexistent"))
    config = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
    files = [env.get("PIP_CONFIG_FILE"), config / "pip/pip.conf", home / ".pip/pip.conf"]
    for file in (*files, "/etc/pip.conf"):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(file or [], encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        if value := parser.get("global", name, fallback=""):
            return value.strip()
    return ""


def _remove(folder: Path) -> None:
    """Remove the folder under another name first, so that nothing finds a half of it."""
    if folder.exists():
        doomed = folder.with_name(f".{folder.name}.{_short(folder)}.old")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _short(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:8]
