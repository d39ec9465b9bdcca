"""Finding a Python 3.10 that really runs: XTuner 0.1.18 takes no newer one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llavakit.errors import EnvironmentFailure
from llavakit.phrases import Phrase, phrase

VERSION = "3.10"
_QUESTION = "import sys; print(sys.version_info[:2] == (3, 10)); print(sys.executable)"


@dataclass(frozen=True)
class FoundPython:
    path: Path
    how: Phrase
    """How it was found, for the user: on PATH, by pyenv, by uv, as given ..."""


def find_python(explicit: str | None = None, *, download: bool = True) -> FoundPython:
    """A Python 3.10: the given one, else one that is there, else (``download``) uv's own.

    Raises EnvironmentFailure ``not-python310`` when ``explicit`` is none, ``no-python`` when there
    is none and uv cannot get one either, ``no-uv``.
    """
    if explicit:
        return _explicit(explicit)
    for candidate, how in _candidates():
        if path := _runs(candidate):
            return FoundPython(path, how)
    if not download:
        raise EnvironmentFailure("no-python")
    return _installed_by_uv()


def find_uv() -> Path:
    """The uv beside this interpreter, else one on PATH. Raises EnvironmentFailure ``no-uv``."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        raise EnvironmentFailure("no-uv")
    return Path(found)


def _explicit(given: str) -> FoundPython:
    found = shutil.which(os.path.expanduser(given))  # noqa: PTH111  (a command's name stays one)
    path = _runs(Path(found)) if found else None
    if path is None:
        raise EnvironmentFailure("not-python310", path=given)
    return FoundPython(path, phrase("python.given"))


def _candidates() -> Iterator[tuple[Path, Phrase]]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield Path(folder or ".") / f"python{VERSION}", phrase("python.path")
    # A pyenv that has 3.10 puts a python3.10 on PATH that only fails, until 3.10 is made global.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in sorted(pyenv.glob(f"versions/{VERSION}.*")):
        yield version / "bin" / f"python{VERSION}", phrase("python.pyenv")
    uv = find_uv()
    for preference in ("--no-managed-python", "--managed-python"):
        answer = _uv(uv, "python", "find", "--no-project", preference, VERSION)
        if answer.returncode == 0:
            yield Path(answer.stdout.strip()), phrase("python.uv")


def _runs(path: Path) -> Path | None:
    """The interpreter behind ``path`` when it is a Python 3.10 that starts, else None."""
    if not os.access(path, os.X_OK) or path.is_dir():
        return None
    try:
        command = [str(path), "-I", "-c", _QUESTION]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    is_it, _, executable = answer.stdout.strip().partition("\n")
    return Path(executable) if answer.returncode == 0 and is_it == "True" and executable else None


def _installed_by_uv() -> FoundPython:
    uv = find_uv()
    answer = _uv(uv, "python", "install", VERSION)
    if answer.returncode == 0:
        found = _uv(uv, "python", "find", "--no-project", "--managed-python", VERSION)
        if path := _runs(Path(found.stdout.strip())):
            return FoundPython(path, phrase("python.installed"))
        answer = found
    raise EnvironmentFailure("no-python", why=answer.stderr)


def _uv(uv: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(uv), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
