"""A batch as a batch script of Slurm: one stage after the other in one job.

The workspace is on a file system that the nodes share with this host, at the same path. With the
runtime ``local`` the kit's clone and its virtual environment are too.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

from llavakit.engines import cluster
from llavakit.engines.base import Job
from llavakit.engines.container import ContainerSpec
from llavakit.engines.gpus import GpuAccess
from llavakit.engines.local import GPUS, LocalEngine
from llavakit.errors import ConfigurationError
from llavakit.host import environment, submit_files
from llavakit.host.batch import Batch, Ranks, Work
from llavakit.host.pipeline import Pipeline
from llavakit.host.show_plan import recipe_line
from llavakit.host.submit_files import HandIn, Rendered

RUNTIMES = ("local", *cluster.RUNTIMES)
SCRIPT = "job.sbatch"
FROM_SHELL = (GPUS, "TMPDIR")
"""What Slurm's own environment of a job says."""


def render(made: Batch, pipeline: Pipeline, runtime: str, folder: Path) -> Rendered:
    """The script, which logs into ``folder``.

    Raises ConfigurationError ``unfit-path``.
    """
    line = _lines(pipeline, runtime, made)
    stages = [{"label": work.stage.label, "line": line(work)} for work in made.works]
    hours, minutes = divmod(made.needs.minutes, 60)
    text = submit_files.fill(
        "slurm/job.sbatch.j2",
        name=made.name,
        run_id=made.run_id,
        ranks=made.ranks,
        needs=made.needs,
        time=f"{hours:02d}:{minutes:02d}:00",
        log=_directive(folder / "slurm-"),
        workspace=shlex.quote(str(pipeline.workspace.root)),
        recipe_line=recipe_line(made.recipe, pipeline.run_dir),
        stages=stages,
    )

    def hand_in(folder: Path) -> list[HandIn]:
        script = shlex.quote(str(folder / SCRIPT))
        return [HandIn("submit.do", f"sbatch {script}"),
                HandIn("submit.watch", f"squeue --name={made.name}")]  # fmt: skip

    return Rendered({SCRIPT: text}, hand_in)


def launcher(ranks: Ranks) -> tuple[str, ...]:
    """What starts a stage's container, one on each node. Slurm hands down the job's environment."""
    return ("srun", "--export=ALL", f"--nodes={ranks.nodes}", f"--ntasks={ranks.nodes}")


def _lines(pipeline: Pipeline, runtime: str, made: Batch) -> Callable[[Work], str]:
    if runtime == "local":
        folder = environment.local_folder(pipeline.settings)
        engine = LocalEngine(folder / "bin" / "python", environment.SOURCE, from_shell=FROM_SHELL)
        return lambda work: engine.command(work.job)
    return lambda work: _in_container(work.job, runtime, made)


def _in_container(job: Job, runtime: str, made: Batch) -> str:
    user = (os.getuid(), os.getgid())
    spec = ContainerSpec(job, made.image, user, GpuAccess.RUNTIME)
    if paths := cluster.unfit(spec):
        raise ConfigurationError("unfit-path", path=paths[0], runtime=runtime)
    return cluster.line(spec, runtime, launcher(made.ranks))


def _directive(start: Path) -> str:
    """The value of --output: ``%j`` is the job's number, every other ``%`` stands for itself."""
    return shlex.quote(str(start).replace("%", "%%")) + "%j.log"


def is_archive(image: str) -> bool:
    """Whether the image is a file of a cluster's runtime."""
    return image.endswith(cluster.ARCHIVES) and "\n" not in image
