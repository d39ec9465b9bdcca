"""`invoke grade`: a class of submissions, each checked, answered for and marked.

Every submission's result is a file of its own, named by the hash of the submission, of whose it is
and of all that decides a mark: whoever calls the command again goes on where it ended. What failed
because the machine did is "not graded", never a zero, and is tried again then.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llavakit import record
from llavakit.errors import AssignmentError, EngineError, KitError, SubmissionError
from llavakit.events import Event
from llavakit.host import environment, grade_check, marking, provenance
from llavakit.host.grade_form import GRADED, NOT_GRADED, REFUSED, Grade
from llavakit.host.grade_jobs import Bench
from llavakit.host.grade_setup import Setup
from llavakit.host.grade_worker import Worker
from llavakit.host.handed import Handed
from llavakit.host.progress import StageProgress
from llavakit.locks import digest, write_atomic
from llavakit.submission import Answered, Reason, Report

CHECKS = 2
"""So many submissions are checked beside the one that is answered for."""


def result_key(setup: Setup, handed: Handed) -> str:
    """What a result is kept under."""
    return digest([setup.key, handed.student, handed.sha256])


@dataclass
class Class:
    """A class that is being graded. ``results`` holds a file for each submission."""

    bench: Bench
    handed: list[Handed]
    results: Path
    gpus: tuple[str, ...]
    """One worker each."""
    seconds: dict[str, float] = field(default_factory=dict)
    _gone: KitError | None = None
    """Why nothing more can be graded: the engine does not answer."""
    _failed: BaseException | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def grade(self, progress: StageProgress) -> list[Grade]:
        """Grade what has no result yet; all grades in the class's order."""
        grades: dict[int, Grade] = {}
        todo = []
        for index, each in enumerate(self.handed):
            kept = read(self.results / f"{result_key(self.bench.setup, each)}.json")
            if kept is not None and kept.final:
                grades[index] = kept
            else:
                todo.append(index)

        def tell(index: int, grade: Grade) -> None:
            with self._lock:
                grades[index] = grade
                fields = {"done": len(grades), "total": len(self.handed), "unit": "submissions"}
                progress.show(Event("progress", "grade", time.time(), fields))

        self._grade_all(todo, tell)
        if self._failed is not None:
            raise self._failed
        return [grades[index] for index in range(len(self.handed))]

    def _grade_all(self, todo: list[int], tell: Callable[[int, Grade], None]) -> None:
        stopped = threading.Event()
        with ThreadPoolExecutor(CHECKS) as checkers:
            queue = _Ahead(todo, lambda index: checkers.submit(self._check, index, stopped))
            threads = [
                threading.Thread(target=self._work, args=(gpus, queue, tell, stopped), daemon=True)
                for gpus in self.gpus[: max(1, len(todo))]
            ]
            for thread in threads:
                thread.start()
            try:
                while any(thread.is_alive() for thread in threads):
                    threads[0].join(0.2)
                    time.sleep(0 if threads[0].is_alive() else 0.2)
            except BaseException:
                stopped.set()
                for thread in threads:
                    thread.join(60)
                raise

    def _check(self, index: int, stopped: threading.Event) -> Report:
        if stopped.is_set() or self._gone is not None:
            raise self._gone or AssignmentError("worker-failed", how="stopped")
        each = self.handed[index]
        return grade_check.check(self.bench, each, result_key(self.bench.setup, each))

    def _work(
        self,
        gpus: str,
        queue: _Ahead,
        tell: Callable[[int, Grade], None],
        stopped: threading.Event,
    ) -> None:
        """One worker's life: it takes submissions until there are none left."""
        try:
            with _Warm(self.bench, gpus) as warm:
                for index, checked in queue:
                    if stopped.is_set():
                        break
                    tell(index, self._one(self.handed[index], checked, warm))
        except BaseException as error:
            self._failed = error  # the thread that waits raises it
            stopped.set()

    def _one(self, handed: Handed, checked: Future[Report], warm: _Warm) -> Grade:
        began = time.monotonic()
        key = result_key(self.bench.setup, handed)
        try:
            report = checked.result()
            answered = warm.ask(key) if not report.reasons else None
            grade = _grade(self.bench, handed, report, answered)
        except KitError as error:
            if isinstance(error, EngineError):
                self._gone = self._gone or error
            grade = _not_graded(self.bench, handed, error)
        self.seconds[key] = time.monotonic() - began
        self.results.mkdir(parents=True, exist_ok=True)
        write_atomic(self.results / f"{key}.json", text(grade))
        grade_check.forget(self.bench, key)
        return grade


