"""Foreign errors become the kit's own."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from llavakit import errors
from llavakit.errors import DataError, StepError
from llavakit.steps import faults


def test_what_an_interruption_leads_to_is_an_interruption():
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise RuntimeError("unexpected pos 64 vs 0") from None
    except RuntimeError as error:
        assert faults.explain(error, "train", Path("runs/r")).id == "step.interrupted"


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    RuntimeError("[enforce fail at inline_container.cc:588] . PytorchStreamWriter failed writing "
                 "file data/0: file write failed"),
    RuntimeError("[enforce fail at inline_container.cc:424] . unexpected pos 384 vs 342"),
    Exception("No space left on device (os error 28)"),
]  # fmt: skip


@pytest.mark.parametrize("cause", FULL)
def test_a_full_disk_is_known_however_deep(cause):
    try:
        try:
            raise cause
        except Exception as error:
            raise ValueError("wrapped") from error
    except ValueError as error:
        found = faults.explain(error, "train", Path("runs/r"))
    assert found.id == "workspace.disk-full"
    assert found.params["folder"] == "runs/r"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "step.out-of-memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "step.out-of-memory"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"), "step.gpu-memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
         "step.out-of-memory"),
        (KeyboardInterrupt(), "step.interrupted"),
        (DataError("empty", file="x"), "data.empty"),
        (ValueError("no"), None),
        (OSError(errno.ENOENT, "no"), None),
    ],
)  # fmt: skip
def test_known_errors(error, expected):
    found = faults.explain(error, "train", Path("r"))
    assert (found.id if found else None) == expected


def test_a_real_allocation_that_cannot_be_had_is_out_of_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert faults.explain(caught.value, "ask", Path("r")).id == "step.out-of-memory"


def test_the_steps_errors_cross_the_wire():
    error = StepError("failed", step="train", how="ValueError: {odd}", log="runs/r/logs/train.log")
    assert errors.from_wire(error.to_wire()).what() == error.what()
