"""A batch as Kubernetes objects: a claim for the workspace, and a Job a phase.

What has a network (the downloads) is a job of its own: a policy holds for whole pods.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llavakit import redact
from llavakit.engines.base import Mount
from llavakit.engines.container import WORKSPACE, ContainerSpec
from llavakit.engines.gpus import GpuAccess
from llavakit.errors import ConfigurationError
from llavakit.host import batch, submit_files
from llavakit.host.batch import TMP_GIB, Batch, Work, label
from llavakit.host.submit_files import HandIn, Rendered

CLAIM = "llavakit-workspace"
SECRET = "llavakit"  # noqa: S105 - the name of the object, not what is in it
USER = (10001, 10001)
"""The image's own."""
ACCESS = "ReadWriteOnce"
"""One node at a time, which every cluster offers; several ranks take ReadWriteMany."""
MOST_BYTES = 900_000
"""A ConfigMap holds 1 MiB, in base64 and with its names."""
RECIPE = "recipe.json"


@dataclass
class Carried:
    """Small files of this host that go along as a ConfigMap."""

    texts: dict[str, str] = field(default_factory=dict)
    binaries: dict[str, str] = field(default_factory=dict)
    mounts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By the target in the workspace."""


def render(made: Batch) -> Rendered:
    """The files. Raises ConfigurationError ``outside``."""
    phases = {"fetch": [work for work in made.works if work.stage.network],
              "run": [work for work in made.works if not work.stage.network]}  # fmt: skip
    files = {"workspace.yaml": submit_files.fill(
        "kubernetes/workspace.yaml.j2", claim=CLAIM, access=ACCESS, needs=made.needs
    )}  # fmt: skip
    names = {f"{phase}.yaml": label(f"{made.name}-{phase}") for phase, works in phases.items()
             if works}  # fmt: skip
    for file, name in names.items():
        phase = file.removesuffix(".yaml")
        files[file] = _job(made, name, phases[phase], network=phase == "fetch")
    secrets = batch.secrets_of(made.works)
    return Rendered(files, lambda folder: list(_hand_in(folder, names, secrets)))


def _hand_in(folder: Path, names: Mapping[str, str], secrets: list[str]) -> Iterator[HandIn]:
    def apply(file: str) -> str:
        return shlex.join(["kubectl", "apply", "-f", str(folder / file)])

    yield HandIn("submit.claim", apply("workspace.yaml"))
    if secrets:
        lines = " ".join(f'"{key}=${key}"' for key in secrets)
        made = f"kubectl create secret generic {SECRET} --from-env-file=/dev/stdin"
        yield HandIn("submit.secrets", f"printf '%s\\n' {lines} | {made}")
    for file, name in names.items():
        if file == "fetch.yaml":
            wait = f"kubectl wait --for=condition=complete --timeout=24h job/{name}"
            yield HandIn("submit.fetch", f"{apply(file)} && {wait}")
        else:
            yield HandIn("submit.do", apply(file))
            yield HandIn("submit.watch", f"kubectl get pods -l job-name={name} --watch")


def _job(made: Batch, name: str, works: list[Work], *, network: bool) -> str:
    carried = _carried(made, works)
    stages = [_prepare(made, works), *(_stage(work, made, carried) for work in works)]
    shm = max((work.job.limits.shm_bytes or 0 for work in works), default=0)
    return submit_files.fill(
        "kubernetes/job.yaml.j2",
        name=name,
        run=label(made.run_id),
        texts=carried.texts,
        binaries=carried.binaries,
        network=network,
        user=USER,
        claim=CLAIM,
        secret=SECRET,
        tmp_gib=TMP_GIB,
        shm_bytes=shm,
        stages=stages,
        image=made.image,
        workdir=WORKSPACE,
        needs=made.needs,
    )


def _prepare(made: Batch, works: list[Work]) -> dict[str, Any]:
    """The first container: the folders that the others mount, as the job's own user."""
    run = f"runs/{made.run_id}"
    targets = [mount.target for mount in batch.outside(works)]
    folders = ["models", "data", "cache", run, *(str(Path(each).parent) for each in targets)]
    line = f"{shlex.join(['mkdir', '-p', *dict.fromkeys(folders)])} && cp /inputs/{RECIPE} {run}/"
    mounts = [_workspace(), {"name": "inputs", "mountPath": "/inputs", "readOnly": True}]
    return {"name": "prepare", "command": ["sh", "-c", line], "env": {}, "secrets": [],
            "gpus": 0, "mounts": mounts}  # fmt: skip


def _stage(work: Work, made: Batch, carried: Carried) -> dict[str, Any]:
    job = batch.away(work.job)
    spec = ContainerSpec(job, made.image, USER, GpuAccess.RUNTIME)
    hidden = [key for key, value in job.env.items() if redact.is_secret(key, value)]
    env = {key: value for key, value in spec.environment.items() if key not in hidden}
    shm = [{"name": "shm", "mountPath": "/dev/shm"}] if job.limits.shm_bytes else []  # noqa: S108
    return {
        "name": label(work.stage.label),
        "command": ["python", *job.argv],
        "env": env,
        "secrets": sorted(hidden),
        "gpus": made.needs.gpus if job.gpus != "none" else 0,
        "mounts": [*_mounts(spec, carried), {"name": "tmp", "mountPath": "/tmp"}, *shm],  # noqa: S108
    }


def _mounts(spec: ContainerSpec, carried: Carried) -> Iterator[dict[str, Any]]:
    """The job's mounts: the workspace, its protected folders again, and what goes along."""
    yield _workspace()
    root = spec.job.workspace
    for mount in spec.job.mounts:
        if mount.source.is_relative_to(root):
            part = mount.source.relative_to(root).as_posix()
            yield {**_workspace(), "mountPath": f"{WORKSPACE}/{mount.target}", "subPath": part,
                   "readOnly": mount.read_only}  # fmt: skip
        else:
            yield from carried.mounts[mount.target]


def _workspace() -> dict[str, Any]:
    return {"name": "workspace", "mountPath": WORKSPACE}


def _carried(made: Batch, works: Iterable[Work]) -> Carried:
    """The recipe, and the small files that the jobs read from outside of the workspace.

    Raises ConfigurationError ``outside`` for what a ConfigMap cannot hold.
    """
    found = Carried({RECIPE: json.dumps(made.recipe.resolved(), ensure_ascii=False)})
    left = MOST_BYTES
    for mount in batch.outside(works):
        mounts = found.mounts.setdefault(mount.target, [])
        for path, target in _files(mount):
            left -= path.stat().st_size * 4 // 3 + len(target)
            if left < 0:
                raise ConfigurationError("outside", path=mount.source)
            key = f"file-{len(found.binaries)}"
            found.binaries[key] = base64.b64encode(path.read_bytes()).decode("ascii")
            mounts.append({"name": "inputs", "mountPath": f"{WORKSPACE}/{target}",
                           "subPath": key, "readOnly": True})  # fmt: skip
    return found


def _files(mount: Mount) -> Iterator[tuple[Path, str]]:
    """Every file of a mount, and its path in the workspace."""
    if mount.source.is_file():
        yield mount.source, mount.target
        return
    for path in sorted(mount.source.rglob("*")):
        if path.is_file():
            yield path, f"{mount.target}/{path.relative_to(mount.source).as_posix()}"
