"""What is handed to a scheduler: the stages of a plan as jobs, and what they ask of a node.

Every job is :meth:`Pipeline.job`'s own, as `--plan` shows it. What differs is what this host cannot
know of a node: its memory and its GPUs come from the recipe's ``needs``.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from llavakit import redact
from llavakit.engines.base import Job, Limits, Mount
from llavakit.engines.container import names_loopback
from llavakit.host.pipeline import SHM_BYTES, Pipeline
from llavakit.host.plan import Stage, todo
from llavakit.host.ranks import HOST
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

MEMORY_SHARE = 1.25
"""Of what was measured. A node's other processes do not count against a job's limit."""
TMP_GIB = 2
"""The tmpfs on /tmp, which counts as a job's memory."""
TIME_SHARE = 5
"""Of what was measured on an L20: no slower card that fits takes as long."""
SHORTEST_MINUTES = 30
CPUS = 2
CPUS_OF_GPU = 4
ONCE = ("-m", "llavakit.steps.once")
NOWHERE = Path("/nonexistent")
"""As a workspace: nothing is there yet."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a training: the step starts the ``per_node`` ones of its node itself.

    ``nodes`` is one so far; several need a rendezvous between the jobs of a stage.
    """

    per_node: int = 1
    nodes: int = 1


@dataclass(frozen=True)
class Work:
    """One stage and its job; it does nothing where the stage's outputs are there."""

    stage: Stage
    job: Job
    why: str = ""


@dataclass(frozen=True)
class Needs:
    """What one node must have."""

    cpus: int
    memory_gib: int
    minutes: int
    disk_gib: int
    gpus: int
    gpu_mib: int
    """Of each GPU; 0 where the recipe does not say."""


@dataclass(frozen=True)
class Batch:
    """Everything that a renderer reads."""

    name: str
    """Fit for the names of jobs everywhere: a DNS label."""
    run_id: str
    recipe: Recipe
    works: tuple[Work, ...]
    needs: Needs
    image: str
    ranks: Ranks = Ranks()


def make(
    pipeline: Pipeline, targets: Iterable[str], *, shared: bool, image: str
) -> Batch:  # fmt: skip
    """The batch of what brings ``targets`` up to date.

    ``shared``: the nodes see this host's workspace, so what is up to date here is left out; else
    they begin with an empty one.
    """
    place = pipeline.workspace if shared else Workspace(NOWHERE)
    todos = todo(pipeline.plan, place, targets)
    needs = needs_of(pipeline)
    works = tuple(
        Work(item.stage, _job(pipeline, item.stage, needs), item.why(pipeline.screen.lang))
        for item in todos
        if item.action == "run"
    )
    name = label(f"llavakit-{pipeline.plan.run_id}")
    recipe = pipeline.plan.recipe
    return Batch(name, pipeline.plan.run_id, recipe, works, needs, image, ranks_of(pipeline))


def ranks_of(pipeline: Pipeline) -> Ranks:
    """As many as the recipe (or ``--ranks``) says, on one node."""
    return Ranks(pipeline.plan.recipe.train.ranks)


def needs_of(pipeline: Pipeline) -> Needs:
    """From the recipe's own, with room to spare."""
    needs, ranks = pipeline.plan.recipe.needs, ranks_of(pipeline)
    gpus = 0 if pipeline.gpus() == "none" else ranks.per_node
    downloads = sum(each.download.gib or 0 for each in pipeline.plan.inputs if each.download)
    disk = needs.disk_gib + downloads + 3 * (needs.checkpoint_gib or 0)
    return Needs(
        cpus=(CPUS_OF_GPU if gpus else CPUS) * ranks.per_node,
        memory_gib=math.ceil(needs.memory_gib * MEMORY_SHARE * ranks.per_node) + TMP_GIB,
        minutes=max(SHORTEST_MINUTES, math.ceil(needs.minutes * TIME_SHARE)),
        disk_gib=math.ceil(disk * MEMORY_SHARE) + 1,
        gpus=gpus,
        gpu_mib=needs.gpu_mib or 0,
    )


def _job(pipeline: Pipeline, stage: Stage, needs: Needs) -> Job:
    """The stage's job, behind a look whether its outputs are there."""
    job = pipeline.job(stage)
    argv = (*ONCE, "--lock", str(stage.lock), "--key", stage.key, "--", *stage.argv)
    memory, gpu = needs.memory_gib << 30, job.gpus != "none"
    limits = Limits(memory, job.limits.pids, SHM_BYTES if gpu else None)
    env = {key: value for key, value in job.env.items() if key != HOST}  # a node has its own name
    return replace(job, argv=argv, env=env, limits=limits)


def away(job: Job) -> Job:
    """``job`` where this host's own addresses mean nothing."""
    env = {key: value for key, value in job.env.items() if not names_loopback(key, value)}
    return replace(job, env=env)


def secrets_of(works: Iterable[Work]) -> list[str]:
    """Names of the variables that no file may hold the values of."""
    found = {key for work in works for key, value in away(work.job).env.items()
             if redact.is_secret(key, value)}  # fmt: skip
    return sorted(found)


def leaked(text: str) -> bool:
    """Whether ``text`` holds a secret of this process's environment."""
    return any(secret in text for secret in redact.secrets(os.environ))


def outside(works: Iterable[Work]) -> list[Mount]:
    """What the jobs read from outside of the workspace, each once."""
    found = {mount.target: mount for work in works for mount in work.job.mounts
             if not mount.source.is_relative_to(work.job.workspace)}  # fmt: skip
    return list(found.values())


def label(text: str) -> str:
    """``text`` as a DNS label: at most 63 lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:63].strip("-")
