"""The local engine alone: its environment, its notes, its ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llavakit.engines import local, processes
from llavakit.engines import mounts as places
from llavakit.engines.base import Job, Mount
from llavakit.engines.local import LocalEngine
from llavakit.engines.processes import JOBS_FOLDER, Note, started
from llavakit.errors import EngineError

PRINT = "import os, json; print(json.dumps(dict(os.environ)))"


@pytest.fixture
def engine(workspace: Path) -> LocalEngine:
    return LocalEngine(Path(sys.executable), Path("/kit/src"), workspace=workspace)


def environment(engine: LocalEngine, workspace: Path, **options: object) -> dict[str, str]:
    running = engine.start(Job("env", ("-c", PRINT), workspace, **options))
    [line] = running.lines()
    assert running.wait().exit_code == 0
    return json.loads(line)


def test_nothing_of_the_callers_gets_in(engine, workspace, monkeypatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "PYTHONSTARTUP", "LD_LIBRARY_PATH", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.delenv("TMPDIR", raising=False)
    env = environment(engine, workspace)
    assert set(env) - {"LC_CTYPE"} == {
        *("PATH", "HOME", "LANG", "LOGNAME", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONNOUSERSITE"),
        "CUDA_VISIBLE_DEVICES",
    }
    assert env["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert env["PYTHONPATH"] == "/kit/src"
    assert env["CUDA_VISIBLE_DEVICES"] == ""


def test_a_job_with_a_network_gets_what_it_is_given(engine, workspace, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:1")
    assert "https_proxy" not in environment(engine, workspace, network=True)
    given = {"https_proxy": "http://proxy.invalid:2"}
    assert environment(engine, workspace, network=True, env=given).items() >= given.items()


@pytest.mark.parametrize(
    ("gpus", "outside", "inside"),
    [("none", "3", ""), ("0,1", "3", "0,1"), ("all", "3", "3"), ("all", None, None)],
)
def test_gpus(engine, workspace, monkeypatch, gpus, outside, inside):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if outside:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", outside)
    assert environment(engine, workspace, gpus=gpus).get("CUDA_VISIBLE_DEVICES") == inside


def test_gpus_to_give(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(local, "NVIDIA_DEVICE", tmp_path / "nvidiactl")
    assert not engine.can_use_gpus()
    (tmp_path / "nvidiactl").touch()
    assert engine.can_use_gpus()
    (tmp_path / "nvidiactl").rename(tmp_path / "nvidia-smi")
    assert not engine.can_use_gpus()
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert engine.can_use_gpus()


def test_no_python(workspace):
    engine = LocalEngine(workspace / "no/python", Path("/kit/src"))
    with pytest.raises(EngineError) as caught:
        engine.start(Job("j", (), workspace))
    assert caught.value.id == "engine.cannot-start"
    assert list((workspace / JOBS_FOLDER).iterdir()) == []


def test_no_workspace(engine, tmp_path):
    with pytest.raises(EngineError) as caught:
        engine.start(Job("j", (), tmp_path / "nowhere"))
    assert caught.value.id == "engine.mount-missing"
    assert not (tmp_path / "nowhere").exists()


def test_a_note_that_cannot_be_written_ends_the_job(engine, workspace, monkeypatch):
    pids = []

    def fail(note: Note, folder: Path) -> None:
        pids.append(note.pid)
        raise OSError("No space left on device")

    monkeypatch.setattr(Note, "write", fail)
    with pytest.raises(OSError, match="No space"):
        engine.start(Job("j", ("-c", "import time; time.sleep(60)"), workspace))
    assert started(pids[0]) == ""
    assert list((workspace / JOBS_FOLDER).iterdir()) == []


def test_another_process_with_the_jobs_number_is_not_the_job(engine, workspace):
    folder = workspace / JOBS_FOLDER
    folder.mkdir(parents=True)
    note = Note.of("llavakit-old-1", os.getpid(), {"run": "1"})
    assert note.alive
    Note(**{**vars(note), "started": "1"}).write(folder)
    (folder / "llavakit-old-1.log").touch()
    (folder / "broken.json").write_text("{", encoding="utf-8")
    assert engine.find({"run": "1"}) == []


def test_sweep_takes_only_what_nobody_waits_for(engine, workspace):
    folder = workspace / JOBS_FOLDER
    folder.mkdir(parents=True)
    running = engine.start(Job("mine", ("-c", "pass"), workspace))
    list(running.lines())
    gone = {**vars(Note.of("llavakit-old-1", os.getpid(), {})), "started": "1"}
    Note(**{**gone, "client_started": "1"}).write(folder)
    (folder / "llavakit-old-1.log").touch()
    assert engine.sweep({}) == ["llavakit-old-1"]
    assert {path.stem for path in folder.iterdir()} == {running.id}
    running.wait()


def test_start_times(monkeypatch):
    assert started(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
        assert started(process.pid) == ""


def test_memory_is_blamed_only_when_the_kernel_says_so(engine, workspace, monkeypatch):
    kills = iter([5, 6])
    monkeypatch.setattr(processes, "oom_kills", lambda: next(kills))
    running = engine.start(Job("j", ("-c", "import os; os.kill(os.getpid(), 9)"), workspace))
    assert running.wait().out_of_memory is True


def by_hand(engine: LocalEngine, job: Job) -> list[str]:
    done = subprocess.run(["/bin/sh", "-c", engine.command(job)], env={}, capture_output=True,
                          text=True, check=True)  # fmt: skip
    return done.stdout.splitlines()


def test_the_printed_line_makes_what_a_job_finds(engine, workspace, tmp_path):
    folder, file = tmp_path / "my weights", tmp_path / "a'b.safetensors"
    folder.mkdir()
    (folder / "w.txt").write_text("heavy")
    file.write_text("light")
    (workspace / "data").mkdir()
    mounts = (
        Mount(folder, "inputs/llm-1"),
        Mount(file, f"inputs/projector-1/{file.name}"),
        Mount(workspace / "data", "data"),
    )
    read = "import sys; [print(open(name).read()) for name in sys.argv[1:]]"
    names = ("inputs/llm-1/w.txt", f"inputs/projector-1/{file.name}")
    job = Job("j", ("-c", read, *names), workspace, mounts=mounts)
    assert by_hand(engine, job) == ["heavy", "light"]
    assert (workspace / "data").is_dir() and not (workspace / "data").is_symlink()
    assert (workspace / local.HOME).is_dir()
    assert by_hand(engine, job) == ["heavy", "light"], "again"
    running = engine.start(job)
    assert (list(running.lines()), running.wait().exit_code) == (["heavy", "light"], 0)


@pytest.mark.parametrize("made_by", ["docker", "local"])
def test_a_line_by_hand_and_either_engine_replace_what_another_left(
    engine, workspace, tmp_path, made_by
):
    """The folder above a file's mountpoint is made by both, and neither is in the other's way."""
    folder, file = tmp_path / "llm", tmp_path / "p.pth"
    folder.mkdir()
    (folder / "w.txt").write_text("heavy")
    file.write_text("light")
    mounts = (Mount(folder, "inputs/llm-1"), Mount(file, "inputs/projector-1/p.pth"))
    read = "print(open('inputs/llm-1/w.txt').read(), open('inputs/projector-1/p.pth').read())"
    job = Job("j", ("-c", read), workspace, mounts=mounts)
    for mount in mounts:
        if made_by == "docker":
            places.make_place(job, mount, None)
        else:
            places.make_link(job, mount)
    place = workspace / "inputs/projector-1/p.pth"
    assert place.is_symlink() is (made_by == "local")
    assert by_hand(engine, job) == ["heavy light"]
    for mount in mounts:
        places.make_place(job, mount, None)
    assert place.is_file() and not place.is_symlink()
