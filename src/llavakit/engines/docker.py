"""The Docker engine: every job is a hardened container of the kit's image, through the SDK."""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import docker
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.containers import Container

from llavakit.engines import gpus, mounts
from llavakit.engines.base import Guarantee, Job, Running, check, new_id
from llavakit.engines.container import LABEL, ContainerSpec, own_labels
from llavakit.engines.docker_errors import translate
from llavakit.engines.docker_job import LOST, DockerJob
from llavakit.engines.gpus import GpuAccess
from llavakit.engines.mounts import User
from llavakit.errors import EngineError

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
REQUEST_SECONDS = 60
BASE_LABEL = "org.opencontainers.image.base"
ENDED = ("created", "exited", "dead")


def connect(timeout: float = 60.0) -> docker.DockerClient:
    """A client of the engine that DOCKER_HOST, DOCKER_CONTEXT or Docker's current context names.

    Of the contexts only those on a local socket are followed. For one on tcp or ssh set DOCKER_HOST
    (jobs bind folders of this host, which an engine elsewhere does not have).
    ``timeout`` (seconds) is for this first question only. Raises EngineError ``no-daemon``,
    ``wrong-context``, ``too-old`` or ``permission-denied``.
    """
    environment, (named, context) = dict(os.environ), _context()
    address = environment.setdefault("DOCKER_HOST", named)
    context = context if address == named else ""
    try:
        _knock(address, timeout)
        client = docker.from_env(environment=environment, timeout=math.ceil(timeout))
        client.api.timeout = REQUEST_SECONDS
        return client
    except (DockerException, OSError) as error:
        name = translate(error, address=address).name
        if name not in ("permission-denied", "too-old"):
            if context:
                raise EngineError(
                    "wrong-context", why=str(error), address=address, context=context
                ) from None
            name = "no-daemon"
        raise EngineError(name, why=str(error), address=address) from None


