"""Foreign errors that the kit knows, as errors of its own: those of the system, torch and CUDA.

The texts are the pinned libraries' own: the tests write to a small tmpfs, ask libcudart for the
text of each of its errors, and look for torch's in its libraries.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from llavakit.errors import Interrupted, KitError, StepError, WorkspaceError

FULL = (
    "No space left on device",  # safetensors and tokenizers, which raise no OSError
    "file write failed",  # torch's zip writer: PytorchStreamWriter
    "unexpected pos",  # the same writer when it closes the broken file
)
CODES: dict[int, str] = {
    errno.ENOSPC: "workspace.disk-full",
    errno.EDQUOT: "workspace.disk-full",
    errno.EIO: "workspace.disk-broken",
    errno.ENOMEM: "step.out-of-memory",
    errno.EACCES: "workspace.refused",
    errno.EPERM: "workspace.refused",
    errno.EROFS: "workspace.refused",
}
"""What the system refused, and the error that it means."""
TEXTS: tuple[tuple[str, str], ...] = (
    ("can't allocate memory", "step.out-of-memory"),  # torch on a CPU: DefaultCPUAllocator
    ("CUDA out of memory", "step.gpu-memory"),  # torch's allocator
    ("CUDA error: out of memory", "step.gpu-memory"),
    ("no kernel image is available for execution on the device", "step.cuda-kernels"),
    ("CUDA driver version is insufficient for CUDA runtime version", "step.cuda-driver"),
    ("The NVIDIA driver on your system is too old", "step.cuda-driver"),
    ("Found no NVIDIA driver on your system", "step.cuda-none"),
    ("No CUDA GPUs are available", "step.cuda-none"),
    ("no CUDA-capable device is detected", "step.cuda-none"),
    ("CUDA-capable device(s) is/are busy or unavailable", "step.gpu-lost"),
    ("unspecified launch failure", "step.gpu-lost"),
    ("uncorrectable ECC error encountered", "step.gpu-lost"),
    ("uncorrectable NVLink error detected", "step.gpu-lost"),
    ("CUDA error: unknown error", "step.gpu-lost"),
    ("workers are out of shared memory", "step.shared-memory"),
    ("insufficient shared memory (shm)", "step.shared-memory"),
)
"""Part of what a RuntimeError says, and the error that it means; the first counts."""


def explain(error: BaseException, step: str, folder: Path) -> KitError | None:
    """``error``, or what it was raised from, as an error of the kit; None for an unknown one."""
    chain = list(_chain(error))
    # Whatever is raised while an interruption unwinds (torch's writer, closing half a file) is its
    # consequence.
    if any(isinstance(link, KeyboardInterrupt) for link in chain):
        return Interrupted("interrupted", step=step)
    for link in chain:
        if isinstance(link, KitError):
            return link
        if known := _known(link):
            return _made(known, link, step, folder)
    return None


def _known(error: BaseException) -> str:
    """The id of the error that ``error`` means; empty for an unknown one."""
    if isinstance(error, OSError):
        known = CODES.get(error.errno or 0, "")
        # A refusal without a path is some library's own affair.
        return "" if known == "workspace.refused" and not error.filename else known
    said = str(error)
    if any(text in said for text in FULL):
        return "workspace.disk-full"
    if isinstance(error, MemoryError):
        return "step.out-of-memory"
    if isinstance(error, RuntimeError):
        return next((known for text, known in TEXTS if text in said), "")
    return ""


def _made(known: str, error: BaseException, step: str, folder: Path) -> KitError:
    prefix, _, name = known.partition(".")
    why = (str(error).splitlines() or [type(error).__name__])[0]
    if prefix == "step":
        return StepError(name, step=step, why=why)
    if name == "refused":
        return WorkspaceError(name, path=getattr(error, "filename", folder), why=why)
    return WorkspaceError(name, folder=folder, why=why)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
