"""The record as the host writes it: its published form, interruptions, and no secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from host.scripted import Play, ScriptedEngine
from host.test_pipeline import pipeline, working
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import body

from llavakit import locks, record
from llavakit.engines.base import Job, Outcome
from llavakit.errors import EngineError, KitError, SourceError, StepError
from llavakit.events import EventWriter
from llavakit.host.making import ALL
from llavakit.host.settings import KIT
from llavakit.record_form import Run, schema

SCHEMA = KIT / "docs" / "run.schema.json"
FEW = settings(deadline=None, max_examples=25,
               suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip


def test_the_published_schema_is_that_of_the_code() -> None:
    made = "PYTHONPATH=src .venv/bin/python -m llavakit.record_form > docs/run.schema.json"
    assert json.loads(SCHEMA.read_text()) == schema(), made


def conforms(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--schemafile", str(SCHEMA)]
    return subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)


def test_records_of_every_kind_of_run_conform_to_it(tmp_path: Path) -> None:
    made, _ = pipeline(tmp_path / "whole", working(tmp_path / "whole"))
    made.bring_up_to_date(ALL)
    failed, _ = pipeline(tmp_path / "failed", lambda _: Play(outcome=Outcome(exit_code=9)))
    with pytest.raises(KitError):
        failed.bring_up_to_date(["models"])
    written = tmp_path / "body.json"
    written.write_text(json.dumps(body()))
    files = [each.run_dir / record.FILE_NAME for each in (made, failed)]
    done = conforms(*files, written)
    assert done.returncode == 0, done.stdout
    written.write_text(json.dumps({**body(), "more": 1}))
    assert conforms(written).returncode == 1


def test_a_stage_that_cannot_start_is_in_the_record(tmp_path: Path) -> None:
    def refuse(_: Job) -> Play:
        raise EngineError("request-failed", why="no")

    made, _ = pipeline(tmp_path, refuse)
    with pytest.raises(EngineError):
        made.bring_up_to_date(["models"])
    [stage] = record.load(made.run_dir).provenance.stages
    assert (stage.outcome, stage.error) == ("failed", "engine.request-failed")


@pytest.mark.parametrize("label", ["models", "train"])
def test_an_engine_that_dies_hides_no_stage_s_own_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    def gone(_: ScriptedEngine) -> dict[str, str]:
        raise EngineError("request-failed", why="connection refused")

    def play(job: Job) -> Play:
        if job.name != label:
            return working(tmp_path)(job)
        monkeypatch.setattr(ScriptedEngine, "describe", gone)
        return Play(outcome=Outcome(exit_code=9))

    made, _ = pipeline(tmp_path, play)
    with pytest.raises(StepError):
        made.bring_up_to_date(["models", "data", "train"])
    stage = record.load(made.run_dir).provenance.stages[-1]
    assert (stage.label, stage.outcome, stage.described) == (label, "failed", {})
    assert stage.error is not None
    assert stage.error.startswith("step.")


def test_a_stage_is_in_the_record_while_it_runs(tmp_path: Path) -> None:
    seen = []

    def look(job: Job) -> Play:
        seen.append(record.load(made.run_dir).provenance.stages[-1])
        return working(tmp_path)(job)

    made, _ = pipeline(tmp_path, look)
    made.bring_up_to_date(["models"])
    assert [(stage.label, stage.outcome) for stage in seen] == [("models", "begun")]
    [stage] = record.load(made.run_dir).provenance.stages
    assert stage.outcome == "done"


def test_what_a_step_tells_is_recorded(tmp_path: Path) -> None:
    def tell(job: Job) -> Play:
        events = EventWriter(made.run_dir, job.argv[1].rpartition(".")[2])
        events.emit("started")
        events.emit("machine", python="3.10.13", cpu="c", instructions="AVX2", threads=1)
        events.emit("iteration", n=1, of=1, loss=1.0)
        events.emit("usage", host_mib=700)
        return working(tmp_path)(job)

    made, _ = pipeline(tmp_path, tell)
    made.bring_up_to_date(["models", "data", "train"])
    run = record.load(made.run_dir)
    assert run.identity.python == "3.10.13"
    assert [machine.instructions for machine in run.provenance.trained_on] == ["AVX2"]
    assert {stage.usage and stage.usage.host_mib for stage in run.provenance.stages} == {700}


def test_folders_of_the_host_are_not_in_the_record(tmp_path: Path) -> None:
    made, _ = pipeline(tmp_path, working(tmp_path))
    made.bring_up_to_date(["models"])
    text = (made.run_dir / record.FILE_NAME).read_text()
    assert str(tmp_path) not in text
    assert str(KIT) not in text


# --- interruptions ---


@contextmanager
def stopped_at(number: int) -> Iterator[None]:
    """The ``number``-th call to the operating system of a writer ends in Ctrl-C, or a full disk."""
    calls = iter(range(number))
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        real_fsync(handle)

    def replace(path: Path, target: Path) -> Path:
        if next(calls, None) is None:
            raise OSError(28, "No space left on device")
        return real_replace(path, target)

    with mock.patch.object(locks.os, "fsync", fsync), mock.patch.object(Path, "replace", replace):
        yield


@FEW
@given(st.integers(0, 7), st.lists(st.floats(0, 10), min_size=1, max_size=5))
def test_an_interruption_at_any_moment_leaves_a_readable_record(
    number: int, losses: list[float]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / record.FILE_NAME).write_text(json.dumps(body()))
        states = [Run.model_validate(body())]
        try:
            with stopped_at(number):
                for loss in losses:
                    kept = record.Record(folder)
                    kept.result(**{**body()["results"], "losses": [loss]})
                    states.append(Run.model_validate(kept.body))
                    kept.save()
        except (KeyboardInterrupt, OSError):
            pass
        assert record.load(folder) in states
        assert [path.name for path in folder.iterdir()] == [record.FILE_NAME]


def test_killed_in_the_middle_of_writing(tmp_path: Path) -> None:
    """SIGKILL at random moments of a process that does nothing but write its record."""
    (tmp_path / record.FILE_NAME).write_text(json.dumps(body()))
    script = (
        "import sys; from pathlib import Path; from llavakit import record\n"
        "kept = record.Record(Path(sys.argv[1])); print(flush=True)\n"
        "while True: kept.save()"
    )
    for number in range(8):
        env = {**os.environ, "PYTHONPATH": str(KIT / "src")}
        with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=env,
                              stdout=subprocess.PIPE) as process:  # fmt: skip
            assert process.stdout
            process.stdout.readline()
            try:
                process.wait(0.003 * number)
            except subprocess.TimeoutExpired:
                process.kill()
        assert record.load(tmp_path) == Run.model_validate(body())


# --- secrets ---

ALPHABET = st.characters(min_codepoint=33, max_codepoint=0x4E20, exclude_categories=("Cs", "Cc"))
SECRET = st.text(ALPHABET, min_size=8, max_size=24).map(lambda text: f"{text}9Zq")
NAMES = st.sampled_from(["HF_TOKEN", "MODELSCOPE_API_TOKEN", "WANDB_API_KEY", "DB_PASSWORD"])
PASSWORD = st.text("abcXYZ019._~!-", min_size=10, max_size=20)


@FEW
@given(NAMES, SECRET, PASSWORD)
def test_a_secret_in_the_environment_is_in_no_file_of_the_run(
    name: str, token: str, password: str
) -> None:
    environ = {"https_proxy": f"http://someone:{password}@proxy.example:3128", name: token}

    def careless(root: Path, job: Job) -> Play:
        """A step that tells everybody everything: in its output, its events and its error."""
        said = " ".join([*job.argv, *job.env.values(), *environ.values()])
        EventWriter(root / "runs" / job.labels["run"], "models").emit("note", text=said)
        error = SourceError("unreachable", source=said, why=said)
        lines = (said, json.dumps(environ), repr(environ), error.to_wire())
        return Play(lines=lines, outcome=Outcome(exit_code=1))

    with tempfile.TemporaryDirectory() as place, mock.patch.dict(os.environ, environ):
        root = Path(place)
        made, _ = pipeline(root, lambda job: careless(root, job))
        with pytest.raises(KitError) as caught:
            made.bring_up_to_date(["models"])
        files = [path for path in root.rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"run.json", "events.jsonl", "models.log"}
        texts = [*(path.read_text(errors="replace") for path in files), caught.value.why]
        for secret in (token, password, json.dumps(token)[1:-1]):
            assert not [text for text in texts if secret in text]


def test_a_command_line_is_recorded_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_0123456789")
    made, engine = pipeline(tmp_path, working(tmp_path))
    engine.command = lambda job: f"HF_TOKEN=hf_0123456789 {job.argv}"  # type: ignore[method-assign]
    made.bring_up_to_date(["models"])
    command: Any = record.load(made.run_dir).provenance.stages[0].command
    assert command.startswith("HF_TOKEN=*** ")
