"""A train step of one process whose learning rates are those of two ranks, read from rates.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from llavakit.steps import common, train, trainer, xtuner_patches

RATES = json.loads(Path("rates.json").read_text())
RUN = trainer.run


def run(*args: Any) -> None:
    from mmengine.hooks import Hook

    class Rates(Hook):  # type: ignore[misc]
        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            for group in runner.optim_wrapper.optimizer.param_groups:
                group["lr"] = RATES[batch_idx // 2]

    xtuner_patches.register_hook(Rates())
    RUN(*args)


trainer.run = run
sys.exit(common.run("train", train.make, train.arguments))
