"""Events: what a step tells the host while it runs, one JSON object a line in the run's folder.

Steps append, everybody else only reads. A line is written by one ``write`` call in append mode, so
lines of two processes never mix; a torn last line (the writer was killed, the disk was full) is
left out by the reader.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llavakit import phrases, redact
from llavakit.phrases import Phrase

VERSION = 1
FILE_NAME = "events.jsonl"


@dataclass(frozen=True)
class Event:
    """One event. ``time`` is in seconds since the epoch.

    Kinds: ``started``, ``finished``, ``note`` (a phrase's id and params, and its English
    text), ``progress`` (done, total, unit),
    ``iteration`` (n, of, loss, lr, and on a GPU memory_mib), ``machine``, ``usage`` and
    ``ranks`` (as in
    :mod:`llavakit.record_form`).
    """

    kind: str
    step: str
    time: float
    fields: dict[str, Any] = field(default_factory=dict)


class EventWriter:
    """Appends a step's events to ``run_dir/events.jsonl``; a full disk never fails the step.

    Secrets of the process's environment are left out of their texts.
    """

    def __init__(self, run_dir: Path, step: str) -> None:
        self._path = run_dir / FILE_NAME
        self._step = step
        self._hidden = redact.secrets(os.environ)

    def note(self, name: str, /, **params: object) -> None:
        """Tell the user the phrase ``name``."""
        self.say(phrases.phrase(name, **params))

    def say(self, note: Phrase) -> None:
        """Tell the user ``note``."""
        clean = self._scrubbed(note)
        self.emit("note", text=clean.say(), **clean.to_json())

    def _scrubbed(self, note: Phrase) -> Phrase:
        params = {
            name: self._scrubbed(each)
            if isinstance(each, Phrase)
            else redact.scrub(each, self._hidden)
            for name, each in note.params.items()
        }
        return Phrase(note.id, params)

    def emit(self, kind: str, **fields: Any) -> None:
        fields = {
            name: redact.scrub(value, self._hidden) if isinstance(value, str) else value
            for name, value in fields.items()
        }
        body = {"v": VERSION, "time": time.time(), "step": self._step, "kind": kind, **fields}
        line = json.dumps(body, ensure_ascii=False, sort_keys=True) + "\n"
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(handle, line.encode("utf-8"))
            finally:
                os.close(handle)
        except OSError:
            return


class EventReader:
    """Reads events from where it stopped last; starts at the file's end unless told otherwise."""

    def __init__(self, run_dir: Path, *, from_start: bool = False) -> None:
        self._path = run_dir / FILE_NAME
        self._offset = 0 if from_start else self._size()

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def read(self) -> list[Event]:
        """The complete events that were appended since the last call; unknown versions are left."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read()
        except FileNotFoundError:
            return []
        whole = chunk[: chunk.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [event for line in whole.splitlines() if (event := _parse(line)) is not None]


def note_in(event: Event, lang: str) -> str:
    """The words of a note in ``lang``; as they were written where they are no phrase of this kit's
    (another version's).
    """
    try:
        return phrases.said(phrases.from_json(event.fields), lang)
    except ValueError:
        return str(event.fields.get("text", ""))


def _parse(line: bytes) -> Event | None:
    try:
        body = json.loads(line)
        if body.pop("v") != VERSION:
            return None
        return Event(
            kind=body.pop("kind"), step=body.pop("step"), time=body.pop("time"), fields=body
        )
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
