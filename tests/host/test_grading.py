"""A class's course: what is graded stays, what failed is tried again, nothing becomes a zero.

The engine here plays jobs: a check that writes its report, a worker that answers. What real ones do
is shown by tests/real/test_hostile.py.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llavakit.engines.base import Guarantee, Job, Outcome, Running
from llavakit.errors import EngineError, KitError
from llavakit.host import grading, handed, marking
from llavakit.host.assignment import Assignment
from llavakit.host.console import Screen
from llavakit.host.grade_form import Grade
from llavakit.host.grade_jobs import Bench
from llavakit.host.grade_setup import NEEDED, Setup
from llavakit.host.grading import Class
from llavakit.locks import file_sha256, write_json
from llavakit.submission import TENSORS, Shapes

QUESTION = {"picture": "x.png", "question": "What?", "references": ["A boat."],
            "points": {"exact": 5, "rouge_l": 5}}  # fmt: skip
ASSIGNMENT = Assignment.model_validate(
    {"assignment": 1, "name": "x", "title": "X", "recipe": "tiny", "max_new_tokens": 4,
     "questions": [QUESTION, QUESTION]}
)  # fmt: skip
SHAPES = {part: Shapes(tensors={"w": (1,)}, settings={"r": 1}) for part in TENSORS}


@dataclass
class Played:
    """A job of this file's engine."""

    said: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)
    on_send: Callable[[str, Played], None] = lambda line, job: None
    outcome: Outcome = field(default_factory=lambda: Outcome(0))
    stopped: bool = False
    id: str = "played"

    def lines(self) -> Iterator[str]:
        yield from iter(self.said.get, None)

    def send(self, line: str) -> None:
        self.on_send(json.loads(line)["submission"], self)

    def stop(self, grace_seconds: float = 10.0) -> None:
        self.stopped = True
        self.said.put(None)

    def wait(self) -> Outcome:
        return self.outcome


@dataclass
class PlayedEngine:
    """``trouble(job, number)`` may raise instead of the start, or return an outcome of a check, or
    what a worker's line of results is to be.
    """

    trouble: Callable[[Job, int], Any] = lambda job, number: None
    name: str = "played"
    guarantees: frozenset[Guarantee] = NEEDED
    jobs: list[Job] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    workers: list[Played] = field(default_factory=list)
    answer: str = "A boat."

    def describe(self) -> dict[str, str]:
        return {}

    def can_use_gpus(self) -> bool:
        return False

    def find(self, labels: Mapping[str, str]) -> list[Running]:
        return []

    def sweep(self, labels: Mapping[str, str]) -> list[str]:
        return []

    def command(self, job: Job) -> str:
        return ""

    def start(self, job: Job) -> Running:
        self.jobs.append(job)
        number = sum(each.name == job.name for each in self.jobs)
        trouble = self.trouble(job, number)
        return self._check(job, trouble) if job.name == "check" else self._worker(job, trouble)

    def _check(self, job: Job, trouble: Any) -> Running:
        runs = job.workspace / "runs"
        assert {mount.target for mount in job.mounts if not mount.read_only} == {
            "runs/report.json", *(f"runs/{part}.safetensors" for part in TENSORS)
        }  # fmt: skip
        files = {}
        for part in TENSORS:
            (runs / f"{part}.safetensors").write_bytes(b"tensors")
            files[part] = file_sha256(runs / f"{part}.safetensors")
        write_json(runs / "report.json", {"version": 1, "weights": "0" * 64, "files": files})
        played = Played(outcome=trouble or Outcome(0))
        played.said.put(None)
        return played

    def _worker(self, job: Job, trouble: Any) -> Running:
        def answer(key: str, played: Played) -> None:
            self.asked.append(key)
            if trouble == "dies":
                played.said.put(None)
                return
            clean = next(mount.source for mount in job.mounts if mount.target == "inputs/clean")
            assert (clean / key / "projector" / "config.json").exists()
            body = {"submission": key, "answers": [self.answer] * 2, "sketch": [1.0],
                    "seconds": 0.1, "machine": {}, **(trouble or {})}  # fmt: skip
            results = job.workspace / "runs" / "results.jsonl"
            with results.open("a") as file:
                file.write(json.dumps(body) + "\n")
            played.said.put(json.dumps({"done": key}))

        played = Played(on_send=answer)
        played.said.put("a library's own words")
        played.said.put(None if trouble == "never ready" else '{"ready": true}')
        self.workers.append(played)
        return played


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Class]:
    folder = tmp_path / "class"
    for number in range(6):
        (folder / f"s{number}").mkdir(parents=True)
        (folder / f"s{number}" / "file").write_text(str(number))
    setup_folder = tmp_path / "setup"
    (setup_folder / "pictures").mkdir(parents=True)
    for name in ("recipe.json", "questions.json"):
        (setup_folder / name).write_text("{}")

    def make(engine: PlayedEngine, assignment: Assignment = ASSIGNMENT) -> Class:
        recipe = {"train": {"llm_dtype": "float32"}}
        setup = Setup(assignment, "a" * 64, setup_folder, SHAPES, recipe, "b" * 64, {}, {})
        bench = Bench(engine, setup, {}, 1 << 20, (), "models/x", {})
        found = handed.submissions(folder, 1000)
        return Class(bench, found, tmp_path / "results", ("none",))

    return make


