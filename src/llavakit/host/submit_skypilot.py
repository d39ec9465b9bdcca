"""A batch as a task of SkyPilot: a machine with Docker, and the plan's ``docker run`` lines.

Not SkyPilot's own containers: those install ssh and run as root, which the image has no room for.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llavakit.engines.base import Job, Mount
from llavakit.engines.container import ContainerSpec
from llavakit.engines.gpus import GpuAccess
from llavakit.engines.mounts import SHARED_FOLDERS
from llavakit.host import batch, submit_files
from llavakit.host.batch import Batch
from llavakit.host.submit_files import HandIn, Rendered

TASK = "task.yaml"
WORKSPACE = Path("/opt/llavakit")
"""On the machine that SkyPilot starts."""
INPUTS = Path("/opt/llavakit-inputs")
USER = (10001, 10001)
"""The image's own: nobody knows the uid that a cloud gives its first user."""
SYSTEM_GIB = 40
"""The machine's own system, and the image twice while it is pulled."""
ACCELERATORS = {"L4": 22_000, "A10G": 22_000, "A100": 40_000, "L40S": 45_000, "A100-80GB": 80_000,
                "H100": 80_000}  # fmt: skip
"""SkyPilot's names and MiB that are free on one; cards that the stack's CUDA 12.1 has kernels for,
and no more of them than are worth their price.
"""


def render(made: Batch) -> Rendered:
    """The task."""
    sources = {mount.target: INPUTS / str(number)
               for number, mount in enumerate(batch.outside(made.works))}  # fmt: skip
    stages = []
    for work in made.works:
        job = _moved(batch.away(work.job), sources)
        spec = ContainerSpec(job, made.image, USER, GpuAccess.RUNTIME, elsewhere=True)
        stages.append({"label": work.stage.label, "line": shlex.join(spec.run_words())})
    secrets = batch.secrets_of(made.works)
    text = submit_files.fill(
        "skypilot/task.yaml.j2",
        name=made.name,
        ranks=made.ranks,
        workspace=WORKSPACE,
        needs=made.needs,
        disk_gib=made.needs.disk_gib + SYSTEM_GIB,
        accelerators=accelerators(made),
        secrets=secrets,
        file_mounts={str(sources[mount.target]): str(mount.source)
                     for mount in batch.outside(made.works)},
        image=made.image,
        setup=list(_setup(made)),
        stages=stages,
    )  # fmt: skip

    def hand_in(folder: Path) -> list[HandIn]:
        words = ["sky", "launch", "--cluster", made.name]
        words += [word for key in secrets for word in ("--secret", key)]
        back = f"rsync -a {made.name}:{WORKSPACE}/runs/{made.run_id} ."
        return [
            HandIn("submit.do", shlex.join([*words, str(folder / TASK)])),
            HandIn("submit.watch", f"sky logs {made.name}"),
            HandIn("submit.back", back),
            HandIn("submit.down", f"sky down {made.name}"),
        ]

    return Rendered({TASK: text}, hand_in)


def accelerators(made: Batch) -> dict[str, int]:
    """The cards that the recipe fits, by SkyPilot's names; empty where it needs none."""
    needs = made.needs
    if not needs.gpus:
        return {}
    return {name: needs.gpus for name, mib in ACCELERATORS.items() if mib >= needs.gpu_mib}


def _moved(job: Job, sources: dict[str, Path]) -> Job:
    """``job`` with the places of the machine for those of this host."""

    def move(mount: Mount) -> Mount:
        if mount.target in sources:
            return replace(mount, source=sources[mount.target])
        return replace(mount, source=WORKSPACE / mount.source.relative_to(job.workspace))

    return replace(job, workspace=WORKSPACE, mounts=tuple(map(move, job.mounts)))


def _setup(made: Batch) -> Iterator[str]:
    """Make the mountpoints and the recipe, and give all of it to the containers' user."""
    run = WORKSPACE / "runs" / made.run_id
    folders = [*(WORKSPACE / name for name in SHARED_FOLDERS), run]
    files = []
    for mount in batch.outside(made.works):
        place = WORKSPACE / mount.target
        if mount.source.is_file():
            files.append(place)
        folders.append(place.parent if mount.source.is_file() else place)
    yield shlex.join(["sudo", "mkdir", "-p", *map(str, dict.fromkeys(folders))])
    if files:
        yield shlex.join(["sudo", "touch", *map(str, files)])
    recipe = json.dumps(made.recipe.resolved(), ensure_ascii=False)
    yield (f"printf '%s' {shlex.quote(recipe)} | "
           f"sudo tee {shlex.quote(str(run / 'recipe.json'))} >/dev/null")  # fmt: skip
    yield f"sudo chown -R {USER[0]}:{USER[1]} {WORKSPACE}"
