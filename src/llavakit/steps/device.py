"""Where a step computes: on the GPU if there is one, else on the CPU."""

from __future__ import annotations


def has_gpu() -> bool:
    """Whether torch can use a GPU."""
    import torch

    return bool(torch.cuda.is_available())


def has_bf16() -> bool:
    """Whether there is a GPU that computes in bf16, as XTuner asks for DeepSpeed's 'auto'."""
    import torch

    return has_gpu() and bool(torch.cuda.is_bf16_supported())


def use_one_thread_without_gpu() -> None:
    """Set this process to a single CPU thread where it has no GPU.

    Sums are split by the number of threads, so that one thread gives the same bits on every host;
    and models small enough to be trained on a CPU gain nothing from more: an iteration of the tiny
    recipe takes 0.07 s with one thread and with two, and ten times as long with two when another
    process wants the second core.
    """
    import torch

    if not has_gpu():
        torch.set_num_threads(1)
