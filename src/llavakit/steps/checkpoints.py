"""XTuner's checkpoints: which are there, and which are whole.

A checkpoint is a file ``iter_N.pth`` or, with DeepSpeed, a folder of that name that holds one
``*_model_states.pt`` and one ``*_optim_states.pt`` a process. All of them are zip archives, whose
directory stands at the end: a file whose writer was killed or ran out of disk has none.

Three quarters and more of a checkpoint are the optimizer's. When the training has ended nobody
resumes from it, and :func:`consolidate` leaves the trained weights alone: ``iter_N_weights.pth``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from llavakit.steps import weights
from llavakit.steps.outputs import remove

WEIGHTS = "_weights.pth"
"""The end of the name of the file that stays of a finished run."""
_NAME = re.compile(r"iter_(\d+)\.pth")


class Checkpoint(NamedTuple):
    """``iteration`` is the number of iterations that are done in it."""

    iteration: int
    path: Path


def found(folder: Path) -> list[Checkpoint]:
    """All checkpoints in ``folder``, whole or not, the oldest first."""
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.glob("iter_*.pth"))
    return sorted(Checkpoint(int(match[1]), path) for match, path in matches if match)


def is_whole(path: Path, world_size: int = 1) -> bool:
    """Whether nothing of a checkpoint is missing. Cheap: reads directories, not the tensors."""
    if path.is_file():
        return _is_whole_archive(path)
    models = list(path.glob("*_model_states.pt"))
    optimizers = list(path.glob("*_optim_states.pt"))
    if not models or len(optimizers) < world_size:
        return False
    return all(map(_is_whole_archive, [*models, *optimizers]))


def newest(folder: Path, world_size: int = 1) -> Checkpoint | None:
    """The newest whole checkpoint of ``folder``; torn ones are removed."""
    whole = [item for item in found(folder) if _keep_whole(item, world_size)]
    return whole[-1] if whole else None


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest ``keep``: XTuner forgets after a resume what it saved before."""
    for item in found(folder)[:-keep]:
        remove(item.path)


def weights_of(folder: Path, iteration: int) -> Path:
    """Where the trained weights lie when ``iteration`` was the last one."""
    return folder / f"iter_{iteration}{WEIGHTS}"


def consolidate(source: Path, target: Path) -> None:
    """Write the weights of the checkpoint ``source`` to ``target``, by rename.

    They are the numbers that XTuner's converter would read from ``source``, in fp32 where
    DeepSpeed trained in another format. Equal weights give equal bytes.
    """
    import torch

    partial = target.with_name(f".{target.name}")
    try:
        with partial.open("wb") as file:
            torch.save({"state_dict": _weights(source)}, file)
            file.flush()
            os.fsync(file.fileno())  # the checkpoint itself is removed next
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _weights(source: Path) -> dict[str, Any]:
    if source.is_file():
        return weights.tensors(source)
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    with mapped():
        return dict(get_fp32_state_dict_from_zero_checkpoint(source.parent, source.name))


@contextlib.contextmanager
def mapped() -> Iterator[None]:
    """Within, torch maps what it loads: only the parts that are used are read, and none is copied
    to memory first. Of the tutorial's 19 GB these are the 6 GB of weights.
    """
    import torch

    load, torch.load = torch.load, functools.partial(torch.load, mmap=True)
    try:
        yield
    finally:
        torch.load = load


def files(path: Path) -> list[Path]:
    """The files of one checkpoint."""
    return [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())


def _keep_whole(item: Checkpoint, world_size: int) -> bool:
    if is_whole(item.path, world_size):
        return True
    remove(item.path)
    return False


def _is_whole_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, FileNotFoundError, ValueError):
        return False  # any other OSError says nothing about the file, which must not be removed
