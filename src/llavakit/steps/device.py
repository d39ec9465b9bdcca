"""Where a step computes: on the GPU if there is one, else on the CPU."""

from __future__ import annotations

import gc
import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"
"""torch reads it once, when it first uses a GPU. In segments that grow, sizes that change from
sample to sample leave fewer holes, and what is free can be given back: DeepSpeed's run, resumed,
peaked at 45,996 MiB instead of 46,431 (on an H100).
"""

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def has_gpu() -> bool:
    """Whether torch can use a GPU."""
    import torch

    return bool(torch.cuda.is_available())


def has_bf16() -> bool:
    """Whether there is a GPU that computes in bf16, as XTuner asks for DeepSpeed's 'auto'."""
    import torch

    return has_gpu() and bool(torch.cuda.is_bf16_supported())


def local_rank() -> int:
    """Which of this host's GPUs is this process's, as torchrun tells it."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def prepare() -> None:
    """What every process that computes does first, before XTuner or mmengine is imported."""
    os.environ.setdefault(ALLOCATOR, "expandable_segments:True")
    with uncollected():
        if has_gpu():
            threading.Thread(target=_wake, daemon=True).start()
            import_deepspeed()
        else:
            use_one_thread()


def _wake() -> None:
    """Make CUDA's context, which takes seconds, beside the imports."""
    import torch

    with suppress(RuntimeError):  # whoever computes next says what is wrong
        torch.zeros(1, device=f"cuda:{local_rank()}")


@contextmanager
def uncollected() -> Iterator[None]:
    """Import within: the objects of thousands of modules stay for good, so that looking through
    them for garbage, again and again, takes an eighth of the time and finds nothing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def compute_deterministically() -> None:
    """Use only algorithms that give the same bits each time on one kind of GPU.

    cuBLAS gets a workspace of its own for each stream, and attention is computed in plain steps:
    torch 2.1's other kernels add parts of a gradient in the order in which they are done. What has
    no such algorithm warns in the log.
    """
    import torch

    os.environ.setdefault(CUBLAS, ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)


def import_deepspeed() -> None:
    """Import DeepSpeed while it sees no GPU.

    mmengine imports it with its runners, and DeepSpeed 0.14.2 asks nvcc for its version then, if
    there is a GPU: without a CUDA toolkit, which nothing here needs, that ends in
    MissingCUDAException (seen on an H100).
    """
    import torch

    is_available = torch.cuda.is_available
    os.environ.setdefault("DS_ACCELERATOR", "cuda")
    torch.cuda.is_available = lambda: False
    try:
        importlib.import_module("deepspeed")
    finally:
        torch.cuda.is_available = is_available


def use_one_thread() -> None:
    """Set this process to a single CPU thread.

    Sums are split by the number of threads, so that one thread gives the same bits on every host;
    and models small enough to be trained on a CPU gain nothing from more: an iteration of the tiny
    recipe takes 0.07 s with one thread and with two, and ten times as long with two when another
    process wants the second core.
    """
    import torch

    torch.set_num_threads(1)
