"""The record of a run, ``run.json``: read, checked against its form, written whole.

Only the host writes it: when a stage begins and when it ends, each time as a new file that takes
the old one's place, so that an interruption leaves the record of what was done until then.
"""

from __future__ import annotations

import calendar
import json
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llavakit.errors import RecordError
from llavakit.locks import digest, write_json
from llavakit.phrases import phrase
from llavakit.record_form import VERSION, Run

FILE_NAME = "run.json"
ASIDE = "run.json.unreadable"


class Record:
    """The record in ``run_dir``; starts anew where there is none.

    One that cannot be read is moved aside, never written over. Raises RecordError ``newer``.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE_NAME
        self.body: dict[str, Any] = _kept(self._path) or {
            "version": VERSION,
            "id": run_dir.name,
            "created": now(),
            "identity": {},
            "provenance": {"hosts": {}, "stages": [], "trained_on": []},
            "results": {},
        }

    def identify(self, **facts: Any) -> None:
        """Set parts of the identity (JSON values)."""
        self.body["identity"].update(facts)

    def host(self, name: str, facts: dict[str, Any]) -> None:
        """Say what is known of a computer."""
        self.body["provenance"]["hosts"][name] = facts

    def provenance(self, **facts: Any) -> None:
        """Set parts of the provenance besides hosts and stages."""
        self.body["provenance"].update(facts)

    def stage(self, **facts: Any) -> None:
        """Add a stage, in the place of its own entry from when it began."""
        stages = self.body["provenance"]["stages"]
        last = stages[-1] if stages else {}
        same = all(last.get(name) == facts[name] for name in ("label", "started", "engine"))
        if same and last.get("outcome") == "begun":
            stages.pop()
        stages.append(facts)

    def begun(self, label: str, key: str) -> dict[str, Any] | None:
        """See :func:`begun`; to be changed."""
        return begun(self.body, label, key)

    def result(self, **facts: Any) -> None:
        """Set the results (JSON values); what is not named is not there any more."""
        self.body["results"] = facts

    def save(self) -> None:
        """Write the whole record; the old one stays until the new one is complete."""
        write_json(self._path, Run.model_validate(self.body).model_dump(mode="json"))


def load(path: Path) -> Run:
    """The record in a file, or in a run's folder.

    Raises RecordError ``not-found``, ``not-a-record`` and ``newer``.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        text = file.read_bytes()
    except OSError as error:
        raise RecordError("not-found", path=file, why=str(error)) from None
    return parse(text, origin=str(file))


def parse(text: str | bytes, *, origin: str) -> Run:
    """A record of this version or an older one, from JSON. See :func:`load`."""
    try:
        body = json.loads(text)
        version = body["version"]
    except (ValueError, TypeError, KeyError) as error:
        raise RecordError("not-a-record", path=origin, why=repr(error)) from None
    if not _is_unicode(body):
        raise RecordError("not-a-record", path=origin, why=phrase("surrogate"))
    if isinstance(version, int) and version > VERSION:
        raise RecordError("newer", path=origin, version=version, known=VERSION)
    try:
        return Run.model_validate(upgrade(body) if version == 1 else body)
    except (ValidationError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RecordError("not-a-record", path=origin, why=_first(error)) from None


def _is_unicode(body: object) -> bool:
    """JSON can escape half a character, which no file can be written with."""
    try:
        json.dumps(body, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read(run_dir: Path) -> dict[str, Any] | None:
    """The record of a run as JSON values, or None when there is none that can be read."""
    try:
        return load(run_dir).model_dump(mode="json")
    except RecordError:
        return None


def begun(body: dict[str, Any], label: str, key: str) -> dict[str, Any] | None:
    """The last entry of a stage, if nobody has said yet how it ended."""
    of_stage = [each for each in body["provenance"]["stages"] if each["label"] == label]
    last = of_stage[-1] if of_stage else {"outcome": ""}
    return last if last["outcome"] == "begun" and last["key"] == key else None


def upgrade(body: dict[str, Any]) -> dict[str, Any]:
    """A record of version 1 in the form of version 2. All that it says is kept."""
    provenance = {**body["provenance"]}
    provenance["stages"] = [_stage(stage) for stage in provenance["stages"]]
    return {**body, "version": 2, "provenance": provenance}


def _stage(old: dict[str, Any]) -> dict[str, Any]:
    commit = old["kit"]
    kit = {"commit": commit.removesuffix("-dirty"), "dirty": commit.endswith("-dirty")}
    return {**old, "kit": kit, "outcome": "failed" if old["error"] else "done"}


def fingerprint(run: Run) -> str:
    """sha256 over a record's identity and results: tells two records of one run's id apart."""
    body = run.model_dump(mode="json")
    return digest([body["identity"], body["results"]])


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return at(time.time())


def at(epoch: float) -> str:
    """The same of a time in seconds since 1970."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def epoch(text: str) -> float:
    """A time of :func:`now` in seconds since the epoch."""
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))


def _kept(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return load(path).model_dump(mode="json")
    except RecordError as error:
        if error.name != "not-a-record":
            raise
        path.replace(path.with_name(ASIDE))
        return None


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return repr(error)
    item = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
