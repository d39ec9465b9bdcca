"""What a Docker Engine says of itself, and where one may be found. Nothing is started or changed.

Its socket can be looked at before the engine is asked anything: whether it is there, and whether
its permissions let this user in.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import docker
import requests
from docker.context import ContextAPI
from docker.errors import DockerException

from llavakit.engines import gpus, image
from llavakit.engines.container import LABEL, WORKSPACE, label
from llavakit.engines.docker import DEFAULT_ADDRESS, ENDED, DockerEngine, connect
from llavakit.engines.docker_errors import translate

OLDEST_API = (1, 41)
"""Of Engine 20.10, the oldest that the kit was run with."""
OLDEST_ENGINE = "20.10"
SOCKETS = (
    "/var/run/docker.sock",
    "{runtime}/docker.sock",
    "{home}/.docker/run/docker.sock",
    "{home}/.docker/desktop/docker.sock",
    "{home}/.colima/default/docker.sock",
)
"""Where engines listen: Docker's own, a rootless one's, Docker Desktop's, Colima's."""
GROUP = "docker"
NEVER = "0001-01-01"
"""Of a container that has not ended."""


@dataclass(frozen=True)
class Address:
    """Where the client asks. ``how``: ``DOCKER_HOST``, ``context NAME`` or ``default``."""

    value: str
    how: str
    ignored: str = ""
    """The address of a context that is not followed: it is not on this host."""

    @property
    def socket(self) -> Path | None:
        """Its socket on this host; None for an engine that is reached by a network."""
        found = self.value.startswith("unix://")
        return Path(self.value.removeprefix("unix://")) if found else None


@dataclass(frozen=True)
class EngineFacts:
    """An engine that answers."""

    client: docker.DockerClient
    address: str
    version: str
    api: tuple[int, ...]
    rootless: bool
    remaps_users: bool
    limits: bool
    """Whether it can hold a container to its memory and its processes."""
    gpus: str
    """How it gives a job GPUs, in the engine's own word; ``none`` if it cannot."""
    stale: tuple[str, ...]
    """What a CDI spec of this host promises and is not there."""
    memory_bytes: int
    """Of the machine that it runs on, which may be a virtual one."""
    folder: Path
    """Where it keeps images, on its own machine."""

    def image_labels(self, tag: str) -> dict[str, str] | None:
        """The labels of an image; None when it is not there. Raises EngineError."""
        return image.inspect_labels(self.client, tag)

    def engine(self, tag: str) -> DockerEngine:
        """What runs jobs of an image."""
        return DockerEngine(self.client, tag)


@dataclass(frozen=True)
class Leftover:
    """A container of the kit's that nobody may wait for."""

    name: str
    status: str
    """``created``, ``exited`` or ``dead``."""
    labels: Mapping[str, str]
    workspace: str
    """The folder of the host that it had as its workspace."""
    seconds: float
    """Since it ended, or since it was made when it never began."""


def named(environ: Mapping[str, str] = os.environ) -> Address:
    """Where :func:`llavakit.engines.docker.connect` will ask."""
    if given := environ.get("DOCKER_HOST"):
        return Address(given, "DOCKER_HOST")
    with contextlib.suppress(Exception):  # a context that cannot be read is as good as none
        context = ContextAPI.get_context(environ.get("DOCKER_CONTEXT"))
        if context and context.Name != "default":
            found = str(context.Host)
            if found.startswith("unix://"):
                return Address(found, f"context {context.Name}")
            return Address(DEFAULT_ADDRESS, "default", ignored=f"{context.Name}: {found}")
    return Address(DEFAULT_ADDRESS, "default")


def look(timeout: float) -> EngineFacts:
    """Ask the engine that :func:`named` names. Raises EngineError as ``connect`` does, and
    ``request-failed``.
    """
    client = connect(timeout)
    try:
        info, version = client.info(), client.version()
    except (DockerException, requests.RequestException) as error:
        raise translate(error, address=str(client.api.base_url)) from None
    return of(client, info, version)


def of(
    client: docker.DockerClient, info: Mapping[str, Any], version: Mapping[str, Any]
) -> EngineFacts:
    """The facts in an engine's answers."""
    security = [str(option) for option in info.get("SecurityOptions") or []]
    return EngineFacts(
        client=client,
        address=str(client.api.base_url),
        version=str(version.get("Version", "?")),
        api=tuple(int(part) for part in str(version.get("ApiVersion", "0")).split(".")),
        rootless=any(option.startswith("name=rootless") for option in security),
        remaps_users=any(option.startswith("name=userns") for option in security),
        limits=bool(info.get("MemoryLimit") and info.get("PidsLimit")),
        gpus=gpus.access(info).value,
        stale=tuple(path for spec in gpus.specs(info) for path in gpus.missing(spec)),
        memory_bytes=int(info.get("MemTotal") or 0),
        folder=Path(str(info.get("DockerRootDir") or "/var/lib/docker")),
    )


def leftovers(client: docker.DockerClient) -> list[Leftover]:
    """Every container of the kit's that has ended or never began. Raises EngineError."""
    try:
        found = client.containers.list(
            all=True, filters={"label": [LABEL], "status": list(ENDED)}, ignore_removed=True
        )
        return [_leftover(each) for each in found]
    except (DockerException, requests.RequestException) as error:
        raise translate(error, address=str(client.api.base_url)) from None


def remove(client: docker.DockerClient, names: list[str]) -> None:
    """Remove ended containers by name; one that began again meanwhile, or is gone, is left."""
    for name in names:
        with contextlib.suppress(DockerException, requests.RequestException):
            client.api.remove_container(name, v=True, force=False)


def _leftover(container: Any) -> Leftover:
    own = {key.removeprefix(label("")): value for key, value in container.labels.items()
           if key.startswith(label(""))}  # fmt: skip
    binds = [mount for mount in container.attrs.get("Mounts") or [] if mount["Type"] == "bind"]
    root = next((m["Source"] for m in binds if m["Destination"] == WORKSPACE), "")
    return Leftover(
        str(container.name), str(container.status), own, str(root), since(container.attrs)
    )


def since(attrs: Mapping[str, Any], now: datetime | None = None) -> float:
    """Seconds since a container ended, or since it was made when it never began."""
    ended = str(attrs.get("State", {}).get("FinishedAt") or NEVER)
    text = str(attrs.get("Created")) if ended.startswith(NEVER) else ended
    try:  # nanoseconds, which Python does not read
        then = datetime.fromisoformat(text[:19]).replace(tzinfo=timezone.utc)
    except ValueError:
        return 0.0
    return ((now or datetime.now(timezone.utc)) - then).total_seconds()


def other_sockets(tried: Path | None, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Addresses of sockets that this user may use, but for the one that was tried."""
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    home = environ.get("HOME") or "/nonexistent"
    paths = [Path(each.format(runtime=runtime, home=home)) for each in SOCKETS]
    return [f"unix://{path}" for path in paths if path != tried and socket_state(path) == "ok"]


def socket_state(path: Path) -> str:
    """``ok``, ``missing``, ``no-socket`` (something else is there) or ``denied``."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return "no-socket"
    except PermissionError:
        return "denied"
    except OSError:
        return "missing"
    return "ok" if os.access(path, os.R_OK | os.W_OK) else "denied"


def joins_at_next_login() -> bool:
    """Whether the user is in the group already, and this session is from before that."""
    try:
        group = grp.getgrnam(GROUP)
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # no such group, or a uid without an entry
        return False
    return name in group.gr_mem and group.gr_gid not in os.getgroups()
