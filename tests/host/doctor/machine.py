"""A host that a test describes: healthy, until the test takes something away."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from host.test_nvidia import TWO
from host.test_pipeline import DEFAULTS

from llavakit import recipe as recipes
from llavakit.engines import docker_facts
from llavakit.engines.docker_facts import EngineFacts, Leftover
from llavakit.errors import EngineError
from llavakit.host import environment, memory, nvidia, plan, settings
from llavakit.host.console import Screen
from llavakit.host.doctor import network
from llavakit.host.doctor.checks import CHECKS
from llavakit.host.doctor.findings import Finding, Host
from llavakit.host.making import TARGETS
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import KIT
from llavakit.workspace import Workspace

GIB = 2**30
L20 = nvidia.parse(TWO)[0]


class Facts(EngineFacts):
    """An engine whose images are known."""

    labels: dict[str, str] | None = None

    def image_labels(self, tag: str) -> dict[str, str] | None:
        return self.labels


class Machine:
    """``look(ID)`` is that check's finding."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.patch, self.root = patch, folder / "w"
        self.root.mkdir()
        self.options: dict[str, Any] = {}
        self.recipe, self.overrides = "tutorial", ["train.checkpoints.keep=2"]
        self.lang = "en"
        self.gpus: list[nvidia.Gpu] | None = [L20]
        self.held: list[nvidia.Holder] = []
        self.device = True
        self.memory, self.total = 64 * GIB, 64 * GIB
        self.answer: dict[str, Any] = {
            "version": "26.1.5", "api": (1, 45), "rootless": False, "remaps_users": False,
            "limits": True, "gpus": "cdi", "stale": (), "memory_bytes": 64 * GIB, "folder": folder,
        }  # fmt: skip
        self.labels: dict[str, str] | None = {
            environment.LABEL_LOCK: environment.lock_sha256(),
            environment.LABEL_ENVIRONMENT: environment.environment_sha256(),
            environment.LABEL_SOURCE: environment.source_sha256(),
        }
        self.error: EngineError | None = None
        self.left: list[Leftover] = []
        self.silent: dict[str, str] = {}
        """Why nothing answers, by a part of the address."""
        self.disk = self.statvfs(free=500 * GIB)
        self.environ = {"DOCKER_HOST": f"unix://{folder}/d.sock", "HOME": str(folder)}
        self._listen(folder / "d.sock")
        self._wire()

    def _listen(self, path: Path) -> None:
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()

    def _wire(self) -> None:
        patch = self.patch.setattr
        patch(docker_facts, "SOCKETS", ("{home}/other.sock",))
        patch(docker_facts, "look", lambda _: self.docker())
        patch(docker_facts, "leftovers", lambda _: self.left)
        patch(environment, "has_nvidia_gpu", lambda: self.device)
        patch(environment, "memory_bytes", lambda: self.total)
        patch(nvidia, "gpus", lambda: self.gpus)
        patch(nvidia, "holders", lambda _: self.held)
        patch(memory, "available_bytes", lambda: self.memory)
        patch(network, "reach", self.reach)
        patch(shutil, "which", lambda name: f"/usr/bin/{name}")
        patch(os, "statvfs", lambda _: self.disk)
        self.patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def statvfs(self, *, free: int = 500 * GIB, files: int = 10**7, left: int = 10**7) -> Any:
        """What the operating system says of every disk."""
        size = 4096
        blocks = free // size
        return os.statvfs_result((size, size, blocks, blocks, blocks, files, left, left, 0, 255))

    def docker(self) -> Facts:
        if self.error is not None:
            raise self.error
        facts = Facts(client=None, address="x", **self.answer)  # type: ignore[arg-type]
        object.__setattr__(facts, "labels", self.labels)
        return facts

    def reach(self, place: str, *_: Any) -> str:
        return next((why for part, why in self.silent.items() if part in place), "")

    def host(self) -> Host:
        recipe = recipes.load(KIT / "configs/recipes" / f"{self.recipe}.yaml", self.overrides)
        made = plan.make(recipe, kit=KIT, lock_sha256=environment.lock_sha256())
        merged = settings.resolve(DEFAULTS, {"workspace": str(self.root), **self.options})
        screen = Screen(lang=self.lang)
        pipeline = Pipeline(merged, screen, made, Workspace(self.root), lambda: pytest.fail("ran"))
        options = {"recipe": self.recipe, "set": self.overrides, **self.options}
        return Host(merged, pipeline, TARGETS["compare"], self.environ, options=options)

    def look(self, check_id: str) -> Finding:
        check = next(check for check in CHECKS if check.id == check_id)
        return check.look(self.host())

    def close(self) -> None:
        self.server.close()