def grade(made: Class) -> list[Grade]:
    with Screen().progress("grade") as progress:
        return made.grade(progress)


def verdicts(grades: list[Grade]) -> list[str]:
    return [each.verdict for each in grades]


def test_a_class(made: Callable[..., Class], tmp_path: Path) -> None:
    engine = PlayedEngine()
    grades = grade(made(engine))
    assert [each.student for each in grades] == [f"s{number}" for number in range(6)]
    assert verdicts(grades) == ["graded"] * 6
    assert {each.points for each in grades} == {20}
    assert [job.name for job in engine.jobs].count("grade") == 1, "one worker for all"
    for job in engine.jobs:
        assert job.requires == NEEDED
        assert job.read_only
        assert not job.network
    assert not list((tmp_path / "setup" / "jobs").iterdir())
    assert not list((tmp_path / "setup" / "clean").iterdir())


def test_two_gpus_have_a_worker_each(made: Callable[..., Class]) -> None:
    engine = PlayedEngine()
    later = made(engine)
    later.gpus = ("0", "1")
    assert verdicts(grade(later)) == ["graded"] * 6
    assert {job.gpus for job in engine.jobs if job.name == "grade"} <= {"0", "1"}
    assert sorted(engine.asked) == sorted(set(engine.asked))


def test_no_job_is_given_a_reference(made: Callable[..., Class], tmp_path: Path) -> None:
    seen = []

    def look(job: Job, number: int) -> None:
        places = [job.workspace, *(mount.source for mount in job.mounts)]
        for place in places:
            for path in (place, *place.rglob("*")):
                if path.is_file():
                    seen.append(path)
                    assert b"A boat." not in path.read_bytes()
        assert "A boat." not in str(job)

    grade(made(PlayedEngine(trouble=look)))
    assert any(path.name == "declared.json" for path in seen)
    assert any(path.name == "questions.json" for path in seen)


def test_what_is_graded_is_not_graded_again(made: Callable[..., Class]) -> None:
    grade(made(PlayedEngine()))
    again = PlayedEngine(answer="another")
    assert {each.points for each in grade(made(again))} == {20}
    assert again.jobs == []


@pytest.mark.parametrize("change", ["submission", "student", "assignment"])
def test_what_changed_is_graded_again(
    made: Callable[..., Class], tmp_path: Path, change: str
) -> None:
    grade(made(PlayedEngine()))
    if change == "submission":
        (tmp_path / "class" / "s3" / "file").write_text("other")
    elif change == "student":
        (tmp_path / "class" / "s3").rename(tmp_path / "class" / "t3")
    engine = PlayedEngine()
    later = made(engine)
    if change == "assignment":
        object.__setattr__(later.bench.setup, "key", "c" * 64)
    grade(later)
    assert len(engine.asked) == (6 if change == "assignment" else 1)


def test_when_the_engine_goes_the_rest_is_not_graded_and_no_zero(
    made: Callable[..., Class],
) -> None:
    def goes(job: Job, number: int) -> None:
        if job.name == "check" and number > 3:
            raise EngineError("no-daemon", address="unix:///x")

    engine = PlayedEngine(trouble=goes)
    grades = grade(made(engine))
    assert verdicts(grades) == ["graded"] * 3 + ["not graded"] * 3
    for each in grades[3:]:
        assert each.points is None
        assert [reason.id for reason in each.reasons] == ["submission.not-graded"]
        assert each.provenance["error"] == "engine.no-daemon"
    assert sum(job.name == "check" for job in engine.jobs) <= 5, "it is not asked again and again"

    again = PlayedEngine()
    assert verdicts(grade(made(again))) == ["graded"] * 6
    assert len(again.asked) == len(set(again.asked)) == 3, "none twice"
    assert not set(again.asked) & set(engine.asked)


def test_a_worker_that_dies_is_started_again(made: Callable[..., Class]) -> None:
    engine = PlayedEngine(trouble=lambda job, n: "dies" if job.name == "grade" and n == 1 else None)
    assert verdicts(grade(made(engine))) == ["graded"] * 6
    assert [job.name for job in engine.jobs].count("grade") == 2


