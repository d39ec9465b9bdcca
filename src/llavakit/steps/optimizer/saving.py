"""Checkpoints with the fp32 master weights, without a second copy of everything in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmengine.hooks import Hook

from llavakit.steps import checkpoints
from llavakit.steps.optimizer.adamw import MixedPrecisionAdamW
from llavakit.steps.optimizer.places import of_its_own


class MasterWeightsHook(Hook):  # type: ignore[misc]
    """Puts master weights into checkpoints in the place of the rounded ones, and takes them back.

    What was saved is then what DeepSpeed's checkpoint gives: fp32. mmengine itself rounds it to
    the model's format when it loads it.
    """

    def before_run(self, runner: Any) -> None:
        """Let mmengine read a checkpoint to the host: its default is the GPU, all of it."""
        runner.resume = functools.partial(_resume, runner.resume)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Replace the trained weights. Raises ValueError where the model saves one not at all."""
        masters = _optimizer(runner).masters()
        for name, param in _trained(runner, masters):
            checkpoint["state_dict"][name] = of_its_own(masters.pop(id(param)).cpu())
        if masters:
            raise ValueError(f"{len(masters)} trained parameters are not in the checkpoint")

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Take the weights. Raises ValueError where one is missing."""
        optimizer = _optimizer(runner)
        saved = checkpoint["state_dict"]
        pairs = _trained(runner, optimizer.masters())
        optimizer.load_masters({id(param): saved[name] for name, param in pairs if name in saved})


def hooks() -> list[Any]:
    """What mmengine's runner has to be given before it trains.

    Changes mmengine and XTuner for the life of the process, for checkpoints of many GiB:

    * mmengine writes a checkpoint to memory first: here it goes straight to the disk.
    * XTuner reads the whole of a checkpoint to look up its seed: here it is mapped.
    """
    import mmengine.runner.runner as runner
    import xtuner.tools.train as train

    runner.save_checkpoint = _save
    train.get_seed_from_checkpoint = _seed
    return [MasterWeightsHook()]


def _save(checkpoint: dict[str, Any], filename: str, **_: Any) -> None:
    """A file that is torn has no directory of its archive: see ``checkpoints.is_whole``."""
    torch.save(checkpoint, filename)


def _seed(path: str) -> int | None:
    seed: int | None = torch.load(path, map_location="cpu", mmap=True)["meta"]["seed"]
    return seed


def _resume(resume: Callable[..., None], filename: str, **options: Any) -> None:
    with checkpoints.mapped():
        resume(filename, **{**options, "map_location": "cpu"})


def _optimizer(runner: Any) -> MixedPrecisionAdamW:
    optimizer: MixedPrecisionAdamW = runner.optim_wrapper.optimizer
    return optimizer


def _trained(runner: Any, masters: dict[int, Any]) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The trained parameters with the names that the model saves them by: the same objects."""
    state = runner.model.state_dict(keep_vars=True)
    return ((name, param) for name, param in state.items() if id(param) in masters)
