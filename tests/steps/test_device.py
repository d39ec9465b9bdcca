"""The device: what a process does before it computes."""

from __future__ import annotations

import subprocess
import sys

PRETEND = "import torch; torch.cuda.is_available = lambda: True; "
"""torch says so on a host with a GPU; DeepSpeed asks nothing else when it is imported."""


def run(code):
    return subprocess.run(
        [sys.executable, "-c", PRETEND + code], capture_output=True, text=True, timeout=120,
        env={"PYTHONPATH": "src", "PATH": "/usr/bin:/bin"}, check=False,
    )  # fmt: skip


def test_deepspeed_alone_wants_a_cuda_toolkit_where_there_is_a_gpu():
    assert "fp_quantizer" in run("import deepspeed").stderr, "MissingCUDAException, on the host"


def test_a_step_imports_it_without_one():
    done = run(
        "from llavakit.steps.device import prepare; prepare(); import deepspeed;"
        "from deepspeed.accelerator import get_accelerator as get;"
        "print(get().device_name(), torch.cuda.is_available())"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["cuda", "True"]


def test_the_same_bits_each_time_are_asked_of_torch_and_cublas():
    done = run(
        "import os; from llavakit.steps import device; device.compute_deterministically();"
        "print(torch.are_deterministic_algorithms_enabled(), os.environ[device.CUBLAS],"
        "torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled(),"
        "torch.backends.cuda.math_sdp_enabled())"
    )
    assert done.stdout.split() == ["True", ":4096:8", "False", "False", "True"], done.stderr


def test_imports_are_not_searched_for_garbage_and_everything_else_is():
    done = run(
        "import gc; from llavakit.steps import device\n"
        "with device.uncollected(): print(gc.isenabled()); import json\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 0)"
    )
    assert done.stdout.split() == ["False", "True", "True"], done.stderr
