"""One rank of several: a process that trains with the others, started as torchrun starts it.

:mod:`ranks` starts ``python -m llavakit.steps.rank`` and is told why it fails by the file that
TORCHELASTIC_ERROR_FILE names. One rank of a host writes events and history there, rank 0 alone
what XTuner looks at; every rank writes its share of a checkpoint.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llavakit import recipe as recipes
from llavakit.errors import KitError, StepError
from llavakit.events import EventWriter
from llavakit.steps import ahead, common, machine, plan, shares, trainer, weights, xtuner_patches
from llavakit.steps.checkpoints import Checkpoint, found
from llavakit.steps.device import has_bf16, has_gpu, local_rank, prepare
from llavakit.steps.history import History, make_hook
from llavakit.steps.outputs import remove
from llavakit.steps.plan import Machine

HOST = "LLAVAKIT_HOST"
"""The host's own name, which a container does not know."""
PR_SET_PDEATHSIG = 1
LOST = (
    "by peer",
    "Broken pipe",
    "NCCL",
    "Socket Timeout",
    "Timed out waiting",
    "Application timeout",
)
"""Parts of what gloo, NCCL and torch's store say when another rank is gone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train as one rank; the exit status. RANK, WORLD_SIZE and the like are torchrun's."""
    args = _parse(argv)
    _end_with_parent()
    try:
        _train(args)
    except (Exception, KeyboardInterrupt) as error:
        _tell(_known(error, args.run))
        return 1
    return 0


def _train(args: argparse.Namespace) -> None:
    recipe, rank = recipes.load(args.recipe), int(os.environ["RANK"])
    weights.read_ahead(args.weights)
    prepare()
    here = Machine(has_gpu(), int(os.environ["WORLD_SIZE"]), has_bf16(),
                   int(os.environ["GROUP_WORLD_SIZE"]))  # fmt: skip
    planned = plan.make(recipe, args.weights, args.data, here)
    events, folder = EventWriter(args.run, "train"), args.run / "train"
    draws = ahead.draw(recipe, args.weights, planned.values["projector_depth"])
    start = Checkpoint(args.iteration, args.resume) if args.resume else None
    tells = local_rank() == 0  # one for each host
    if tells:
        events.emit("machine", **machine.describe())
        hook = make_hook(History(folder), events, planned.iterations, mean)
        keeps = recipe.train.checkpoints
        if rank > 0:  # mmengine tidies up where rank 0 is
            xtuner_patches.register_hook(_pruner(folder, keeps.every, keeps.keep))
    else:
        hook = _follower()
    trainer.run(folder, planned, start, hook, draws)
    if planned.hosts > 1:
        shares.bring_home(folder / f"iter_{planned.iterations}.pth")
    told = _gathered(_describe(rank))
    if tells:
        events.emit("ranks", ranks=told)


def mean(loss: Any) -> float:
    """The mean over all ranks of ``loss``, a tensor of one element: what their common step is for.

    On every rank, at the same time. One rank's nan is everybody's.
    """
    import torch

    total = loss.detach().to(torch.float64)
    torch.distributed.all_reduce(total)
    return float(total) / int(torch.distributed.get_world_size())


def _follower() -> Any:
    """The hook of a rank that records nothing: it only adds its loss to the mean."""
    from mmengine.hooks import Hook

    class Follower(Hook):  # type: ignore[misc]
        priority = "HIGHEST"

        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                             outputs: Any = None) -> None:  # fmt: skip
            mean(outputs["loss"])

    return Follower()


def _pruner(folder: Path, every: int, keep: int) -> Any:
    """The hook that removes the oldest checkpoints of a host before one more is written."""
    from mmengine.hooks import Hook

    class Pruner(Hook):  # type: ignore[misc]
        priority = "HIGHEST"

        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                             outputs: Any = None) -> None:  # fmt: skip
            if (batch_idx + 1) % every == 0:
                there = found(folder)
                for item in there[: max(0, len(there) - keep + 1)]:
                    remove(item.path)

    return Pruner()


def _describe(rank: int) -> dict[str, Any]:
    """This rank for the record: where it ran, on what, and its peaks."""
    found = machine.describe()
    return {
        "rank": rank,
        "host": os.environ.get(HOST) or socket.gethostname(),
        "cpu": found["cpu"],
        "gpu": found["gpu"],
        "gpu_index": local_rank() if found["gpu"] else None,
        "usage": machine.usage(),
    }


def _gathered(facts: dict[str, Any]) -> list[Any]:
    import torch

    told: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(told, facts)
    return told


def _known(error: BaseException, run: Path) -> KitError:
    """``error`` as one of the kit's; who was left alone says that, not what its library says."""
    if isinstance(error, RuntimeError) and any(text in str(error) for text in LOST):
        first = (str(error).splitlines() or [""])[0]
        log = (run / "logs" / "train.log").as_posix()
        return StepError("rank-alone", rank=os.environ["RANK"], log=log, why=first)
    return common.translate(error, "train", run)


def _tell(error: KitError) -> None:
    body = {"message": error.to_wire(), "timestamp": int(time.time())}
    with contextlib.suppress(OSError, KeyError):
        Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps(body), encoding="utf-8")


def _end_with_parent() -> None:
    """Be killed when the step's process is: nobody else would end a rank that waits for others."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m llavakit.steps.rank")
    for name in ("recipe", "run", "weights", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--resume", type=Path, help="a checkpoint to go on from")
    parser.add_argument("--iteration", type=int, default=0, help="how many are done in it")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