def _knock(address: str, timeout: float) -> None:
    """Fail at once, and with nothing left open, where no one listens on the engine's socket."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(timeout)
            knock.connect(address.removeprefix("unix://"))


def _context() -> tuple[str, str]:
    """The socket of the current context (Docker Desktop's and rootless engines have their own), and
    the context's name; empty for the default one.
    """
    with contextlib.suppress(Exception):  # a context that cannot be read is as good as none
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
        if context and str(context.Host).startswith("unix://"):
            name = str(context.Name)
            return str(context.Host), "" if name == "default" else name
    return DEFAULT_ADDRESS, ""


class DockerEngine:
    """``image`` is a local image with ``python``; ``user`` is whose uid and gid jobs get.

    Without ``user`` that is the caller, and for root the owner of the workspace or 10001.
    """

    name = "docker"

    def __init__(
        self, client: docker.DockerClient, image: str, *, user: User | None = None
    ) -> None:
        self._client = client
        self.image = image
        self._user = user

    @cached_property
    def guarantees(self) -> frozenset[Guarantee]:
        promised = set(Guarantee)
        if not (self._info.get("MemoryLimit") and self._info.get("PidsLimit")):
            promised.discard(Guarantee.LIMITS)
        if self._rootless:
            # The caller is the container's uid 0 there; any other uid cannot write the workspace.
            promised.discard(Guarantee.NON_ROOT)
        return frozenset(promised)

    def describe(self) -> dict[str, str]:
        version = self._ask(self._client.version)
        try:
            image = self._ask(self._client.images.get, self.image)
            image_id, labels = str(image.id), dict(image.labels)
            digests = ", ".join(image.attrs.get("RepoDigests") or [])
        except EngineError:
            image_id, labels, digests = "", {}, ""
        return {
            "engine": self.name,
            "engine_version": str(version["Version"]),
            "api_version": str(self._client.api.api_version),
            "kernel": str(self._info.get("KernelVersion", "")),
            "storage_driver": str(self._info.get("Driver", "")),
            "cgroup_version": str(self._info.get("CgroupVersion", "1")),
            "rootless": str(self._rootless).lower(),
            "gpus": self._gpu_access.value,
            "image": self.image,
            "image_id": image_id,
            "repo_digests": digests,
            "base": labels.get(f"{BASE_LABEL}.name", ""),
            "base_digest": labels.get(f"{BASE_LABEL}.digest", ""),
        }

    def start(self, job: Job) -> DockerJob:
        """Start ``job``; see the Protocol.

        Raises EngineError ``guarantee-missing``, ``mount-missing``, ``mount-blocked``,
        ``no-gpu-support``, ``image-missing``, ``bad-image``, ``disk-full``, ``no-daemon``,
        ``permission-denied`` or ``request-failed``.
        """
        check(self, job)
        spec = self._spec(job)
        self._prepare(spec)
        try:
            options = spec.options()
            container = self._client.containers.create(name=new_id(job), **options)
        except (DockerException, *LOST) as error:
            raise self._translate(error, job) from None
        try:
            container.start()  # what is wrong with GPUs and the image shows here, not at create
        except BaseException as error:
            with contextlib.suppress(DockerException, *LOST):
                container.remove(force=True, v=True)
            if isinstance(error, (DockerException, *LOST)):
                raise self._translate(error, job) from None
            raise
        return DockerJob(container, job.interactive, self._address, job.limits)

    def find(self, labels: Mapping[str, str]) -> list[Running]:
        return [self._job(container) for container in self._containers(labels)]

    def ended(self, labels: Mapping[str, str]) -> list[Running]:
        found = self._containers(labels, all=True, status=["exited", "dead"])
        return [self._job(container) for container in found]

    def can_use_gpus(self) -> bool:
        return self._gpu_access is not GpuAccess.NONE

    def has_image(self) -> bool:
        """Whether the image is there."""
        return bool(self._ask(self._client.images.list, name=self.image))

    def remove_image(self) -> None:
        """Remove the image's tag, and its layers where nothing else has them."""
        self._ask(self._client.images.remove, self.image)

    def leftovers(self, labels: Mapping[str, str]) -> list[str]:
        """Names of the containers that :meth:`sweep` would remove."""
        ended = self._containers(labels, all=True, status=list(ENDED))
        return [str(container.name) for container in ended]

    def sweep(self, labels: Mapping[str, str]) -> list[str]:
        """Remove containers that ended after their client was killed; returns their names.

        Not for a moment when another command may be starting or waiting for a job with ``labels``.
        """
        ended = self._containers(labels, all=True, status=list(ENDED))
        for container in ended:
            self._ask(container.remove, force=True, v=True)
        return [str(container.name) for container in ended]

    def command(self, job: Job) -> str:
        return self._spec(job).run_line()

    def _job(self, container: Container) -> DockerJob:
        return DockerJob(container, container.attrs["Config"]["OpenStdin"], self._address)

    def _containers(
        self, labels: Mapping[str, str], *, all: bool = False, **filters: list[str]
    ) -> list[Container]:
        filters["label"] = [LABEL, *(f"{k}={v}" for k, v in own_labels(labels).items())]
        # Without ignore_removed it fails when any container goes while it looks.
        found: list[Container] = self._ask(
            self._client.containers.list, all=all, filters=filters, ignore_removed=True
        )
        return found

    @cached_property
    def _info(self) -> dict[str, Any]:
        return dict(self._ask(self._client.info))

    @cached_property
    def _gpu_access(self) -> GpuAccess:
        return gpus.access(self._info)

    @property
    def _address(self) -> str:
        return str(self._client.api.base_url)

    @property
    def _security(self) -> list[str]:
        return [str(option) for option in self._info.get("SecurityOptions") or []]

    @property
    def _rootless(self) -> bool:
        return "name=rootless" in self._security

    def _spec(self, job: Job) -> ContainerSpec:
        user = (0, 0) if self._rootless else mounts.job_user(job.workspace, self._user)
        userns = "host" if "name=userns" in self._security else ""
        lock = not self._rootless and gpus.may_lock_memory()
        return ContainerSpec(
            job, self.image, user, self._gpu_access, userns,
            selinux="name=selinux" in self._security, may_lock_memory=lock,
        )  # fmt: skip

    def _prepare(self, spec: ContainerSpec) -> None:
        job = spec.job
        if job.gpus != "none" and not self.can_use_gpus():
            raise EngineError("no-gpu-support", gpus=job.gpus)
        if not job.workspace.is_dir():
            raise EngineError("mount-missing", path=job.workspace)
        mounts.check_links(job.workspace)
        user = None if self._rootless else spec.user
        if user is not None:
            mounts.give(job.workspace, user)
        for mount in job.mounts:
            mounts.make_place(job, mount, user)

    def _ask(self, question: Any, *args: Any, **options: Any) -> Any:
        try:
            return question(*args, **options)
        except ImageNotFound as error:
            raise translate(error, image=self.image) from None
        except (APIError, DockerException, *LOST) as error:
            raise self._translate(error, None) from None

    def _translate(self, error: Exception, job: Job | None) -> EngineError:
        params: dict[str, object] = {"address": self._address, "image": self.image}
        if job is not None:
            params |= {"job": job.name, "gpus": job.gpus, "path": job.workspace}
        return translate(error, **params)


class CommandLines:
    """The commands of :class:`DockerEngine` where none answers: an NVIDIA runtime is assumed."""

    def __init__(self, image: str) -> None:
        self._image = image

    def command(self, job: Job) -> str:
        user = mounts.job_user(job.workspace)
        lock = gpus.may_lock_memory()
        spec = ContainerSpec(job, self._image, user, GpuAccess.RUNTIME, may_lock_memory=lock)
        return spec.run_line()


def for_commands(image: str, *, timeout: float = 2.0) -> DockerEngine | CommandLines:
    """What prints the command line of a job, whether an engine answers or not."""
    try:
        return DockerEngine(connect(timeout), image)
    except EngineError:
        return CommandLines(image)
