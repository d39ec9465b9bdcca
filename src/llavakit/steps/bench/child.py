"""The two kinds of child: the kit's own train step, and plain XTuner; how each is started."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llavakit import errors
from llavakit.errors import StepError
from llavakit.phrases import Phrase, from_json
from llavakit.steps.bench import figures, render
from llavakit.steps.common import Job


@dataclass(frozen=True)
class Child:
    """A command, its environment, and what is planned; paths are relative to the workspace."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    iterations: int
    """Of the whole training, which the child is never to reach: it writes a checkpoint there."""
    notes: tuple[Phrase, ...] = ()


def prepare(job: Job, scratch: Path) -> Child:
    """Render what the child reads into ``scratch``. Raises what planning raises."""
    planned = _render(job, scratch)
    make = _plain if job.args.kind == "plain" else _kit
    argv, env = make(job, scratch)
    env["HF_DATASETS_CACHE"] = str((scratch / "datasets").absolute())
    notes = [note for each in planned["notes"] if isinstance(note := from_json(each), Phrase)]
    return Child(tuple(argv), env, planned["iterations"], tuple(notes))


def _render(job: Job, scratch: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "llavakit.steps.bench.render", "--kind", job.args.kind]
    for name, value in (("recipe", job.args.recipe), ("weights", job.args.weights),
                        ("data", job.args.data), ("out", scratch)):  # fmt: skip
        words += [f"--{name}", value.as_posix()]
    words += ["--warm"] if job.args.warm else []
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    if done.returncode:
        raise next(filter(None, map(errors.from_wire, reversed(lines))), None) or StepError(
            "failed", step="bench", how=figures.why(lines, done.returncode),
            log=(job.run / "logs").as_posix(), why="\n".join(lines[-figures.TAIL :]),
        )  # fmt: skip
    planned: dict[str, Any] = json.loads((scratch / render.PLANNED).read_text(encoding="utf-8"))
    return planned


def _kit(job: Job, scratch: Path) -> tuple[list[str], dict[str, str]]:
    words = [sys.executable, "-m", "llavakit.steps.train"]
    words += ["--recipe", (scratch / render.RECIPE).as_posix()]
    words += ["--run", scratch.as_posix(), "--key", job.key, "--unsaved"]
    words += ["--weights", job.args.weights.as_posix(), "--data", job.args.data.as_posix()]
    return words, dict(os.environ)


def _plain(job: Job, scratch: Path) -> tuple[list[str], dict[str, str]]:
    """What a user of the tutorial types, in an environment that is activated.

    ``xtuner`` starts ``python`` from PATH with its script. The kit's code is on no path of theirs.
    """
    words = ["xtuner", "train", (scratch / render.CONFIG).as_posix()]
    words += ["--work-dir", (scratch / "work").as_posix()]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    paths = (str(Path(sys.executable).parent), env.get("PATH", os.defpath))
    env["PATH"] = os.pathsep.join(paths)
    if (scratch / render.TOOLKIT).exists():
        env["CUDA_HOME"] = str((scratch / render.TOOLKIT).absolute())
    if (scratch / render.DEEPSPEED).exists():
        words += ["--deepspeed", (scratch / render.DEEPSPEED).as_posix()]
        env |= _as_torchrun()
    return words, env


def _as_torchrun() -> dict[str, str]:
    """What torchrun would set: without a network DeepSpeed cannot find it out."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port)}  # fmt: skip
