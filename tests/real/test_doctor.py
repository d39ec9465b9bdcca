"""doctor as its user types it: with the real engines, without one, and with one that hangs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from real.command_line import KIT, Kit, docker_is_missing

from llavakit.engines.container import LABEL, label
from llavakit.host.jobs import labels as job_labels
from llavakit.workspace import Workspace

NOWHERE = "unix:///nowhere/docker.sock"
SCHEMA = KIT / "docs" / "doctor.schema.json"


def look(kit: Kit, *words: str, status: int = 0, **env: str) -> Any:
    done = kit.run("doctor", "--json", *words, **env)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def by_id(report: Any) -> dict[str, Any]:
    return {check["id"]: check for check in report["checks"]}


@pytest.mark.environment
def test_an_engine_that_runs_the_demo_is_ready_for_it(
    engine: str, kit: Kit, tmp_path: Path
) -> None:
    report = look(kit, "--engine", engine)
    assert report["ready"]
    assert report["engine"] == engine
    assert report["seconds"] < 5
    assert not kit.root.exists(), "looking makes nothing"
    (tmp_path / "report.json").write_text(json.dumps(report))
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [str(checker), "--schemafile", str(SCHEMA), str(tmp_path / "report.json")]
    subprocess.run(command, check=True, capture_output=True)
    ready = by_id(report)["engine.docker" if engine == "docker" else "local.environment"]
    assert ready["status"] == "pass"


def test_without_an_engine_auto_goes_on_and_docker_does_not(kit: Kit) -> None:
    report = look(kit, "--engine", "docker", status=1, DOCKER_HOST=NOWHERE)
    found = by_id(report)
    assert found["engine.socket"]["status"] == found["engine.docker"]["status"] == "fail"
    assert report["verdict"].startswith("not ready for tiny: engine (2)")
    found = by_id(look(kit, DOCKER_HOST=NOWHERE))
    assert found["engine.docker"]["status"] == "warn"
    assert found["local.python"]["status"] in ("pass", "warn")


def test_an_engine_that_hangs_is_said_within_five_seconds(kit: Kit, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s.sock"))
        silent.listen()
        address = f"unix://{tmp_path}/s.sock"
        report = look(kit, "--engine", "docker", status=1, DOCKER_HOST=address)
    assert report["seconds"] < 5
    assert by_id(report)["engine.docker"]["status"] == "fail"


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this host has a GPU")
def test_the_tutorial_is_refused_here_in_chinese(kit: Kit) -> None:
    env = {"LANG": "zh_CN.UTF-8", "DOCKER_HOST": NOWHERE, "COLUMNS": "80"}
    done = kit.run("doctor", "--recipe", "tutorial", **env)
    assert done.returncode == 1
    last = done.stdout.splitlines()[-2]
    assert last.startswith("还不能运行 tutorial:")
    assert "gpu.device" in last
    assert "失败  gpu.device" in done.stdout


@pytest.fixture
def created(kit: Kit) -> Iterator[list[str]]:
    """Two containers of the workspace's: one that never began, one that runs."""
    if reason := docker_is_missing():
        pytest.skip(reason)
    kit.root.mkdir()
    client = docker.from_env()
    labels = {LABEL: "job", **{label(k): v for k, v in job_labels(Workspace(kit.root)).items()}}
    image = os.environ.get("INVOKE_LLAVAKIT_IMAGE_TAG", "llavakit:0.1.0")
    options: dict[str, Any] = {"entrypoint": ["python"], "labels": labels}
    made = [client.containers.create(image, ["-c", "import time; time.sleep(99)"], **options)
            for _ in range(2)]  # fmt: skip
    yield [str(each.name) for each in made]
    for each in made:
        with contextlib.suppress(docker.errors.NotFound):
            each.remove(force=True)
    client.close()


def names() -> set[str]:
    client = docker.from_env()
    found = {str(each.name) for each in client.containers.list(all=True, ignore_removed=True)}
    client.close()
    return found


@pytest.mark.engine
def test_fix_removes_what_never_began_and_leaves_what_runs(kit: Kit, created: list[str]) -> None:
    never, runs = created
    client = docker.from_env()
    found = by_id(look(kit))["leftovers.containers"]
    assert found["status"] == "warn"
    assert never in found["found"]
    client.containers.get(runs).start()
    look(kit, "--fix")
    assert names() >= set(created), "a job of this workspace is at work"
    client.containers.get(runs).stop(timeout=0)
    client.close()
    done = kit.run("doctor", "--fix")
    assert f"removing the container {never}" in done.stderr
    assert names().isdisjoint(created)
