"""A build whose command is killed: nothing has the tag, nothing goes on, and it is gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llavakit.engines import image as images

SRC = Path(__file__).parents[3] / "src"
BUILD = """
import sys
from pathlib import Path
from llavakit.engines import docker, image
folder = Path(sys.argv[1])
spec = image.ImageSpec(sys.argv[2], folder, folder / "Dockerfile")
image.build(docker.connect(), spec, lambda line: print(line, flush=True), builder=sys.argv[3])
"""


def sleepers(client: Any, word: str) -> list[str]:
    running = client.containers.list(ignore_removed=True)
    return [each.name for each in running if word in str(each.attrs["Config"]["Cmd"])]


@pytest.fixture(params=["buildkit", "sdk"])
def builder(request: pytest.FixtureRequest) -> str:
    if request.param == "buildkit" and (missing := images.buildkit_missing()):
        pytest.skip(missing)
    return str(request.param)


@pytest.mark.engine
def test_a_build_that_is_killed_is_gone_on_with(
    docker_client: Any, image: str, builder: str, tmp_path: Path
) -> None:
    word, tag = f"{time.time_ns()}", f"llavakit-test-interrupted:{builder}"
    first = f"FROM {image}\nRUN : first {word}\n"
    file = tmp_path / "Dockerfile"
    file.write_text(f"{first}RUN : {word} && sleep 120\n")
    argv = [sys.executable, "-c", BUILD, str(tmp_path), tag, builder]
    env = {**os.environ, "PYTHONPATH": str(SRC)}
    pipe = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(argv, env=env, **pipe) as build:
        assert build.stdout
        for line in build.stdout:
            if "sleep 120" in line:
                break
        time.sleep(1)
        os.killpg(build.pid, signal.SIGKILL)  # with its buildx, as when a machine's user logs out
    assert tag not in {name for each in docker_client.images.list() for name in each.tags}
    deadline = time.monotonic() + 30
    while sleepers(docker_client, word) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert sleepers(docker_client, word) == [], "what it ran was stopped"
    file.write_text(f"{first}RUN : {word} && true\n")
    lines: list[str] = []
    spec = images.ImageSpec(tag, tmp_path, file)
    try:
        images.build(docker_client, spec, lines.append, builder=builder)  # type: ignore[arg-type]
        assert docker_client.images.get(tag)
        if builder == "sdk":  # BuildKit of 20.10 keeps nothing of a build that was cancelled
            assert any("Using cache" in line for line in lines), lines
    finally:
        docker_client.images.remove(tag, force=True)
