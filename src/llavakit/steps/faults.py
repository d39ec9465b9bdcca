"""Foreign errors that the kit knows, as errors of its own.

The texts of :data:`FULL` were captured by writing to a small tmpfs with the pinned versions; the
tests do it again.
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
NO_MEMORY = (
    "can't allocate memory",  # torch on a CPU: DefaultCPUAllocator
    "CUDA out of memory",
    "CUDA error: out of memory",
)


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
        if _is_full(link):
            return WorkspaceError("disk-full", folder=folder, why=_first_line(link))
        if _is_out_of_memory(link):
            return StepError("out-of-memory", step=step, why=_first_line(link))
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return any(text in str(error) for text in FULL)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
