"""The train step: render XTuner's config, run XTuner's own trainer, and look at what it left.

XTuner ends with exit status 0 whatever happened. Here success is what the artefacts prove: a whole
checkpoint of the last iteration, as many iterations as planned, every loss finite.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from llavakit.errors import StepError
from llavakit.locks import StepLock, file_sha256, write_atomic, write_json
from llavakit.phrases import phrase
from llavakit.steps import (
    ahead,
    checkpoints,
    common,
    hosts,
    machine,
    outputs,
    plan,
    ranks,
    room,
    trainer,
    weights,
)
from llavakit.steps.common import Job
from llavakit.steps.device import has_bf16, has_gpu, prepare
from llavakit.steps.history import History, make_hook
from llavakit.steps.plan import Machine, Plan
from llavakit.steps.trainer import CONFIG, DEEPSPEED

BEGUN = "begun.json"
"""Which key the files in the folder belong to, from the first moment on."""


def make(job: Job) -> None:
    """Train in ``RUN/train``, from the newest whole checkpoint if one is there.

    Raises WeightsError, WorkspaceError ``too-little-disk``, and StepError ``needs-gpu``,
    ``needs-bf16``, ``no-evaluation-picture`` and ``no-result``.
    """
    folder = job.run / "train"
    _begin(folder, job.key)
    weights.read_ahead(job.args.weights)
    if (
        job.recipe.train.ranks == 1
    ):  # else this process trains nothing, and its ranks say what they are
        prepare()
        job.events.emit("machine", **machine.describe())
    planned = plan.make(job.recipe, job.args.weights, job.args.data, _machine(job))
    for note in planned.notes:
        job.events.say(note)
    write_atomic(folder / CONFIG, plan.render(planned))
    if planned.deepspeed:
        write_json(folder / DEEPSPEED, planned.deepspeed)
    history = History(folder)
    trained = checkpoints.weights_of(folder, planned.iterations)
    try:
        if not (checkpoints.is_whole(trained) and not history.missing(planned.iterations)):
            outputs.remove(trained)
            _train(folder, planned, history, job)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            checkpoints.newest(folder, _here(job))  # removes a torn one
        raise
    _finish(folder, planned, history, job)


def _train(folder: Path, planned: Plan, history: History, job: Job) -> None:
    with hosts.meeting(job, lambda: _usable(folder, planned, history, job)) as met:
        if met:
            _keep_only(folder, met.common)
        start = _resume_point(folder, history, job)
        if not job.args.unsaved:
            _check_room(folder, planned, job)
        done = start is not None and start.iteration >= planned.iterations
        if not done and planned.ranks > 1:
            job.events.note("note.loading")
            ranks.run(job, start, met)
        elif not done:
            _train_alone(folder, planned, history, job, start)
    last, leads = folder / f"iter_{planned.iterations}.pth", _leads(job)
    missing = history.missing(planned.iterations)
    if not checkpoints.is_whole(last, planned.ranks if leads else _here(job)):
        missing = phrase("lacks.checkpoint", name=last.name)
    if missing:
        log = (job.run / "logs" / "train.log").as_posix()
        raise StepError("no-result", step="train", missing=missing, log=log)
    checkpoints.prune(folder, 1)
    if leads:
        checkpoints.consolidate(last, checkpoints.weights_of(folder, planned.iterations))


def _train_alone(folder: Path, planned: Plan, history: History, job: Job,
                 start: checkpoints.Checkpoint | None) -> None:  # fmt: skip
    draws = ahead.draw(job.recipe, job.args.weights, planned.values["projector_depth"])
    hook = make_hook(history, job.events, planned.iterations)
    job.events.note("note.loading")
    trainer.run(folder, planned, start, hook, draws)


def _leads(job: Job) -> bool:
    """Whether the result comes to this host: where there is one, or that of rank 0."""
    return bool(job.args.node_rank == 0)


def _here(job: Job) -> int:
    """How many ranks this host has, and with that shares of a checkpoint."""
    return job.recipe.train.ranks // int(job.args.nodes)


def _usable(folder: Path, planned: Plan, history: History, job: Job) -> list[int]:
    """Iterations of this host's whole checkpoints that its history reaches.

    The last one counts on host 0 when the other hosts' weights are in it.
    """
    checkpoints.newest(folder, _here(job))  # removes torn ones
    rows = len(history.rows())
    whole = [item for item in checkpoints.found(folder) if item.iteration <= rows]
    if _leads(job):
        whole = [item for item in whole if item.iteration < planned.iterations
                 or checkpoints.is_whole(item.path, planned.ranks)]  # fmt: skip
    return [item.iteration for item in whole]


def _keep_only(folder: Path, iterations: list[int]) -> None:
    for item in checkpoints.found(folder):
        if item.iteration not in iterations:
            outputs.remove(item.path)


def _begin(folder: Path, key: str) -> None:
    """Make ``folder`` ready for ``key``: checkpoints of other inputs must never be resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    mine = StepLock(folder / BEGUN)
    if (mine.read() or {}).get("key") != key:
        for path in folder.iterdir():
            outputs.remove(path)
        mine.write("train", key, [])
    _drop_changed_weights(folder)
    (folder / outputs.LOCK).unlink(missing_ok=True)


