"""The pinned environment, ready for use: an image or a virtual environment from the same lock."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from docker import DockerClient

from llavakit.engines import choose, image, venv
from llavakit.engines import docker as docker_engine
from llavakit.engines.base import Engine, Guarantee
from llavakit.engines.local import GPU_ACCESS, LocalEngine
from llavakit.errors import WorkspaceError
from llavakit.host.console import Screen
from llavakit.host.settings import KIT, Settings
from llavakit.locks import file_sha256, files_sha256

LOCK = KIT / "docker" / "requirements.lock"
DOCKERFILE = KIT / "Dockerfile"
SOURCE = KIT / "src"
TEMPLATES = ("configs/xtuner/*", "configs/deepspeed/*")
STEP_SIDE = ("src/llavakit/*.py", "src/llavakit/steps/**/*.py", *TEMPLATES)
"""What runs inside the environment: the image's last layer, and a part of a run's identity."""

ENVIRONMENT_SIDE = ("Dockerfile", "docker/apt.in", "docker/apt-build.in", "docker/apt-install",
                    "docker/*.lock", "docker/removals.txt", "docker/trim")  # fmt: skip
"""What the image's environment is built from, the lock included."""

LABEL_LOCK = "io.llavakit.lock.sha256"
LABEL_ENVIRONMENT = "io.llavakit.environment.sha256"
LABEL_SOURCE = "io.llavakit.source.sha256"
LABEL_BASE = "org.opencontainers.image.base.name"
LABEL_BASE_DIGEST = "org.opencontainers.image.base.digest"
LOCAL_GIB = 7.0
"""Disk that making the local environment takes at its peak."""
IMAGE_GIB = 7.0
"""Disk that building the image takes where the engine keeps its images."""


def lock_sha256() -> str:
    """sha256 of the hash lock that both engines install."""
    return file_sha256(LOCK)


def source_sha256() -> str:
    """sha256 over the code that runs inside the environment and its config templates."""
    return files_sha256(KIT, files(STEP_SIDE))


def template_sha256() -> str:
    """sha256 over the templates of training configs, a part of :func:`source_sha256`."""
    return files_sha256(KIT, files(TEMPLATES))


def environment_sha256() -> str:
    """sha256 over everything that the image's environment is built from."""
    return files_sha256(KIT, files(ENVIRONMENT_SIDE))


GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""NVIDIA's driver of Linux, and Windows' own as WSL2 shows it."""


def has_nvidia_gpu() -> bool:
    """Whether this host has an NVIDIA driver that could serve a GPU (WSL2 included)."""
    return any(path.exists() for path in GPU_DEVICES)


def memory_bytes() -> int:
    """This host's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def open_engine(settings: Settings, screen: Screen) -> Engine:
    """The engine that the settings choose, with its environment made if it is missing.

    Raises EngineError and EnvironmentFailure for everything that can go wrong on the way.
    """
    choice = choose.choose(settings.engine, lang=settings.lang)
    screen.say("engine", choice.why)
    if choice.client is None:
        return _local(settings, screen)
    return _docker(settings, screen, choice.client)


def gpu_access(settings: Settings) -> str:
    """How the settings' engine gives a job GPUs, in the engine's own word; ``none`` if it cannot.

    Makes no environment. Raises EngineError where a Docker Engine was asked for and none answers.
    """
    client = choose.choose(settings.engine, lang=settings.lang).client
    if client is None:
        return GPU_ACCESS
    return docker_engine.DockerEngine(client, settings.image_tag).describe()["gpus"]


def guarantees(settings: Settings) -> tuple[str, frozenset[Guarantee]]:
    """The settings' engine by name, and what it promises. Makes no environment.

    Raises EngineError where a Docker Engine was asked for and none answers.
    """
    client = choose.choose(settings.engine, lang=settings.lang).client
    if client is None:
        return LocalEngine.name, LocalEngine.guarantees
    engine = docker_engine.DockerEngine(client, settings.image_tag)
    return engine.name, engine.guarantees


def local_folder(settings: Settings) -> Path:
    """Where the local engine's environment for the present lock lies."""
    return settings.environments / lock_sha256()[:12]


def has_local(settings: Settings) -> bool:
    """Whether the local engine's environment for the present lock is there, whole."""
    return venv.is_ready(local_folder(settings), LOCK)


def present(settings: Settings, client: DockerClient | None) -> Engine:
    """The engine of ``client``, else the local one, as it is: nothing is made or built."""
    if client is not None:
        return docker_engine.DockerEngine(client, settings.image_tag)
    python = local_folder(settings) / "bin" / "python"
    return LocalEngine(python, SOURCE, workspace=settings.workspace)


