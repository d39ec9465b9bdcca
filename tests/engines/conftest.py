"""What the tests of the engines share: an engine, a workspace with a difficult name, short jobs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from llavakit.engines.base import Engine, Job, Mount, Outcome, Running
from llavakit.engines.container import LABEL
from llavakit.engines.docker import DockerEngine, connect
from llavakit.engines.local import LocalEngine
from llavakit.engines.processes import JOBS_FOLDER
from llavakit.errors import EngineError

SRC = Path(__file__).parents[2] / "src"
REQUIRED = "LLAVAKIT_TEST_REQUIRE_DOCKER"
"""Set where a missing Docker Engine is a failure, not a reason to skip (CI)."""
SETTINGS = Path(__file__).parents[2] / "invoke.yaml"
STAND_IN = "llavakit-standin-base:bookworm"
STAND_IN_DOCKERFILE = f"""
FROM {STAND_IN}
RUN command -v python || ln -s "$(command -v python3.10)" /usr/local/bin/python
"""


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    try:
        client = connect(timeout=5)
    except EngineError as error:
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(f"{error.what()} {error.why}")
    yield client
    client.close()


def kit_tag() -> str:
    """The tag of the kit's image, as the tasks find it."""
    settings = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    tag = str(settings["llavakit"]["image_tag"])
    return os.environ.get("INVOKE_LLAVAKIT_IMAGE_TAG") or tag


@pytest.fixture(scope="session")
def image(docker_client: docker.DockerClient) -> str:
    """Any image with python: the one named, the kit's own, or a stand-in base."""
    if named := os.environ.get("LLAVAKIT_TEST_IMAGE"):
        return named
    there = {tag for image in docker_client.images.list() for tag in image.tags}
    if (tag := kit_tag()) in there:
        return tag
    if STAND_IN not in there:
        reason = "no image with python here: run scripts/standin-base or invoke build"
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(reason)
    file = io.BytesIO(STAND_IN_DOCKERFILE.encode())
    docker_client.images.build(fileobj=file, tag="llavakit-engine-tests", rm=True)
    return "llavakit-engine-tests"


@dataclass
class Bench:
    """An engine, a workspace, and short ways to run a line of Python in them."""

    engine: Engine
    workspace: Path
    outside: Path
    """A folder of the host that no job is given, unless as a mount."""
    client_code: str
    """Python that makes the same engine as ``engine`` in another process."""
    client: docker.DockerClient | None = None

    def job(self, code: str, **options: Any) -> Job:
        return Job("test", ("-c", code), self.workspace, **options)

    def start(self, code: str, **options: Any) -> Running:
        return self.engine.start(self.job(code, **options))

    def run(self, code: str, **options: Any) -> tuple[list[str], Outcome]:
        running = self.start(code, **options)
        lines = list(running.lines())
        return lines, running.wait()

    def mount(self, target: str = "inputs/weights", **options: Any) -> Mount:
        source = self.outside / "weights 权重"
        source.mkdir(exist_ok=True)
        (source / "w.txt").write_text("heavy", encoding="utf-8")
        return Mount(source, target, **options)

    def leftovers(self) -> list[str]:
        """What the engine still keeps for jobs of this workspace."""
        files = [path.name for path in (self.workspace / JOBS_FOLDER).glob("*")]
        return files + [str(container.name) for container in self._containers()]

    def _containers(self) -> list[Any]:
        if self.client is None:
            return []
        everything = self.client.containers.list(
            all=True, filters={"label": LABEL}, ignore_removed=True
        )
        return [
            container
            for container in everything
            if any(mount["Source"] == str(self.workspace) for mount in container.attrs["Mounts"])
        ]

    def remove_leftovers(self) -> None:
        for container in self._containers():
            container.remove(force=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "my work, 工作区"
    folder.mkdir()
    return folder


@pytest.fixture(params=["local", pytest.param("docker", marks=pytest.mark.engine)])
def bench(request: pytest.FixtureRequest, workspace: Path, tmp_path: Path) -> Iterator[Bench]:
    outside = tmp_path / "outside"
    outside.mkdir()
    if request.param == "local":
        engine: Engine = LocalEngine(Path(sys.executable), SRC, workspace=workspace)
        code = "from llavakit.engines.local import LocalEngine\n"
        code += f"engine = LocalEngine(Path({sys.executable!r}), Path({str(SRC)!r}))"
        yield Bench(engine, workspace, outside, code)
        return
    client = request.getfixturevalue("docker_client")
    image = request.getfixturevalue("image")
    code = "from llavakit.engines.docker import DockerEngine, connect\n"
    code += f"engine = DockerEngine(connect(), {image!r})"
    made_bench = Bench(DockerEngine(client, image), workspace, outside, code, client)
    yield made_bench
    made_bench.remove_leftovers()


@pytest.fixture
def docker_engine(docker_client: docker.DockerClient, image: str) -> DockerEngine:
    return DockerEngine(docker_client, image)


@pytest.fixture
def child_environment() -> Mapping[str, str]:
    """For a Python of the tests that imports the kit."""
    return {**os.environ, "PYTHONPATH": str(SRC)}
