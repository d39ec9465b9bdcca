"""A container of the kit under the runtimes of clusters: pyxis (enroot) and Apptainer.

Made from the same :class:`ContainerSpec` as ``docker run``. What these runtimes leave to the
cluster is left out: the memory limit is Slurm's, a network of its own takes rights that users of a
cluster do not have. The job runs as its caller, on a read-only root.
"""

from __future__ import annotations

import re
import shlex

from llavakit.engines.container import WORKSPACE, ContainerSpec
from llavakit.engines.local import GPUS

RUNTIMES = ("pyxis", "apptainer")
ARCHIVES = (".sqsh", ".sif")
"""Images that are files already, the first of enroot's, the second of Apptainer's."""
TMP = "/tmp"  # noqa: S108 - the container's one place to write, besides the workspace
UNFIT = re.compile(r"[,:]")
"""What their options cannot hold in a path: it parts one mount from the next."""


def line(spec: ContainerSpec, runtime: str, launcher: tuple[str, ...]) -> str:
    """A shell line that runs ``spec`` under ``runtime``.

    ``launcher`` is what starts its ranks (``srun ...``).
    """
    command = _pyxis(spec, launcher) if runtime == "pyxis" else _apptainer(spec, launcher)
    return " && ".join([*spec.preparations(), command])


def unfit(spec: ContainerSpec) -> list[str]:
    """The paths of the mounts that these runtimes cannot be told."""
    return [source for source, _, _ in spec.binds if UNFIT.search(source)]


def _pyxis(spec: ContainerSpec, launcher: tuple[str, ...]) -> str:
    env = spec.environment
    mounts = ",".join([*_mounts(spec), f"{TMP}:{TMP}"])
    words = [
        "env", *(f"{key}={value}" for key, value in env.items()), *launcher,
        f"--container-image={enroot_name(spec.image)}", f"--container-mounts={mounts}",
        f"--container-workdir={WORKSPACE}", f"--container-env={','.join(env)}",
        "--container-readonly", "--no-container-mount-home", "--no-container-remap-root",
        "--no-container-entrypoint", "python", *spec.job.argv,
    ]  # fmt: skip
    return shlex.join(words)


def _apptainer(spec: ContainerSpec, launcher: tuple[str, ...]) -> str:
    # It refuses to be told HOME: --containall makes an empty one in memory.
    env = {key: value for key, value in spec.environment.items() if key != "HOME"}
    gpus = spec.job.gpus != "none"
    before = ["env", *(f"APPTAINERENV_{key}={value}" for key, value in env.items())]
    words = [
        *launcher, "apptainer", "exec", "--containall", "--cleanenv", "--no-privs",
        *(["--nv"] if gpus else []),
        *(word for mount in _mounts(spec) for word in ("--bind", mount)),
        "--pwd", WORKSPACE, apptainer_name(spec.image), "python", *spec.job.argv,
    ]  # fmt: skip
    chosen = f' ${{{GPUS}+"APPTAINERENV_{GPUS}=${GPUS}"}}' if gpus else ""
    return f"{shlex.join(before)}{chosen} {shlex.join(words)}"


def _mounts(spec: ContainerSpec) -> list[str]:
    return [f"{source}:{target}{':ro' if only else ''}" for source, target, only in spec.binds]


def enroot_name(image: str) -> str:
    """Enroot's name for Docker's: a ``#`` after the registry. A file keeps its own."""
    registry, slash, rest = image.partition("/")
    is_registry = bool(slash) and ("." in registry or ":" in registry or registry == "localhost")
    return f"{registry}#{rest}" if is_registry and not image.endswith(ARCHIVES) else image


def apptainer_name(image: str) -> str:
    """Apptainer's name for Docker's: with a scheme. A file keeps its own."""
    return image if image.endswith(ARCHIVES) else f"docker://{image}"
