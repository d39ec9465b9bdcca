"""The pinned environment, ready for use: an image or a virtual environment from the same lock."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from llavakit.engines import choose, image, venv
from llavakit.engines import docker as docker_engine
from llavakit.engines.base import Engine
from llavakit.engines.local import LocalEngine
from llavakit.host.console import Screen, StageProgress
from llavakit.host.settings import KIT, Settings
from llavakit.locks import file_sha256, files_sha256

LOCK = KIT / "docker" / "requirements.lock"
DOCKERFILE = KIT / "Dockerfile"
SOURCE = KIT / "src"
STEP_SIDE = ("src/llavakit/*.py", "src/llavakit/steps/**/*.py", "configs/xtuner/*",
             "configs/deepspeed/*")  # fmt: skip
"""What runs inside the environment: the image's last layer, and a part of a run's identity."""

LABEL_LOCK = "io.llavakit.lock.sha256"
LABEL_SOURCE = "io.llavakit.source.sha256"
LABEL_BASE = "org.opencontainers.image.base.name"
DISK_GIB = {"local": 6.0, "docker": 14.0}
"""Disk that making the environment takes at its peak."""


def lock_sha256() -> str:
    """sha256 of the hash lock that both engines install."""
    return file_sha256(LOCK)


def source_sha256() -> str:
    """sha256 over the code that runs inside the environment and its config templates."""
    return files_sha256(KIT, _files(STEP_SIDE))


def has_nvidia_gpu() -> bool:
    """Whether this host has an NVIDIA driver that could serve a GPU (WSL2 included)."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))


def gpus(settings: Settings) -> str:
    """``all``, ``none`` or indices, with ``auto`` decided by this host."""
    if settings.gpus != "auto":
        return settings.gpus
    return "all" if has_nvidia_gpu() else "none"


def open_engine(settings: Settings, screen: Screen) -> Engine:
    """The engine that the settings choose, with its environment made if it is missing.

    Raises EngineError and EnvironmentError_ for everything that can go wrong on the way.
    """
    choice = choose.choose(settings.engine)
    screen.say("engine", f"{choice.name}: {choice.why}")
    return _docker(settings, screen) if choice.name == "docker" else _local(settings, screen)


def local_folder(settings: Settings) -> Path:
    """Where the local engine's environment for the present lock lies."""
    return settings.environments / lock_sha256()[:12]


def _local(settings: Settings, screen: Screen) -> Engine:
    folder = local_folder(settings)
    found = venv.find_python(settings.python or None)
    if not venv.is_ready(folder, LOCK):
        screen.say("environment", f"Python 3.10: {found.how}")
        screen.say(
            "environment",
            f"installing the pinned packages once (about 3 GB to fetch, 6 GB on disk) in {folder}",
        )
    with screen.progress("environment") as progress:
        python = venv.ensure(folder, LOCK, found.path, progress.line)
    return LocalEngine(python, SOURCE)


def _docker(settings: Settings, screen: Screen) -> Engine:
    client = docker_engine.connect()
    labels = image.inspect_labels(client, settings.image_tag)
    reason = _stale_image(labels)
    if reason:
        screen.say("image", f"{settings.image_tag} {reason}")
        base = settings.base or (labels or {}).get(LABEL_BASE, "")
        build_image(settings, screen, base=base)
    return docker_engine.DockerEngine(client, settings.image_tag)


def image_state(labels: dict[str, str] | None) -> str:
    """The image's state in words, from its labels (None: there is no image)."""
    return _stale_image(labels) or "matches the lock and this code"


def _stale_image(labels: dict[str, str] | None) -> str:
    if labels is None:
        return "is not there: building it once (about 3 GB to fetch, 6 GB on disk)"
    if labels.get(LABEL_LOCK) != lock_sha256():
        return "was made from another lock: building it again"
    if labels.get(LABEL_SOURCE) != source_sha256():
        return "holds older code of the kit: its last layer is made again"
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
            **({"BASE_IMAGE": base} if base else {}),
            "LOCK_SHA256": lock_sha256(),
            "SOURCE_SHA256": source_sha256(),
            "REVISION": commit(),
            **image.mirror_args(os.environ),
        },
        labels={},
    )
    with screen.progress("image") as progress:
        return image.build(client, spec, _lines(progress), builder=builder)


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


def _lines(progress: StageProgress) -> image.OnLine:
    return progress.line


def _files(patterns: Iterable[str]) -> list[Path]:
    found = {path for pattern in patterns for path in KIT.glob(pattern) if path.is_file()}
    return sorted(path for path in found if "__pycache__" not in path.parts)
