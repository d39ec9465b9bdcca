"""The kit on the command line, as its user types it."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llavakit.events import Event, EventReader

KIT = Path(__file__).resolve().parents[2]
INVOKE = Path(sys.executable).with_name("invoke")
REQUIRED = "LLAVAKIT_TEST_REQUIRE_DOCKER"
"""Set where a missing Docker Engine is a failure, not a reason to skip (CI)."""


def docker_is_missing() -> str:
    """Why the docker engine cannot be tested here; empty when it can."""
    import docker
    from docker.errors import DockerException

    tag = os.environ.get("INVOKE_LLAVAKIT_IMAGE_TAG", "llavakit:0.1.0")
    try:
        client = docker.from_env(timeout=10)
        found = client.images.list(name=tag)
        client.close()
    except DockerException as error:
        with warnings.catch_warnings():  # the SDK leaves the socket of a failed start open
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        return f"no Docker Engine answers: {error}"
    return "" if found else f"there is no image {tag}: `invoke build` makes it"


@dataclass
class Kit:
    """The kit on the command line, in a workspace of its own."""

    root: Path
    more: dict[str, str] = field(default_factory=dict)
    clone: Path = KIT
    """Where ``invoke`` is called."""

    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "INVOKE_LLAVAKIT_ENVIRONMENTS": os.environ.get(
                "INVOKE_LLAVAKIT_ENVIRONMENTS", str(KIT / "workspace" / "cache" / "environments")
            ),
            "INVOKE_LLAVAKIT_WORKSPACE": str(self.root),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(self.clone / "src"),
            **self.more,
        }

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [INVOKE, *words], cwd=self.clone, env={**self.env(), **env},
            capture_output=True, text=True, timeout=800, check=False,
        )  # fmt: skip

    def result(self, *words: str) -> Any:
        """The JSON that a command printed; the command must succeed."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [INVOKE, *words], cwd=self.clone, env=self.env(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def events(self) -> list[Event]:
        runs = sorted(self.root.glob("runs/*"))
        return [event for run in runs for event in EventReader(run, from_start=True).read()]

    def iterations(self) -> list[int]:
        """The iterations of every training of this workspace, in the order they happened."""
        return [int(event.fields["n"]) for event in self.events() if event.kind == "iteration"]

    def files(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file, to see what a command rewrote."""
        passing = {".lock", ".lock-owner", ".writable", ".busy"}
        return {
            str(path.relative_to(self.root)): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in self.root.rglob("*")
            if path.is_file() and path.name not in passing
        }