class _Ahead:
    """Submissions in order, each with its check, of which a few are under way beforehand."""

    def __init__(self, todo: list[int], submit: Callable[[int], Future[Report]]) -> None:
        self._todo = iter(todo)
        self._submit = submit
        self._ready: list[tuple[int, Future[Report]]] = []
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[tuple[int, Future[Report]]]:
        while True:
            with self._lock:
                for index in itertools.islice(self._todo, CHECKS + 1 - len(self._ready)):
                    self._ready.append((index, self._submit(index)))
                if not self._ready:
                    return
                item = self._ready.pop(0)
            yield item


class _Warm:
    """A worker that is started when it is needed and once more when it died."""

    def __init__(self, bench: Bench, gpus: str) -> None:
        self._bench = bench
        self._gpus = gpus
        self._worker: Worker | None = None

    def __enter__(self) -> _Warm:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def ask(self, key: str) -> Answered:
        """As :meth:`Worker.ask`; the second failure with one submission counts."""
        for attempt in (1, 2):
            try:
                if self._worker is None:
                    self._worker = Worker(self._bench, self._gpus)
                return self._worker.ask(key)
            except KitError:
                self._close()
                if attempt == 2:
                    raise
        raise AssertionError

    def _close(self) -> None:
        if self._worker is not None:
            with contextlib.suppress(KitError):
                self._worker.close()
            self._worker = None


def _grade(bench: Bench, handed: Handed, report: Report, answered: Answered | None) -> Grade:
    assignment = bench.setup.assignment
    if answered is None:
        body: dict[str, Any] = {"verdict": REFUSED, "reasons": report.reasons, "points": 0.0}
    else:
        shares = marking.shares(assignment, answered.answers, report.record)
        body = {
            "verdict": GRADED,
            "points": marking.total(shares),
            "shares": tuple(shares),
            "record": report.record,
            "weights_sha256": report.weights,
            "sketch": answered.sketch,
        }
    told = {"seconds": answered.seconds, "machine": answered.machine} if answered else {}
    return _with(bench, handed, body, told)


def _not_graded(bench: Bench, handed: Handed, error: KitError) -> Grade:
    reason = Reason.of(SubmissionError("not-graded"))
    body = {"verdict": NOT_GRADED, "reasons": (reason,), "points": None}
    return _with(bench, handed, body, {"error": error.id, "what": error.what(), "why": error.why})


def _with(bench: Bench, handed: Handed, body: dict[str, Any], told: dict[str, Any]) -> Grade:
    setup = bench.setup
    return Grade(
        assignment=setup.assignment.name,
        assignment_sha256=setup.key,
        student=handed.student,
        submission_sha256=handed.sha256,
        of=setup.assignment.total,
        seed=setup.assignment.seed(handed.student),
        provenance={
            "graded": record.now(),
            "kit": environment.commit(),
            "steps": environment.source_sha256(),
            "host": provenance.host()["name"],
            "engine": dict(bench.described),
            **told,
        },
        **body,
    )


def text(grade: Grade) -> str:
    """A grade as its file has it."""
    return grade.model_dump_json(indent=1) + "\n"


def read(path: Path) -> Grade | None:
    """A grade that is kept; None where there is none that can be read."""
    try:
        return Grade.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
