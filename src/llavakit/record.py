"""The record of a run, ``run.json``: what must be equal for two runs to be the same experiment
(identity), what is good to know (provenance), and what came out (results).

Only the host writes it. It is written whole after every stage, so that an interruption leaves the
record of what was done until then.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from llavakit.locks import write_json

VERSION = 1
FILE_NAME = "run.json"


class Record:
    """The record in ``run_dir``; starts anew where there is none that can be read."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE_NAME
        self.body: dict[str, Any] = read(run_dir) or {
            "version": VERSION,
            "id": run_dir.name,
            "created": now(),
            "identity": {},
            "provenance": {"stages": []},
            "results": {},
        }

    def identify(self, **facts: Any) -> None:
        """Set parts of the identity (JSON values)."""
        self.body["identity"].update(facts)

    def stage(self, **facts: Any) -> None:
        """Append what is known about a stage that ran: label, engine, times, command, outcome."""
        self.body["provenance"]["stages"].append(facts)

    def result(self, **facts: Any) -> None:
        """Set parts of the results (JSON values)."""
        self.body["results"].update(facts)

    def save(self) -> None:
        """Write the whole record; the old one stays until the new one is complete."""
        write_json(self._path, self.body)


def read(run_dir: Path) -> dict[str, Any] | None:
    """The record of a run, or None when there is none that can be read."""
    try:
        body = json.loads((run_dir / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) and body.get("version") == VERSION else None


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
