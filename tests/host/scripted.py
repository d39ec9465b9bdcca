"""An engine that runs nothing: it plays what a test scripted, for the host's side alone.

What real engines do is shown by the conformance suite, what real steps do by tests/real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from llavakit.engines.base import Guarantee, Job, Outcome, Running

Script = Callable[[Job], "Play"]


@dataclass
class Play:
    """How one job goes: the lines that it prints and how it ends."""

    lines: tuple[str, ...] = ()
    outcome: Outcome = field(default_factory=lambda: Outcome(exit_code=0))
    interrupt: bool = False
    """The user presses Ctrl-C while it runs."""


@dataclass
class ScriptedRunning:
    play: Play
    stopped: bool = False
    waited: bool = False

    @property
    def id(self) -> str:
        return "scripted"

    def lines(self) -> Iterator[str]:
        yield from self.play.lines

    def send(self, line: str) -> None:
        raise AssertionError("nothing was to be sent")

    def stop(self, grace_seconds: float = 10.0) -> None:
        self.stopped = True

    def wait(self) -> Outcome:
        if self.play.interrupt and not self.stopped:
            raise KeyboardInterrupt
        self.waited = True
        return self.play.outcome


@dataclass
class ScriptedEngine:
    script: Script
    name: str = "scripted"
    guarantees: frozenset[Guarantee] = frozenset()
    jobs: list[Job] = field(default_factory=list)
    started: list[ScriptedRunning] = field(default_factory=list)
    left: dict[str, ScriptedRunning] = field(default_factory=dict)
    """By stage: jobs that run though the command is gone that started them."""
    over: dict[str, ScriptedRunning] = field(default_factory=dict)
    """The same, of jobs that have ended."""
    swept: int = 0

    def describe(self) -> dict[str, str]:
        return {"version": "0"}

    def start(self, job: Job) -> Running:
        self.jobs.append(job)
        self.started.append(ScriptedRunning(self.script(job)))
        return self.started[-1]

    def find(self, labels: Mapping[str, str]) -> list[Running]:
        found = self.left.get(labels.get("stage", ""))
        return [found] if found and not found.waited else []

    def ended(self, labels: Mapping[str, str]) -> list[Running]:
        found = self.over.get(labels.get("stage", ""))
        return [found] if found and not found.waited and not self.swept else []

    def sweep(self, labels: Mapping[str, str]) -> list[str]:
        self.swept += 1
        return []

    def can_use_gpus(self) -> bool:
        return False

    def command(self, job: Job) -> str:
        return " ".join(job.argv)
