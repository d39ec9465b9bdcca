"""Ask every source of a recipe what it has, all at once, and try how fast it is.

It fetches nothing but a sample. The answers are in ``--out``, as JSON: an entry for each artefact,
in it an entry for each source, in the recipe's order::

    {"version": 1, "artefacts": [{"artefact": NAME, "sources": [
        {"source": TITLE, "state": "ok", "files": 9, "bytes": 16060617592, "revision": COMMIT,
         "stated": [NAMES], "contradicts": [NAMES], "ms": 431.0, "rate": 8123456.0,
         "error": null}]}]}

``state`` is ``ok``, ``other bytes`` where the source states another sha256 than the recipe knows,
or the id of an error, whose wire form is in ``error``. ``bytes`` is the sum of those sizes that the
source states, ``ms`` the time to its list of files, ``rate`` bytes a second; null where not known.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from llavakit import artefact, locks
from llavakit import recipe as recipes
from llavakit.artefact import Artefact, Source
from llavakit.errors import SourceError
from llavakit.recipe import Recipe
from llavakit.steps import common
from llavakit.steps.sources import registry
from llavakit.steps.sources.answers import FOREIGN
from llavakit.steps.sources.base import Listing, RemoteFile

VERSION = 1
DEADLINE = 10.0
"""Seconds that a source has."""
SAMPLE = 1 << 20
"""Bytes."""
SAMPLE_SECONDS = 2.0
OTHER_BYTES = "other bytes"


@dataclass
class Answer:
    """What is known of one source; see the module's docstring for units."""

    source: str
    state: str
    files: int | None = None
    bytes: int | None = None
    revision: str = ""
    stated: tuple[str, ...] = ()
    contradicts: tuple[str, ...] = ()
    ms: float | None = None
    rate: float | None = None
    error: str | None = None


def artefacts(recipe: Recipe) -> dict[str, Artefact]:
    """Everything of a recipe that comes from elsewhere, by the part it is for."""
    found = dict(recipe.weights.remote())
    if recipe.data.download is not None:
        found["data"] = recipe.data.download
    return found


def check(wanted: Iterable[Artefact], deadline: float = DEADLINE) -> list[list[Answer]]:
    """The answers of the sources of each artefact, after ``deadline`` seconds at most.

    Threads that wait for a silent source are left behind: whoever calls this is to end.
    """
    asked = [[_Asking(source, each) for source in each.sources] for each in wanted]
    ends = time.monotonic() + deadline
    for asking in (asking for row in asked for asking in row):
        asking.thread.join(max(0.0, ends - time.monotonic()))
    return [[asking.answer(deadline) for asking in row] for row in asked]


class _Asking:
    """A source that is being asked, in a thread of its own."""

    def __init__(self, source: Source, wanted: Artefact) -> None:
        self._title, self._wanted = artefact.title(source), wanted
        self._answer: Answer | None = None
        self.thread = threading.Thread(target=self._run, args=(source,), daemon=True)
        self.thread.start()

    def answer(self, deadline: float) -> Answer:
        """What is known by now."""
        if self._answer is not None:
            return self._answer
        why = f"no answer within {deadline:.0f} s"
        return _failed(SourceError("unreachable", source=self._title, why=why))

    def _run(self, source: Source) -> None:
        try:
            began = time.monotonic()
            listing = registry.of(source).list(self._wanted.files)
            answer = _listed(self._title, self._wanted, listing, time.monotonic() - began)
            self._answer = answer
            if not isinstance(source, artefact.Git):
                answer.rate = rate(max(listing.files, key=lambda file: file.bytes or 0))
        except SourceError as error:
            self._answer = _failed(error)
        except Exception as error:  # one source's trouble is not the others'
            why = f"{type(error).__name__}: {error}"
            self._answer = _failed(SourceError("unreachable", source=self._title, why=why))


def _listed(title: str, wanted: Artefact, listing: Listing, seconds: float) -> Answer:
    stated = {file.name: file.sha256 for file in listing.files if file.sha256}
    known = wanted.sha256
    other = tuple(name for name in stated if known.get(name, stated[name]) != stated[name])
    error = None
    if other:
        error = SourceError(
            "wrong-bytes",
            source=title, file=other[0], found=stated[other[0]], wanted=known[other[0]],
        )  # fmt: skip
    return Answer(
        title,
        OTHER_BYTES if error else "ok",
        files=len(listing.files),
        bytes=sum(file.bytes or 0 for file in listing.files),
        revision=listing.revision,
        stated=tuple(stated),
        contradicts=other,
        ms=round(seconds * 1000, 1),
        error=error.to_wire() if error else None,
    )


def _failed(error: SourceError) -> Answer:
    title = str(error.params.get("source", ""))
    return Answer(title, error.id, error=error.to_wire())


def rate(file: RemoteFile, clock: Callable[[], float] = time.monotonic) -> float | None:
    """Bytes a second of the beginning of ``file``; None when none of it comes."""
    headers = {**file.headers, "Range": f"bytes=0-{SAMPLE - 1}", "Accept-Encoding": "identity"}
    session = requests.Session()  # takes Authorization and Cookie off where a redirect leads away
    count, began = 0, clock()
    try:
        with session.get(file.address, headers=headers, stream=True, timeout=SAMPLE_SECONDS) as got:
            got.raise_for_status()
            began = clock()
            while count < SAMPLE and clock() - began < SAMPLE_SECONDS:
                piece = got.raw.read1(1 << 16)
                if not piece:
                    break
                count += len(piece)
    except (*FOREIGN, OSError):
        pass  # what came until then is a sample too
    seconds = clock() - began
    return round(count / seconds, 1) if count and seconds else None


def _write(path: Path, wanted: dict[str, Artefact], answers: list[list[Answer]]) -> None:
    rows = [
        {"artefact": each.name, "part": part, "sources": [asdict(answer) for answer in row]}
        for (part, each), row in zip(wanted.items(), answers, strict=True)
    ]
    locks.write_json(path, {"version": VERSION, "artefacts": rows})


def main() -> int:
    """Run the step and return its exit status, which is 0 whatever the sources answer."""
    parser = argparse.ArgumentParser(prog="python -m llavakit.steps.check_sources")
    parser.add_argument("--recipe", type=Path, required=True, help="the resolved recipe, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="where the answers go, as JSON")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, common.stop)
    # Threads that are left behind leave their folders too: all of them are in this one.
    tempfile.tempdir = tempfile.mkdtemp(prefix="llavakit-check-")
    try:
        wanted = artefacts(recipes.load(args.recipe))
        sources = [source for each in wanted.values() for source in each.sources]
        registry.prepare(sources)  # so that nobody's deadline pays for an import
        _write(args.out, wanted, check(wanted.values()))
    except (Exception, KeyboardInterrupt) as error:
        return common.say_last(common.translate(error, "check-sources", args.recipe.parent))
    finally:
        shutil.rmtree(tempfile.tempdir, ignore_errors=True)
    return 0


def leave(status: int) -> None:
    """End at once: an interpreter would wait for connections that a silent source holds."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main())
