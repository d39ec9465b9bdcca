"""Talk to the model in the terminal: the host asks and shows, a job with the model answers."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from llavakit import errors
from llavakit.engines.base import Running
from llavakit.errors import ConfigurationError, StepError
from llavakit.host import preflight, queueing, words
from llavakit.host.console import Screen
from llavakit.host.disk import disk_errors
from llavakit.host.pipeline import Pipeline
from llavakit.host.plan import Stage, weights_mounts
from llavakit.phrases import phrase

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


class Conversation:
    """A running chat job: a question goes in, an answer comes out."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._lines = running.lines()
        self._tail: deque[str] = deque(maxlen=15)
        self._next("ready")

    def ask(self, question: str) -> str:
        """Raises StepError or what the step reported when the job ended instead."""
        self._running.send(json.dumps({"question": question}))
        return str(self._next("answer"))

    def _next(self, field: str) -> Any:
        for line in self._lines:
            if error := errors.from_wire(line):
                raise error
            try:
                body = json.loads(line)
            except ValueError:
                self._tail.append(line)
                continue
            if isinstance(body, dict) and field in body:
                return body[field]
        tail = "\n".join(self._tail)
        raise StepError(
            "failed", step="chat", how=phrase("ended.early"), log=phrase("above"), why=tail
        )


def ask(pipeline: Pipeline, options: Mapping[str, Any], screen: Screen) -> int:
    """`invoke ask --picture FILE --question TEXT`: one answer."""
    question = str(options.get("question") or "")
    if not question or not options.get("picture"):
        raise ConfigurationError("half-a-question")
    with _conversation(pipeline, options, screen) as conversation:
        answer = conversation.ask(question)
    screen.result({"question": question, "answer": answer}, text=answer)
    return 0


def converse(pipeline: Pipeline, options: Mapping[str, Any], screen: Screen) -> int:
    """`invoke chat`: several turns about one picture, until an empty line or end of input."""
    if not sys.stdin.isatty():
        raise ConfigurationError("no-terminal")
    with _conversation(pipeline, options, screen) as conversation:
        screen.note(words.text("chat.how", screen.lang))
        while question := _read_line():
            screen.result({"answer": ""}, text=conversation.ask(question))
    return 0


@contextmanager
def _conversation(
    pipeline: Pipeline, options: Mapping[str, Any], screen: Screen
) -> Iterator[Conversation]:
    pretrained = bool(options.get("pretrained"))
    target = "convert-pretrained" if pretrained else "convert"
    picture = _picture(pipeline, str(options.get("picture") or ""))
    pipeline.bring_up_to_date(["models", target])
    tuned = pipeline.plan.pretrained if pretrained else pipeline.plan.tuned
    stage = _stage(pipeline, tuned, picture)
    pipeline.check_gpu([stage])
    engine = pipeline.engine()
    job = replace(pipeline.job(stage), interactive=True)
    screen.tell("chat", "chat.pretrained" if pretrained else "chat.trained")
    access = engine.describe().get("gpus", "none")
    with queueing.turn(pipeline, "chat", job, access, [stage]):
        preflight.announce(screen, "chat", job.gpus, access)
        # Under the lock, so that no other command sweeps a container that is not yet running.
        with pipeline.workspace.lock("invoke chat", pipeline.say_waiting):
            running = engine.start(job)
        try:
            yield Conversation(running)
        finally:
            running.stop()
            running.wait()


def _stage(pipeline: Pipeline, tuned: PurePosixPath, picture: PurePosixPath) -> Stage:
    made = pipeline.plan
    argv = (
        *("-m", "llavakit.steps.chat", "--recipe", str(made.run / "recipe.json")),
        *("--weights", str(made.weights), "--tuned", str(tuned), "--image", str(picture)),
    )
    mounts = weights_mounts(made.inputs)
    return Stage("chat", "chat", "", argv, made.run, mounts=mounts, uses_gpu=True)


def _picture(pipeline: Pipeline, named: str) -> PurePosixPath:
    """Copy the picture into the workspace: the job sees it and nothing else of its folder."""
    path = Path(named).expanduser() if named else None
    if path is None:
        raise ConfigurationError("no-picture")
    if not path.is_file() or path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ConfigurationError("not-an-image", path=named)
    with disk_errors(path):
        content = path.read_bytes()
    name = hashlib.sha256(content).hexdigest()[:16] + path.suffix.lower()
    relative = PurePosixPath("cache", "pictures", name)
    target = pipeline.workspace.root / relative
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return relative


def _read_line() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        return ""
