"""The table from foreign errors to ours: its texts are what the pinned libraries say."""

import ctypes
import errno
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llavakit.messages import TABLE
from llavakit.steps import faults

CUDA = {2: "step.gpu-memory", 35: "step.cuda-driver", 46: "step.gpu-lost", 100: "step.cuda-none",
        209: "step.cuda-kernels", 214: "step.gpu-lost", 220: "step.gpu-lost",
        719: "step.gpu-lost", 999: "step.gpu-lost"}  # fmt: skip
"""Numbers of cudaError_t (driver_types.h of CUDA 12.1), and what they mean to a user."""


OF_CUDA = ("no kernel image", "CUDA driver version", "no CUDA-capable", "CUDA-capable device",
           "unspecified launch", "uncorrectable ", "CUDA error: ")  # fmt: skip
"""Texts that torch quotes from CUDA."""


def found(error):
    made = faults.explain(error, "train", Path("runs/r"))
    return made.id if made else None


def package(name):
    spec = importlib.util.find_spec(name)
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations)))


@pytest.fixture(scope="module")
def cudart():
    library = ctypes.CDLL(str(package("nvidia") / "cuda_runtime" / "lib" / "libcudart.so.12"))
    library.cudaGetErrorString.restype = ctypes.c_char_p
    return library


@pytest.mark.parametrize("number", sorted(CUDA))
def test_each_error_of_cuda_in_cuda_s_own_words(cudart, number):
    text = cudart.cudaGetErrorString(number).decode()
    said = f"CUDA error: {text}\nCUDA kernel errors might be asynchronously reported"  # torch's
    assert found(RuntimeError(said)) == CUDA[number]


def test_torch_says_what_the_table_has():
    libraries = [package("torch") / "lib" / name for name in ("libc10_cuda.so", "libtorch_cpu.so",
                 "libtorch_python.so", "libc10.so", "libtorch_cuda.so")]  # fmt: skip
    texts = b"".join(path.read_bytes() for path in libraries if path.is_file())
    source = "".join(path.read_text() for path in (package("torch") / "utils/data").rglob("*.py"))
    for text, _ in faults.TEXTS:
        if not text.startswith(OF_CUDA):
            assert text.encode() in texts or text in source, text


@pytest.mark.parametrize("number", sorted(faults.CODES))
def test_each_refusal_of_the_system(number):
    assert found(OSError(number, os.strerror(number), "runs/r/x")) == faults.CODES[number]


def test_what_the_table_leads_to_is_there():
    for known in (*faults.CODES.values(), *(known for _, known in faults.TEXTS)):
        assert known in TABLE
        for lang in ("en", "zh"):
            assert getattr(TABLE[known], lang).remedy


def test_a_refusal_without_a_path_is_a_library_s_own_affair():
    assert found(PermissionError(errno.EACCES, "no")) is None
    assert found(ConnectionRefusedError(errno.ECONNREFUSED, "no", "x")) is None


def test_a_read_only_folder_is_named():
    error = OSError(errno.EROFS, "Read-only file system", "/workspace/runs/r/train/config.py")
    made = faults.explain(error, "train", Path("runs/r"))
    assert made.params["path"] == "/workspace/runs/r/train/config.py"


WORKER = """
import os, signal, sys
import torch
from torch.utils.data import DataLoader
class Data:
    def __len__(self): return 4
    def __getitem__(self, index): os.kill(os.getpid(), signal.SIGBUS)
if __name__ == "__main__":
    try:
        list(DataLoader(Data(), num_workers=1))
    except RuntimeError as error:
        from pathlib import Path
        from llavakit.steps import faults
        made = faults.explain(error, "train", Path("r"))
        print(made.id if made else repr(error))
"""


def test_a_worker_that_dies_of_too_little_shared_memory():
    """The kernel ends whoever writes beyond /dev/shm with a bus error; torch says the rest."""
    done = subprocess.run(
        [sys.executable, "-c", WORKER], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "step.shared-memory", done.stderr[-800:]
