"""What plain XTuner is started with, and what stands in for a CUDA toolkit."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest

from llavakit.steps.bench import child, render, toolkit

PRETEND = """
import types, torch
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: 1
torch.cuda.get_device_name = lambda index: "a GPU"
torch.cuda.get_device_properties = lambda index: types.SimpleNamespace(major=9, minor=0)
"""
"""A host with a GPU, as far as DeepSpeed and mmengine ask when they are imported."""
STARTS = """
import xtuner.tools.train, deepspeed.runtime.engine, deepspeed.runtime.zero.stage_1_and_2
from deepspeed.ops.op_builder.builder import installed_cuda_version
from mmengine.utils.dl_utils import collect_env
print(installed_cuda_version(), collect_env()["NVCC"])
"""


@pytest.fixture
def job():
    return SimpleNamespace(key="k", args=Namespace(weights=Path("models/m"), data=Path("data/d")))


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("w 工作").mkdir()
    return Path("w 工作")


def test_plain_has_the_environment_on_its_path_and_nothing_of_the_kit(job, scratch, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "src")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    words, env = child._plain(job, scratch)
    assert words == ["xtuner", "train", "w 工作/config.py", "--work-dir", "w 工作/work"]
    assert env["PATH"] == f"{Path(sys.executable).parent}:/usr/bin:/bin"
    assert "PYTHONPATH" not in env
    assert not {"CUDA_HOME", "RANK"} & (env.keys() - os.environ.keys())
    where = "import shutil; print(shutil.which('python'), shutil.which('xtuner'))"
    found = subprocess.run(["python", "-c", where], env=env, capture_output=True, check=True)
    assert {Path(each).parent for each in found.stdout.decode().split()} == {
        Path(sys.executable).parent
    }


def test_plain_under_deepspeed_is_told_what_it_cannot_find_out(job, scratch):
    (scratch / render.DEEPSPEED).write_text("{}")
    words, env = child._plain(job, scratch)
    assert words[-2:] == ["--deepspeed", "w 工作/deepspeed.json"]
    assert (env["RANK"], env["WORLD_SIZE"], env["MASTER_ADDR"]) == ("0", "1", "127.0.0.1")


def test_deepspeed_and_mmengine_take_the_stand_in(job, scratch, monkeypatch):
    """All that runs nvcc before the first iteration; a real one is not asked."""
    cpp_extension = pytest.importorskip("torch.utils.cpp_extension")
    monkeypatch.setattr(cpp_extension, "CUDA_HOME", None)
    toolkit.stand_in(scratch / render.TOOLKIT)
    _, env = child._plain(job, scratch)
    assert env["CUDA_HOME"] == str(scratch.absolute() / "cuda")
    done = subprocess.run([sys.executable, "-c", PRETEND + STARTS], env=env, capture_output=True,
                          text=True, check=False, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = done.stdout.splitlines()[-1]
    assert told == "(12, 1) Cuda compilation tools, release 12.1, a stand-in"


@pytest.mark.parametrize("has_compiler", [True, False])
def test_a_real_toolkit_is_left_as_it_is(scratch, monkeypatch, has_compiler):
    """NVIDIA's smallest images have the folder, but no compiler in it."""
    cpp_extension = pytest.importorskip("torch.utils.cpp_extension")
    real = scratch / "real"
    (real / "bin").mkdir(parents=True)
    if has_compiler:
        (real / "bin" / "nvcc").touch()
    monkeypatch.setattr(cpp_extension, "CUDA_HOME", str(real))
    toolkit.stand_in(scratch / render.TOOLKIT)
    assert (scratch / render.TOOLKIT).exists() is not has_compiler
