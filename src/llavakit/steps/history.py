"""The loss of every iteration: as events while training runs, as history.json when it ends.

``history.jsonl`` grows by a line an iteration, before XTuner writes that iteration's checkpoint;
after a crash it is therefore never shorter than a checkpoint and is cut back to it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llavakit.events import EventWriter
from llavakit.locks import write_atomic, write_json
from llavakit.phrases import Phrase, phrase

LINES = "history.jsonl"
FINAL = "history.json"


class History:
    """Losses and learning rates of a run, kept in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._lines = folder / LINES
        self._final = folder / FINAL

    def rows(self) -> list[dict[str, Any]]:
        """``{"iteration", "loss", "lr"}`` of every iteration so far; a torn line is left out."""
        try:
            text = self._lines.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def cut(self, iteration: int) -> None:
        """Forget what came after ``iteration``."""
        kept = [row for row in self.rows() if row["iteration"] <= iteration]
        write_atomic(self._lines, "".join(json.dumps(row) + "\n" for row in kept))

    def add(self, iteration: int, loss: float, lr: float) -> None:
        """Append one iteration; ``loss`` is nan or inf where training diverged."""
        row = {"iteration": iteration, "loss": loss, "lr": lr}
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def missing(self, iterations: int) -> Phrase | None:
        """What a complete history of ``iterations`` lacks; None when nothing."""
        rows = self.rows()
        if [row["iteration"] for row in rows] != list(range(1, iterations + 1)):
            return phrase("lacks.iterations", found=len(rows), wanted=iterations)
        bad = [row["iteration"] for row in rows if not math.isfinite(row["loss"])]
        return phrase("lacks.finite", n=bad[0]) if bad else None

    def finish(self) -> Path:
        """Write and name history.json."""
        write_json(self._final, self.rows())
        return self._final


def make_hook(
    history: History, events: EventWriter, total: int, number: Callable[[Any], float] = float
) -> Any:
    """A mmengine hook that records every iteration. Register it before XTuner's own hooks run:
    the scheduler changes the learning rate and the checkpoint is written after the same iteration.

    ``number`` makes one of a loss, a tensor of one element.
    """
    from mmengine.hooks import Hook

    class Recorder(Hook):  # type: ignore[misc]
        priority = "HIGHEST"

        def before_train(self, runner: Any) -> None:
            dataset = runner.train_dataloader.dataset
            cut = sum(len(ids) >= dataset_limit(runner) for ids in dataset.text_data["input_ids"])
            if cut:
                events.note("note.cut", cut=cut, all=len(dataset))

        def after_train_iter(
            self,
            runner: Any,
            batch_idx: int,
            data_batch: Any = None,
            outputs: Any = None,
        ) -> None:
            loss = number(outputs["loss"])
            lr = float(runner.optim_wrapper.get_lr()["lr"][0])
            history.add(batch_idx + 1, loss, lr)
            events.emit("iteration", n=batch_idx + 1, of=total, loss=loss, lr=lr, **_gpu_memory())

    def dataset_limit(runner: Any) -> int:
        return int(runner.cfg.train_dataloader.dataset.max_length)

    return Recorder()


def _gpu_memory() -> dict[str, int]:
    """Memory in use on the GPU, in MiB, as nvidia-smi counts it: everything, of every process."""
    import torch

    if not torch.cuda.is_available():
        return {}
    free, total = torch.cuda.mem_get_info()
    return {"memory_mib": (total - free) >> 20}
