"""The probe: when it runs, what its line means, and what runs inside, on a CUDA of the test's."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from host.doctor.machine import Machine
from host.scripted import Play, ScriptedEngine

from llavakit.engines.base import Job
from llavakit.errors import EngineError
from llavakit.host import environment
from llavakit.host.doctor import inside, probe
from llavakit.host.doctor.findings import is_held
from llavakit.host.pipeline import SHM_BYTES

WORKS = {
    "smi": {"gpus": ["NVIDIA L20, 550.54.15, 45500 MiB"]},
    "cuda": {"bytes": 1 << 26, "count": 1, "right": True},
    "torch": {"version": "2.1.2+cu121", "right": True, "sm": [8, 9]},
}


class Probed:
    """A host whose engine plays what the job would say."""

    def __init__(self, machine: Machine, found: object, **more: Any) -> None:
        self.jobs: list[Job] = []

        def play(job: Job) -> Play:
            self.jobs.append(job)
            self.held = is_held(job.workspace)
            return Play(lines=("a warning of torch's", json.dumps(found)), **more)

        engine = ScriptedEngine(play)
        machine.patch.setattr(environment, "present", lambda *_: engine)
        self.finding = probe.look(machine.host())


def test_it_says_what_worked_and_has_a_job_s_limits(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    probed = Probed(machine, WORKS)
    assert probed.finding.status == "pass"
    assert "NVIDIA L20, 550.54.15" in probed.finding.found
    assert "torch 2.1.2+cu121" in probed.finding.found
    assert "tries the GPU" in capsys.readouterr().err
    [job] = probed.jobs
    assert job.gpus == "all"
    assert not job.network
    assert job.limits.shm_bytes == SHM_BYTES
    assert job.limits.memory_bytes
    assert job.workspace.parent == machine.root, "where the engine sees folders of this host"
    assert probed.held, "so that no other doctor removes it"
    assert not job.workspace.exists(), "and it is gone afterwards"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"device": False}, "no GPU to look at"),
        ({"options": {"gpus": "none"}}, "no GPU to look at"),
        ({"labels": None}, "invoke build"),
        ({"answer": "none"}, "no job is given"),
    ],
)
def test_where_it_cannot_help_it_does_not_run(
    machine: Machine, change: dict[str, Any], words: str
) -> None:
    if change.pop("answer", None):
        machine.answer["gpus"] = "none"
    for name, value in change.items():
        setattr(machine, name, value)
    probed = Probed(machine, WORKS)
    assert probed.jobs == []
    assert probed.finding.status == "skip"
    assert words in probed.finding.found


def found(part: str, **facts: Any) -> dict[str, Any]:
    return {**WORKS, part: facts}


@pytest.mark.parametrize(
    ("said", "access", "words", "remedy"),
    [
        (found("cuda", error="no libcuda", code="libcuda"), "cdi", "no libcuda", "cdi generate"),
        (found("cuda", error="no libcuda", code="libcuda"), "nvidia-runtime", "runtime gives",
         "runtime configure"),
        (found("cuda", error="cuInit: X (803)", code=803), "cdi", "cuInit: X (803)", "reboot"),
        (found("cuda", error="cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (2)", code=2), "cdi",
         "OUT_OF_MEMORY", "dmesg"),
        (found("cuda", bytes=1, count=1, right=False), "cdi", "wrong numbers", "verify"),
        (found("smi", error="Failed to initialize NVML: Unknown Error"), "cdi", "NVML",
         "restart docker"),
        (found("torch", error="RuntimeError: no kernel image"), "cdi", "no kernel image", "verify"),
        (found("torch", version="2", right=False), "cdi", "wrong numbers", "verify"),
        ("nothing of ours", "cdi", "nothing of ours", "invoke build"),
    ],
)  # fmt: skip
def test_what_fails_in_a_job_has_a_remedy(
    machine: Machine, said: object, access: str, words: str, remedy: str
) -> None:
    machine.answer["gpus"] = access
    probed = Probed(machine, said)
    assert probed.finding.status == "fail"
    assert words in probed.finding.found
    assert remedy in probed.finding.remedy
    machine.recipe, machine.overrides = "tiny", []
    assert Probed(machine, said).finding.status == "warn", "tiny runs without a GPU too"


def test_a_job_without_nvidia_smi_is_no_failure(machine: Machine) -> None:
    probed = Probed(machine, found("smi", missing=True))
    assert probed.finding.status == "pass"
    assert "(no nvidia-smi in the job)" in probed.finding.found


def test_a_gpu_that_the_engine_refuses_is_the_engine_s_error(machine: Machine) -> None:
    class Refuses(ScriptedEngine):
        def start(self, job: Job) -> Any:
            raise EngineError("no-gpu-support", gpus=job.gpus, why="could not select device driver")

    engine = Refuses(lambda _: Play())
    machine.patch.setattr(environment, "present", lambda *_: engine)
    finding = probe.look(machine.host())
    assert finding.status == "fail"
    assert "could not select device driver" in finding.found
    assert "nvidia-ctk" in finding.remedy


def test_the_line_is_found_among_others() -> None:
    text = f'{{"cuda": {{}}}}\n{json.dumps(WORKS)}\n{{"other": 1}}\nwords\n[1]'
    assert probe.read(text) == WORKS
    assert probe.read("words") == {}


class Cuda:
    """A driver library that keeps one allocation, or fails in one call."""

    def __init__(self, fails: str = "", code: int = 0) -> None:
        self.fails, self.code = fails, code
        self.memory = 0
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.asked.append(name)
            if name == self.fails:
                return self.code
            if name == "cuMemsetD8_v2":
                self.memory = arguments[1].value
            if name == "cuMemcpyDtoH_v2":
                for place in range(arguments[2].value):
                    arguments[0][place] = self.memory
            if name == "cuGetErrorName":
                arguments[1]._obj.value = b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"
            return 0

        return call


def test_memory_is_filled_and_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: cuda)
    assert inside.allocate() == {"bytes": inside.BYTES, "count": 0, "right": True}
    assert cuda.asked[-1] == "cuMemFree_v2"


def test_a_call_that_fails_is_named_with_cuda_s_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Cuda("cuInit", 803))
    said = inside.allocate()
    assert said["error"] == "cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)"
    assert said["code"] == 803


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this host has a GPU")
def test_without_a_driver_it_still_says_its_line() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", probe.INSIDE.read_text()],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = probe.read(done.stdout)
    assert said["cuda"]["code"] == "libcuda"
    assert "torch" not in said, "nothing more is tried"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'NVIDIA L20, 550.54.15, 45500 MiB'", {"gpus": ["NVIDIA L20, 550.54.15, 45500 MiB"]}),
        ("echo 'Failed to initialize NVML' >&2; exit 9", {"error": "Failed to initialize NVML"}),
        (None, {"missing": True}),
    ],
)
def test_nvidia_smi_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None, said: dict[str, Any]
) -> None:
    if script is not None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if script else str(tmp_path))
    assert inside.smi() == said
