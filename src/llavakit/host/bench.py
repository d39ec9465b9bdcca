"""`invoke bench`: the first iterations of recipes beside plain XTuner's, in turn, on this host."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from types import FrameType
from typing import Any

from llavakit import locks
from llavakit.engines.base import Engine, Running
from llavakit.errors import ConfigurationError, KitError, StepError
from llavakit.events import EventReader
from llavakit.host import (
    bench_entries,
    bench_report,
    consent,
    preflight,
    profiles,
    queueing,
    results,
)
from llavakit.host.bench_entries import INPUTS, Entry
from llavakit.host.console import Screen
from llavakit.host.disk import disk_errors
from llavakit.host.follow import follow
from llavakit.host.pipeline import Pipeline
from llavakit.phrases import phrase

TOGETHER_SECONDS = 2.0


def run(open_pipeline: Callable[[str], Pipeline], options: Mapping[str, Any], screen: Screen,
        recipe: str) -> int:  # fmt: skip
    """Measure; ``recipe`` is the one without ``--recipes``.

    Raises StepError ``bench-failed`` when an entry came to nothing, what stands in the way of all
    of them, and KeyboardInterrupt, after what is there was shown.
    """
    iterations = _count(str(options.get("iterations") or ""))
    names = [name.strip() for name in str(options.get("recipes") or "").split(",")]
    pipelines = [open_pipeline(name) for name in filter(None, names)] or [open_pipeline(recipe)]
    for each in pipelines[1:]:  # one environment, looked at once
        each.open_engine = pipelines[0].engine
    found = bench_entries.entries(
        pipelines, plain=bool(options.get("plain")), squeeze=bool(options.get("squeeze"))
    )
    bench = Bench(found, iterations, screen)
    if options.get("plan"):
        bench_entries.show(found, bench.folder, iterations, screen)
        return 0
    bench.prepare(agreed=bool(options.get("yes")))
    return bench.measure()


class Bench:
    """The entries, the folder that holds what was seen, and the rows so far."""

    def __init__(self, entries: Sequence[Entry], iterations: int, screen: Screen) -> None:
        self.entries, self.iterations, self.screen = entries, iterations, screen
        self.workspace = entries[0].pipeline.workspace
        self.folder = self._name()
        self.rows: list[dict[str, Any]] = []
        self.engine: Engine | None = None
        self.created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def _name(self) -> PurePosixPath:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        names = (f"bench-{stamp}" + (f"-{n}" if n > 1 else "") for n in range(1, 100))
        return PurePosixPath(
            "runs", next(name for name in names if not (self.workspace.runs / name).exists())
        )

    def prepare(self, *, agreed: bool) -> None:
        """Refuse what cannot run, ask where it is much, and bring weights and data here.

        Raises the first refusal where nothing is left to measure.
        """
        for entry in self.entries:
            entry.refused = self._refusal(entry)
        left = [entry for entry in self.entries if entry.refused is None]
        if not left and (first := self.entries[0].refused):
            raise first
        consent.agree(self.screen, bench_entries.cost(left, self.iterations), agreed=agreed)
        for entry in bench_entries.of_recipes(self.entries):
            if entry.refused is None:
                try:
                    entry.pipeline.bring_up_to_date(INPUTS)
                except KitError as error:
                    if error.exit_code == 130 or isinstance(error, ConfigurationError):
                        raise
                    self._refuse_all(entry.pipeline, error)

    def measure(self) -> int:
        """Measure one entry after the other; writes and shows what came out, also of a part."""
        first = self.entries[0].pipeline
        with self.workspace.lock("invoke bench", first.say_waiting), _interrupted_once():
            try:
                for entry in self.entries:
                    name, lang = entry.recipe.name, self.screen.lang
                    self.screen.say(entry.label, bench_report.title(entry.kind, name, lang))
                    self._measure(entry)
                    self._write()
            except KeyboardInterrupt:
                self._write()
                self._show()
                raise
        self._show()
        failed = [row["label"] for row in self.rows if row["state"] != "measured"]
        if failed:
            where = str(self.workspace.root / self.folder / "logs")
            raise StepError("bench-failed", failed=", ".join(failed), logs=where)
        return 0

    def _refusal(self, entry: Entry) -> KitError | None:
        pipeline, recipe = entry.pipeline, entry.recipe
        if not preflight.needs_gpu(recipe):
            return None
        try:
            preflight.check(self.screen, pipeline.settings, recipe, pipeline.gpus(),
                            trains=True, busy=False)  # fmt: skip
        except KitError as error:
            return error
        return None

    def _refuse_all(self, pipeline: Pipeline, error: KitError) -> None:
        for entry in self.entries:
            if entry.pipeline is pipeline:
                entry.refused = error

    def _measure(self, entry: Entry) -> None:
        """Add the entry's row, also when it is interrupted. Raises KeyboardInterrupt."""
        row: dict[str, Any] = {"state": "interrupted", "reason": ""}
        memory = entry.recipe.train.memory
        try:
            if entry.refused is not None:
                raise entry.refused
            row = self._follow(entry)
        except KitError as error:
            said = " ".join([error.what(self.screen.lang), error.why_in(self.screen.lang)]).strip()
            row = {"state": "failed", "reason": said}
        except KeyboardInterrupt:
            row = self._result(entry) or row
            raise
        finally:
            self.rows.append({
                **row,
                "label": entry.label,
                "kind": entry.kind,
                "recipe": entry.recipe.name,
                "maths": profiles.maths(entry.recipe) if entry.kind == "kit" else "reference",
                "changed": memory.changed if memory and entry.kind == "kit" else None,
            })  # fmt: skip
        if row["state"] == "failed":
            self.screen.tell(entry.label, "bench.because", reason=row["reason"])

    def _follow(self, entry: Entry) -> dict[str, Any]:
        """Run the job to its end; what it wrote. Raises KitError when it wrote nothing."""
        root = self.workspace.root
        self.engine = engine = entry.pipeline.engine()
        own = root / self.folder / entry.label
        log = own / "step.log"
        with disk_errors(own):
            for folder in (own, root / self.folder / "logs"):  # the job writes into both
                folder.mkdir(parents=True, exist_ok=True)
            locks.write_json(own / "recipe.json", entry.recipe.resolved())
        measured = any(row["state"] == "measured" for row in self.rows)
        job = bench_entries.job(entry, self.folder, self.iterations, warm=not measured)
        events = EventReader(root / self.folder)
        access = engine.describe().get("gpus", "none")
        preflight.announce(self.screen, entry.label, job.gpus, access)
        running: Running | None = None
        try:
            with queueing.turn(entry.pipeline, entry.label, job, access, ()):
                running = engine.start(job)
                with self.screen.progress(entry.label) as progress:
                    outcome, output = follow(running, log, events, progress.show)
        except KeyboardInterrupt:
            if running is not None:
                running.stop()
            raise
        if found := self._result(entry):
            return found
        if output.error is not None:
            raise output.error
        how = outcome.detail or f"exit status {outcome.exit_code}"
        why = "\n".join(output.tail)
        raise StepError("failed", step=entry.label, how=how, log=str(log), why=why)

    def _result(self, entry: Entry) -> dict[str, Any] | None:
        path = self.workspace.root / self.folder / entry.label / "result.json"
        found = results.read_json(path)
        return found if isinstance(found, dict) else None

    def _write(self) -> None:
        folder = self.workspace.root / self.folder
        body = bench_report.body(self.folder.name, self.created, self.rows, self.engine)
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            locks.write_json(folder / bench_report.JSON, body)
            locks.write_atomic(folder / bench_report.MARKDOWN, bench_report.markdown(body))

    def _show(self) -> None:
        folder = self.workspace.root / self.folder
        body = results.read_json(folder / bench_report.JSON)
        self.screen.result(body, table=bench_report.table_of(body, self.screen.lang))
        self.screen.say("bench", str(folder / bench_report.MARKDOWN))


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """One Ctrl-C for several that come together (`timeout` sends two): no half-done tidying."""
    first = float("-inf")

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal first
        since, first = time.monotonic() - first, time.monotonic()
        if since > TOGETHER_SECONDS:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise ConfigurationError("bad-value", key="--iterations", value=text,
                                 allowed=phrase("allowed.iterations"))  # fmt: skip
    return int(text)
