"""Several ranks: torchrun's own agent starts a process a rank and watches them.

The step's process trains nothing itself then. A rank that dies ends the others within a second or
two; what is told in the end is why the first one did.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from llavakit.errors import Interrupted, KitError, StepError, from_wire
from llavakit.phrases import phrase
from llavakit.steps.checkpoints import Checkpoint
from llavakit.steps.common import Job
from llavakit.steps.hosts import Meeting
from llavakit.steps.rank import HOST
from llavakit.steps.watch import Watch

MONITOR_SECONDS = 0.5
MEETING_SECONDS = 900
"""How long torchrun's agents wait for one another; ours have met before."""
CONSEQUENCES = (signal.SIGTERM, signal.SIGABRT)
"""How ranks end whose neighbour did: by the agent, or by NCCL's watchdog."""


def run(job: Job, start: Checkpoint | None, meeting: Meeting | None) -> None:
    """Train ``job`` in as many processes as its recipe has ranks, from ``start``.

    On the hosts of ``meeting``, each of which calls this. Raises StepError ``ranks-gpus``,
    ``rank-died``, ``rank-alone``, ``host-lost``, ``host-failed``, and whatever a rank raised.
    """
    _check_gpus(job.recipe.train.ranks // job.args.nodes)
    if meeting is None:
        _prefer_loopback()
        _launch(job, start, f"127.0.0.1:{_free_port()}")
        return
    with Watch(meeting) as watch:
        failed = _failure(partial(_launch, job, start, job.args.rendezvous))
        if failed is None:
            return
        if failed.name == "rank-alone":
            _failure(watch.wait)
        if watch.error is None:
            _failure(partial(watch.farewell, failed))
    raise watch.error or failed


def _failure(body: Callable[[], object]) -> KitError | None:
    """How ``body`` failed; SIGTERM may be the watch's, so that it is no interruption yet."""
    try:
        body()
    except KeyboardInterrupt:
        return Interrupted("interrupted", step="train")
    except KitError as error:
        return error
    return None


def _launch(job: Job, start: Checkpoint | None, rendezvous: str) -> None:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    hosts = job.args.nodes
    with tempfile.TemporaryDirectory() as logs, _own_signals():
        config = LaunchConfig(
            min_nodes=hosts,
            max_nodes=hosts,
            nproc_per_node=job.recipe.train.ranks // hosts,
            run_id=job.key,
            rdzv_backend="static",
            rdzv_endpoint=rendezvous,
            rdzv_configs={"rank": job.args.node_rank, "timeout": MEETING_SECONDS},
            max_restarts=0,  # from a checkpoint, and by the user: nothing is done again in silence
            monitor_interval=MONITOR_SECONDS,
            log_dir=logs,
        )
        try:
            elastic_launch(config, sys.executable)(*_words(job, start))
        except SignalException:
            raise KeyboardInterrupt from None
        except ChildFailedError as error:
            raise _why(error.failures, job) from None


def _words(job: Job, start: Checkpoint | None) -> list[str]:
    args = job.args
    words = ["-m", "llavakit.steps.rank", "--recipe", args.recipe, "--run", args.run,
             "--weights", args.weights, "--data", args.data]  # fmt: skip
    if start:
        words += ["--resume", start.path, "--iteration", start.iteration]
    return [str(word) for word in words]


def _why(failures: Mapping[int, Any], job: Job) -> KitError:
    """Why the first rank failed, of those that did: torch's ProcessFailure by rank."""
    rank, failure = min(failures.items(), key=lambda item: _order(item[1]))
    told = _told(failure)
    if told is not None:
        return told
    code = failure.exitcode
    how = (phrase("ended.signal", signal=signal.Signals(-code).name) if code < 0
           else phrase("ended.status", status=code))  # fmt: skip
    host = os.environ.get(HOST) or socket.gethostname()
    log, count = (job.run / "logs" / "train.log").as_posix(), job.recipe.train.ranks
    return StepError("rank-died", rank=rank, ranks=count, host=host, how=how, log=log,
                     why=failure.message)  # fmt: skip


def _order(failure: Any) -> int:
    """The lower, the likelier the cause."""
    told = _told(failure)
    if told is not None:
        return 3 if told.id == "step.rank-alone" else 1
    return 2 if -failure.exitcode in CONSEQUENCES else 0


def _told(failure: Any) -> KitError | None:
    """What the rank said itself before it ended."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return from_wire(json.loads(Path(failure.error_file).read_text("utf-8"))["message"])
    return None


def _check_gpus(needed: int) -> None:
    import torch

    count = torch.cuda.device_count()
    if 0 < count < needed:
        raise StepError("ranks-gpus", ranks=needed, gpus=count)


def _prefer_loopback() -> None:
    """On one host ranks meet there: a container without a network has nothing else."""
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, "lo")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """The agent takes over the signals that end a process, and never gives them back."""
    taken = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
