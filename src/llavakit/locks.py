"""Hashes, atomic files, and the locks that say where a file came from."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llavakit.phrases import Phrase, phrase

VERSION = 1
LOCK = "lock.json"
"""The lock's name in a folder that is locked as a whole."""


def digest(value: object) -> str:
    """sha256 (hex) of ``value`` as canonical JSON; equal on every Python."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return hasher.hexdigest()


def files_sha256(root: Path, files: Iterable[Path]) -> str:
    """One hash over the names (relative to ``root``) and bytes of ``files``, in name order."""
    return digest({path.relative_to(root).as_posix(): file_sha256(path) for path in files})


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write ``content`` so that a reader sees the old file or the new one, never a part."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def write_json(path: Path, value: object) -> None:
    """:func:`write_atomic` of ``value`` as readable JSON."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


@dataclass(frozen=True)
class LockState:
    """Whether a step's outputs are what its lock says; ``reason`` says why they are not."""

    fresh: bool
    reason: Phrase | None = None


class StepLock:
    """The lock of one step's outputs: made from which inputs, and every file's sha256.

    ``path`` is the lock file; output paths are kept relative to its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(
        self,
        step: str,
        key: str,
        outputs: Iterable[Path],
        *,
        known: Mapping[Path, str] = MappingProxyType({}),
        **facts: object,
    ) -> None:
        """Lock ``outputs`` (files) as made by ``step`` from the inputs that ``key`` stands for.

        ``known`` are sha256 of outputs that were hashed this moment, so that 16 GB need not be read
        again. ``facts`` (JSON values) are kept beside them: good to know and never compared.
        """
        files = {}
        for path in sorted(outputs):
            stat = path.stat()
            files[os.path.relpath(path, self.path.parent)] = {
                "sha256": known.get(path) or file_sha256(path),
                "bytes": stat.st_size,
                "mtime_ns": stat.st_mtime_ns,
            }
        body = {"version": VERSION, "step": step, "key": key, "files": files, "facts": facts}
        write_json(self.path, body)

    def read(self) -> dict[str, Any] | None:
        """The lock's content, or None when there is none that can be read."""
        try:
            body = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return body if isinstance(body, dict) and body.get("version") == VERSION else None

    def check(self, key: str) -> LockState:
        """Compare with what is on disk: by size and time, and by hash only where those differ."""
        body = self.read()
        if body is None:
            return LockState(False, phrase("stale.new"))
        if body.get("key") != key:
            return LockState(False, phrase("stale.inputs"))
        for name, entry in body.get("files", {}).items():
            if drift := _compare(self.path.parent / name, entry):
                return LockState(False, phrase(drift, name=name))
        return LockState(True)

    def intact(self) -> dict[str, str]:
        """sha256 by name of the locked files that are still what was locked (see :meth:`check`)."""
        files = (self.read() or {}).get("files", {})
        return {
            name: entry["sha256"]
            for name, entry in files.items()
            if not _compare(self.path.parent / name, entry)
        }

    def hashes(self) -> Mapping[str, str]:
        """sha256 of every locked file by its name; empty without a lock."""
        body = self.read() or {}
        return {name: entry["sha256"] for name, entry in body.get("files", {}).items()}


def _compare(path: Path, entry: Mapping[str, Any]) -> str:
    """The name of the phrase that says what is not as it was locked; empty where all is."""
    try:
        stat = path.stat()
    except OSError:
        return "stale.missing"
    if stat.st_size != entry["bytes"]:
        return "stale.size"
    if stat.st_mtime_ns != entry["mtime_ns"] and file_sha256(path) != entry["sha256"]:
        return "stale.bytes"
    return ""
