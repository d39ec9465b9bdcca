"""A stage's turn on its GPU, and who has it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llavakit.engines.base import Job
from llavakit.errors import StepError
from llavakit.host import jobs, nvidia, preflight, turns
from llavakit.host.plan import Stage
from llavakit.host.turns import Holder

if TYPE_CHECKING:
    from llavakit.host.pipeline import Pipeline

FREEING_SECONDS = 15.0


@contextlib.contextmanager
def turn(
    pipeline: Pipeline, label: str, job: Job, access: str, stages: Sequence[Stage]
) -> Iterator[None]:
    """Have the turn on the GPUs that the job uses.

    After waiting for it, what ``stages`` need is looked at, which was not while another run had it.
    """
    trains = any(stage.step == "train" for stage in stages)
    ranks = pipeline.plan.recipe.train.ranks if trains else 1
    what, engine = f"{label}, {pipeline.plan.run_id}", pipeline.engine().name
    holder = Holder(what, engine, str(pipeline.workspace.root), dict(job.labels))
    waited = False
    with contextlib.ExitStack() as stack:
        for name in used(job.gpus, access, ranks):
            asked = turns.turn(pipeline.settings.gpu_locks, name, holder, goes_on,
                               partial(_on_wait, pipeline, label, name))  # fmt: skip
            waited = stack.enter_context(asked) or waited
        if waited:
            pipeline.tell(state="running", waits_for="")
            _look_again(pipeline, stages)
        yield


def _on_wait(pipeline: Pipeline, label: str, name: str, other: Holder | None) -> None:
    who = other.words() if other else "?"
    pipeline.tell(state="waiting", stage=label, waits_for=who)
    pipeline.screen.tell(label, "stage.gpu-taken", gpu=name, who=who)


def _look_again(pipeline: Pipeline, stages: Sequence[Stage]) -> None:
    """The memory of a job that has ended takes a moment to be free."""
    deadline = time.monotonic() + FREEING_SECONDS
    while True:
        try:
            return pipeline.check_gpu(stages, has_turn=True)
        except StepError as error:
            if error.name not in ("busy-gpu", "little-memory") or time.monotonic() > deadline:
                raise
        time.sleep(1)


def used(gpus: str, access: str, ranks: int) -> list[str]:
    """The UUIDs of the GPUs that a job with ``gpus`` uses: of those that it is given the first, one
    for each of its ``ranks``; none where nobody can tell them. Always in one order, so that no two
    runs wait for one another.
    """
    if gpus == "none":
        return []
    given = preflight.visible(gpus, access)
    if given.startswith("MIG-"):
        return sorted(set(given.split(",")[:ranks]))
    chosen = nvidia.chosen(nvidia.gpus() or [], given)
    return sorted({gpu.uuid for gpu in chosen[:ranks]})


def goes_on(holder: Holder) -> bool:
    """Whether the job that had the turn last still runs."""
    return bool(jobs.running(holder.engine, Path(holder.workspace), holder.labels))


def is_taken(folder: Path, gpus: str, access: str, ranks: int) -> bool:
    """Whether another run has the turn on a GPU that a job with ``gpus`` would use."""
    names = used(gpus, access, ranks)
    return any(turns.taken_by(folder, name, goes_on) is not None for name in names)