def _local(settings: Settings, screen: Screen) -> Engine:
    return LocalEngine(local_python(settings, screen), SOURCE, workspace=settings.workspace)


def local_python(settings: Settings, screen: Screen) -> Path:
    """The Python of the local environment, which is made if it is missing.

    Raises EnvironmentFailure when there is no Python 3.10 or the packages cannot be installed.
    """
    folder = local_folder(settings)
    if found := venv.ready(folder, LOCK):
        return found
    base = venv.find_python(settings.python or None)
    screen.tell("environment", "environment.python", how=base.how.say(screen.lang), path=base.path)
    free = shutil.disk_usage(next(path for path in folder.parents if path.exists())).free / 2**30
    if free < LOCAL_GIB:
        raise WorkspaceError(
            "too-little-disk", folder=folder, need=f"{LOCAL_GIB:g}", free=f"{free:.1f}"
        )
    screen.tell("environment", "environment.installing", gib=LOCAL_GIB, folder=folder)
    with screen.progress("environment") as progress:
        return venv.ensure(folder, LOCK, base.path, progress.line)


def _docker(settings: Settings, screen: Screen, client: DockerClient) -> Engine:
    labels = image.inspect_labels(client, settings.image_tag)
    reason = _stale_image(labels)
    if reason:
        screen.tell("image", reason, tag=settings.image_tag)
        build_image(settings, screen, base=settings.base or _other_base(labels or {}))
    return docker_engine.DockerEngine(client, settings.image_tag)


def image_state(labels: dict[str, str] | None) -> str:
    """The image's state in words, from its labels (None: there is no image)."""
    if labels is None:
        return "not built yet"
    return "out of date" if _stale_image(labels) else "up to date"


def _stale_image(labels: dict[str, str] | None) -> str:
    """The key of the words that say why an image is to be built; empty where it is not."""
    if labels is None:
        return "image.none"
    if labels.get(LABEL_ENVIRONMENT) != environment_sha256():
        return "image.pins"
    if labels.get(LABEL_SOURCE) != source_sha256():
        return "image.code"
    return ""


def build_image(
    settings: Settings, screen: Screen, *, base: str = "", builder: image.Builder = "auto"
) -> str:
    """Build the image; returns its id. ``base`` empty: what the Dockerfile pins."""
    client = docker_engine.connect()
    spec = image.ImageSpec(
        tag=settings.image_tag,
        context=KIT,
        dockerfile=DOCKERFILE,
        build_args={
            **base_args(base, DOCKERFILE.read_text(encoding="utf-8")),
            "VERSION": version(),
            "LOCK_SHA256": lock_sha256(),
            "ENVIRONMENT_SHA256": environment_sha256(),
            "SOURCE_SHA256": source_sha256(),
            "REVISION": commit(),
            **image.mirror_args(os.environ),
        },
        labels={},
    )
    with screen.progress("image") as progress:
        return image.build(client, spec, progress.line, builder=builder)


def base_args(base: str, dockerfile: str) -> dict[str, str]:
    """Build arguments for a base image (empty: the Dockerfile's own).

    A base with the digest that the Dockerfile pins is the same image, from a mirror: what it is
    called there stays out of the image.
    """
    found = re.search(r"^ARG BASE_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    pinned = found.group(1) if found else ""
    used = base or pinned
    name, _, digest = used.partition("@")
    if digest and digest == pinned.partition("@")[2]:
        name = pinned.partition("@")[0]
    return {"BASE_IMAGE": used, "BASE_NAME": name, "BASE_DIGEST": digest}


def _other_base(labels: Mapping[str, str]) -> str:
    """The base that the user chose for this image; empty: the Dockerfile's own."""
    name, digest = labels.get(LABEL_BASE, ""), labels.get(LABEL_BASE_DIGEST, "")
    if digest and digest in DOCKERFILE.read_text(encoding="utf-8"):
        return ""
    return f"{name}@{digest}" if digest else name


def version() -> str:
    """The kit's version, from its project file."""
    text = (KIT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    return found.group(1) if found else ""


def commit() -> str:
    """The clone's commit, with ``-dirty`` when files differ; ``unknown`` without git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=KIT, capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def files(patterns: Iterable[str]) -> list[Path]:
    """Files of the kit that match the patterns, sorted; byte-code left out."""
    found = {path for pattern in patterns for path in KIT.glob(pattern) if path.is_file()}
    return sorted(path for path in found if "__pycache__" not in path.parts)
