"""XTuner's own trainer in this process: no second start-up, and a failure is an exception."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llavakit.steps import lean
from llavakit.steps.ahead import Draws
from llavakit.steps.checkpoints import Checkpoint
from llavakit.steps.device import compute_deterministically, has_gpu, uncollected
from llavakit.steps.plan import Plan

CONFIG = "config.py"
DEEPSPEED = "deepspeed.json"


def run(folder: Path, planned: Plan, start: Checkpoint | None, hook: Any, draws: Draws) -> None:
    """Train what was rendered into ``folder``, from ``start``; ``hook`` is mmengine's."""
    with uncollected():
        from xtuner.tools import train

    if planned.deterministic:
        compute_deterministically()
    _patch(planned, hook, draws)
    argv = ["train", (folder / CONFIG).as_posix(), "--work-dir", folder.as_posix()]
    if start:
        argv += ["--resume", start.path.as_posix()]
    if planned.deepspeed:
        argv += ["--deepspeed", (folder / DEEPSPEED).as_posix()]
        _single_process_group()
    if planned.ranks > 1:
        argv += ["--launcher", "pytorch"]
    with argv_of(argv):
        train.main()


def _patch(planned: Plan, hook: Any, draws: Draws) -> None:
    """For the life of the process; :mod:`xtuner_patches` says why of each."""
    from llavakit.steps import xtuner_patches

    xtuner_patches.never_run_foreign_code()
    xtuner_patches.map_in_this_process()
    xtuner_patches.keep_rendered_config()
    xtuner_patches.load_projector_safely()
    xtuner_patches.begin_adapters_with(draws)
    xtuner_patches.register_hook(hook)
    if planned.memory or planned.deepspeed:  # the whole model has one number format then
        expand = planned.memory is not None and planned.memory.frozen == "expanded"
        xtuner_patches.register_hook(lean.hook(expand=expand))
    if planned.memory:
        from llavakit.steps import optimizer

        xtuner_patches.prepare_without_fp32_copies()
        for each in optimizer.hooks():
            xtuner_patches.register_hook(each)
    if planned.deepspeed and not has_gpu():
        xtuner_patches.run_deepspeed_without_gpu()
    if planned.ranks > 1:
        xtuner_patches.look_at_answers_on_one_rank()


def _single_process_group() -> None:
    """What torchrun would set. Without it DeepSpeed asks MPI and then ``hostname -I``, which has
    no answer in a container without a network.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    values = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    for name, value in values.items():
        os.environ.setdefault(name, value)


@contextmanager
def argv_of(argv: list[str]) -> Iterator[None]:
    """XTuner's tools read ``sys.argv``."""
    before, sys.argv = sys.argv, argv
    try:
        yield
    finally:
        sys.argv = before
