"""nvidia-smi's answers: parsed, or left alone."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest

from llavakit.host import nvidia
from llavakit.host.nvidia import Gpu, Holder

H100 = """\
0, GPU-d953a830-f85b-a588-0f24-0d74414ddca8, NVIDIA H100 80GB HBM3, 580.159.04, 81559, 39593, 9.0
"""
"""Captured with driver 580 while a process held 40 GiB; so are the two below."""
HELD = "GPU-d953a830-f85b-a588-0f24-0d74414ddca8, 419, 41478, python3\n"
NO_FIELD = 'Field "compute_cap" is not a valid field to query.\n\n'
TWO = """\
0, GPU-00000000-0000-0000-0000-00000000000a, NVIDIA L20, 550.54.15, 46068, 45500, 8.9
1, GPU-00000000-0000-0000-0000-00000000000b, Tesla K80, 470.57.02, 11441, 11441, 3.7
"""


def test_a_gpu_is_read_whole() -> None:
    [gpu] = nvidia.parse(H100)
    assert gpu == Gpu(
        0, "GPU-d953a830-f85b-a588-0f24-0d74414ddca8", "NVIDIA H100 80GB HBM3", "580.159.04",
        81559, 39593, (9, 0),
    )  # fmt: skip
    assert gpu.words() == (
        "GPU 0: NVIDIA H100 80GB HBM3, 39593 of 81559 MiB free, driver 580.159.04, "
        "GPU-d953a830-f85b-a588-0f24-0d74414ddca8"
    )


@pytest.mark.parametrize(
    "text",
    ["", "\n", "No devices were found\n", "0, GPU-1, X, 550, [N/A], [N/A], 8.0", "[Unknown Error]",
     "0, GPU-1, X, 550, 100", "NVIDIA-SMI has failed because it couldn't communicate with ..."],
)  # fmt: skip
def test_what_is_no_gpu_is_left_out(text: str) -> None:
    assert nvidia.parse(text) == []


def test_an_old_driver_is_asked_again_without_what_it_does_not_know() -> None:
    asked: list[str] = []

    def ask(arguments: Sequence[str]) -> str:
        asked.extend(arguments)
        if "compute_cap" in arguments[0]:
            raise subprocess.CalledProcessError(2, "nvidia-smi", NO_FIELD)
        return "0, GPU-1, Tesla V100, 440.33, 16160, 16000\n"

    assert nvidia.gpus(ask) == [Gpu(0, "GPU-1", "Tesla V100", "440.33", 16160, 16000, None)]
    assert len(asked) == 2


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError("nvidia-smi"), subprocess.TimeoutExpired("nvidia-smi", 10),
     subprocess.CalledProcessError(9, "nvidia-smi")],
)  # fmt: skip
def test_without_an_answer_nothing_is_known(error: Exception) -> None:
    def ask(_: Sequence[str]) -> str:
        raise error

    assert nvidia.gpus(ask) is None
    assert nvidia.holders(nvidia.parse(H100)[0], ask) == []


def test_holders_are_those_of_this_gpu_the_largest_first() -> None:
    [gpu] = nvidia.parse(H100)
    text = HELD + f"{gpu.uuid}, 7, [N/A], a, b\n{gpu.uuid}, 8, 50000, x\nGPU-other, 9, 1, y\n"
    found = nvidia.holders(gpu, lambda _: text + "[Not Supported]\n")
    assert [holder.pid for holder in found] == [8, 419, 7]
    assert found[1] == Holder(gpu.uuid, 419, "python3", 41478)
    assert found[1].words() == "python3 (process 419): 41478 MiB"
    assert found[2].words() == "a, b (process 7): an unknown amount"


@pytest.mark.parametrize(
    ("gpus", "indices"),
    [("all", [0, 1]), ("1", [1]), ("1,0", [1, 0]), ("2", []),
     ("GPU-00000000-0000-0000-0000-00000000000b", [1]), ("", [])],
)  # fmt: skip
def test_the_chosen_ones_are_found(gpus: str, indices: list[int]) -> None:
    assert [gpu.index for gpu in nvidia.chosen(nvidia.parse(TWO), gpus)] == indices
