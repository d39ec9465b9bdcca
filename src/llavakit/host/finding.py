"""Which run a command means: an id in the workspace, a run's folder, or a record anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llavakit import record
from llavakit.errors import RecordError
from llavakit.record_form import Run
from llavakit.workspace import Workspace


@dataclass(frozen=True)
class Found:
    """A record, and where it lies."""

    run: Run
    file: Path

    def root(self) -> Path | None:
        """The workspace around the record, where it lies in ``runs/ID/`` of one."""
        inside = self.file.name == record.FILE_NAME and self.file.parent.parent.name == "runs"
        return self.file.parents[2] if inside else None


def find(place: Workspace, name: str) -> Found:
    """The run ``name``; the newest of the workspace for an empty one.

    Raises RecordError ``no-run``, ``no-runs``, and what :func:`llavakit.record.load` raises.
    """
    if not name:
        return _newest(place)
    for path in (place.runs / name, Path(name).expanduser()):
        file = path / record.FILE_NAME if path.is_dir() else path
        if file.is_file():
            return Found(record.load(file), file.absolute())
    raise RecordError("no-run", run=name, folder=place.runs)


def all_runs(place: Workspace) -> list[Found]:
    """The runs of a workspace whose records can be read, in the order of their ids."""
    return _read(place)[0]


def _read(place: Workspace) -> tuple[list[Found], list[RecordError]]:
    """The runs whose records can be read, and why others cannot."""
    found, refused = [], []
    for file in sorted(place.runs.glob(f"*/{record.FILE_NAME}")):
        try:
            found.append(Found(record.load(file), file.absolute()))
        except RecordError as error:
            refused.append(error)
    return found, refused


def _newest(place: Workspace) -> Found:
    found, refused = _read(place)
    if not found:
        raise refused[-1] if refused else RecordError("no-runs", folder=place.runs)
    return max(found, key=lambda each: each.file.stat().st_mtime_ns)