def test_nothing_is_left_of_a_worker_that_never_was_ready(made: Callable[..., Class]) -> None:
    engine = PlayedEngine(trouble=lambda job, n: "never ready" if job.name == "grade" else None)
    assert verdicts(grade(made(engine))) == ["not graded"] * 6
    assert all(worker.stopped for worker in engine.workers)
    folders = [job.workspace for job in engine.jobs if job.name == "grade"]
    assert folders
    assert not [folder for folder in folders if folder.exists()]


def test_a_worker_that_dies_of_everything(made: Callable[..., Class]) -> None:
    engine = PlayedEngine(trouble=lambda job, n: "dies" if job.name == "grade" else None)
    grades = grade(made(engine))
    assert verdicts(grades) == ["not graded"] * 6
    assert grades[0].provenance["error"] == "assignment.worker-failed"


@pytest.mark.parametrize(
    "odd",
    [
        {"answers": ["A boat."]},
        {"answers": ["x" * 30_000] * 2},
        {"submission": "f" * 64},
        {"points": 100},
        {"sketch": [float("nan")]},
        {"machine": {str(n): n for n in range(50)}},
    ],
)
def test_results_that_have_another_form_are_no_verdict(
    made: Callable[..., Class], odd: dict[str, Any]
) -> None:
    engine = PlayedEngine(trouble=lambda job, n: odd if job.name == "grade" else None)
    grades = grade(made(engine))
    assert verdicts(grades) == ["not graded"] * 6
    assert grades[0].provenance["error"] == "assignment.bad-answer"


@pytest.mark.parametrize(
    ("outcome", "verdict", "reason"),
    [
        (Outcome(137, out_of_memory=True), "refused", "submission.too-much-memory"),
        (Outcome(124, over="seconds"), "refused", "submission.too-long"),
        (Outcome(137, over="output"), "not graded", "submission.not-graded"),
        (Outcome(1), "not graded", "submission.not-graded"),
        (Outcome(None), "not graded", "submission.not-graded"),
    ],
)
def test_how_a_check_ends(
    made: Callable[..., Class], outcome: Outcome, verdict: str, reason: str
) -> None:
    """Whatever its report says: it passed, here."""
    engine = PlayedEngine(trouble=lambda job, n: outcome if job.name == "check" else None)
    for each in grade(made(engine)):
        assert (each.verdict, each.reasons[0].id) == (verdict, reason)
        assert each.points == (0 if verdict == "refused" else None)
    assert engine.asked == []


def test_ctrl_c_stops_the_worker_and_keeps_what_there_is(
    made: Callable[..., Class], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = marking.shares
    calls: list[int] = []

    def interrupt(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return marks(*args)

    monkeypatch.setattr(grading.marking, "shares", interrupt)
    with pytest.raises(KeyboardInterrupt):
        grade(made(PlayedEngine()))
    assert len(list((tmp_path / "results").glob("*.json"))) == 2
    assert verdicts(grade(made(PlayedEngine()))) == ["graded"] * 6


def test_what_is_handed_in(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    (folder / "alice" / "sub").mkdir(parents=True)
    (folder / "alice" / "sub" / "x").write_text("1")
    (folder / "bob.zip").write_bytes(b"PK")
    (folder / ".hidden").write_text("")
    (folder / "eve").symlink_to("/etc")
    found = {each.student: each for each in handed.submissions(folder, 100)}
    assert list(found) == ["alice", "bob", "eve"]
    assert found["eve"].refused is not None
    assert found["eve"].refused.id == "submission.link"
    assert found["alice"].refused is None
    before = found["alice"].sha256
    (folder / "alice" / "sub" / "x").write_text("2")
    assert handed.submissions(folder, 100)[0].sha256 != before
    (folder / "alice.zip").write_bytes(b"PK")
    with pytest.raises(KitError) as caught:
        handed.submissions(folder, 100)
    assert caught.value.id == "assignment.same-student"


def test_a_link_in_a_submission_is_not_followed_when_it_is_hashed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("1")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "x").symlink_to(secret)
    before = handed.fingerprint(tmp_path / "s", 100)
    secret.write_text("2")
    assert handed.fingerprint(tmp_path / "s", 100) == before
    (tmp_path / "s" / "big").write_bytes(bytes(200))
    first = handed.fingerprint(tmp_path / "s", 100)
    (tmp_path / "s" / "big").write_bytes(b"\1" * 200)
    assert handed.fingerprint(tmp_path / "s", 100) == first, "more than it may have is not read"