def _drop_changed_weights(folder: Path) -> None:
    """Weights that are not what was locked are never locked anew: nothing else gives them away."""
    for name, locked in StepLock(folder / outputs.LOCK).hashes().items():
        path = folder / name
        if name.endswith(checkpoints.WEIGHTS) and path.is_file() and file_sha256(path) != locked:
            outputs.remove(path)


def _machine(job: Job) -> Machine:
    return Machine(has_gpu(), job.recipe.train.ranks, has_bf16(), job.args.nodes)


def _check_room(folder: Path, planned: Plan, job: Job) -> None:
    keeps = job.recipe.train.checkpoints
    parameters = room.trainable(job.recipe, job.args.weights)
    needed = room.needed(parameters, planned, keeps.every, keeps.keep)
    job.events.note("note.room", gib=room.gib(needed.peak))
    room.check(needed, folder)


def _resume_point(folder: Path, history: History, job: Job) -> checkpoints.Checkpoint | None:
    begun = bool(history.rows() or checkpoints.found(folder))
    start = checkpoints.newest(folder, _here(job))
    iteration = start.iteration if start else 0
    history.cut(iteration)
    if len(history.rows()) != iteration:  # the history was lost: its losses cannot be had again
        for item in checkpoints.found(folder):
            outputs.remove(item.path)
        history.cut(0)
        start = None
    if start:
        job.events.note("note.resumes", n=iteration)
    elif begun:
        job.events.note("note.starts-over")
    return start


def _finish(folder: Path, planned: Plan, history: History, job: Job) -> None:
    """Keep what convert needs, and lock it; killed in here, the next call does it again."""
    for item in checkpoints.found(folder):
        outputs.remove(item.path)
    # mmengine keeps the absolute path of the last checkpoint in one, DeepSpeed a script of its own.
    for name in ("last_checkpoint", "zero_to_fp32.py"):
        outputs.remove(folder / name)
    trained = checkpoints.weights_of(folder, planned.iterations)
    made = [folder / CONFIG, history.finish(), *([trained] if _leads(job) else [])]
    if planned.deepspeed:
        made.append(folder / DEEPSPEED)
    StepLock(folder / outputs.LOCK).write(
        job.step,
        job.key,
        made,
        iterations=planned.iterations,
        final_loss=history.rows()[-1]["loss"],
        checkpoint=trained.name,
    )


def arguments(parser: argparse.ArgumentParser) -> None:
    """What a training is told besides what every step is."""
    parser.add_argument("--nodes", type=int, default=1, help="hosts that train together")
    parser.add_argument("--node-rank", type=int, default=0, help="which of them this one is")
    parser.add_argument("--rendezvous", default="", help="HOST:PORT of host 0, where they meet")
    parser.add_argument("--weights", type=Path, required=True, help="the folder models/NAME")
    parser.add_argument("--data", type=Path, required=True, help="the folder data/NAME")
    parser.add_argument("--unsaved", action="store_true",
                        help="it is stopped before a checkpoint: none needs room")  # fmt: skip


if __name__ == "__main__":
    sys.exit(common.run("train", make, arguments))
