"""The Docker engine alone, against a real one: errors, users, what is declared and described."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from docker.errors import APIError, DockerException

from llavakit.engines.base import Guarantee, Job
from llavakit.engines.docker import DockerEngine, connect, for_commands
from llavakit.engines.docker_errors import translate
from llavakit.engines.gpus import GpuAccess
from llavakit.errors import EngineError

PARAMS = {"address": "a", "image": "i", "gpus": "all", "job": "j", "path": "p"}


def job(workspace: Path, code: str = "print('ran')", **options) -> Job:
    return Job("test", ("-c", code), workspace, **options)


@pytest.fixture(autouse=True)
def no_container_is_left(request):
    if "docker_client" not in request.fixturenames:
        yield
        return
    client = request.getfixturevalue("docker_client")
    before = {container.id for container in client.containers.list(all=True, ignore_removed=True)}
    yield
    mine = [
        container
        for container in client.containers.list(
            all=True, filters={"label": "io.llavakit.test"}, ignore_removed=True
        )
        if container.id not in before
    ]
    assert mine == []


@pytest.mark.engine
@pytest.mark.parametrize(
    ("access", "text"),
    [
        (GpuAccess.RUNTIME, 'could not select device driver "" with capabilities: [[gpu]]'),
        (GpuAccess.CDI, ""),  # the words depend on the engine's version
    ],
)
def test_gpus_that_only_start_refuses(docker_engine, workspace, access, text):
    if docker_engine.describe()["gpus"] != "none":
        pytest.skip("this engine has GPUs to give")
    docker_engine.__dict__["_gpu_access"] = access
    with pytest.raises(EngineError) as caught:
        docker_engine.start(job(workspace, gpus="all", labels={"test": "1"}))
    assert caught.value.id == "engine.no-gpu-support"
    assert text in caught.value.why


@pytest.mark.engine
def test_no_gpu_is_said_before_anything_is_made(docker_engine, workspace):
    if docker_engine.describe()["gpus"] != "none":
        pytest.skip("this engine has GPUs to give")
    began = time.monotonic()
    with pytest.raises(EngineError) as caught:
        docker_engine.start(job(workspace, gpus="all"))
    assert (caught.value.id, caught.value.why) == ("engine.no-gpu-support", "")
    assert time.monotonic() - began < 2
    assert list(workspace.iterdir()) == []


@pytest.mark.engine
def test_image_missing(docker_client, workspace):
    engine = DockerEngine(docker_client, "llavakit-no-such-image:1")
    with pytest.raises(EngineError) as caught:
        engine.start(job(workspace))
    assert caught.value.id == "engine.image-missing"
    assert "llavakit-no-such-image:1" in caught.value.what()
    assert engine.describe()["image_id"] == ""


@pytest.mark.engine
@pytest.mark.parametrize(
    ("options", "name", "text"),
    [
        ({"entrypoint": ["nothere"]}, "bad-image", "executable file not found in $PATH"),
        ({"user": "no-such-user"}, "request-failed", "unable to find user no-such-user"),
        ({"mem_limit": 1024}, "request-failed", "Minimum memory limit allowed is 6MB"),
    ],
)
def test_texts_of_a_real_engine(docker_client, image, options, name, text):
    container = None
    with pytest.raises(DockerException) as caught:
        container = docker_client.containers.create(image, ["-c", "1"], **options)
        container.start()
    if container:
        container.remove(force=True)
    error = translate(caught.value, **PARAMS)
    assert error.name == name
    assert text in error.why
    assert "Server Error" not in error.why  # the engine's words, not the SDK's


@pytest.mark.parametrize(
    "text",
    [
        'could not select device driver "" with capabilities: [[gpu]]',  # 20.10 and 26.1
        'could not select device driver "cdi" with capabilities: []',  # 20.10
        "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=7",  # 26.1
    ],
)
def test_texts_about_gpus(text):
    assert translate(APIError("500 Server Error", explanation=text)).id == "engine.no-gpu-support"


@pytest.mark.engine
def test_a_mount_that_the_engine_does_not_see(docker_client, image):
    from docker.types import Mount

    missing = Mount("/x", "/nowhere/at/all", type="bind")
    with pytest.raises(DockerException) as caught:
        docker_client.containers.create(image, mounts=[missing])
    assert translate(caught.value, **PARAMS).name == "mount-missing"


@pytest.mark.engine
def test_limits_are_declared_only_where_the_engine_has_them(docker_engine, workspace):
    info = {**docker_engine._info, "PidsLimit": False}
    docker_engine.__dict__["_info"] = info
    assert Guarantee.LIMITS not in docker_engine.guarantees
    with pytest.raises(EngineError) as caught:
        docker_engine.start(job(workspace, requires=frozenset({Guarantee.LIMITS})))
    assert caught.value.params == {"engine": "docker", "missing": "limits"}


@pytest.mark.engine
def test_a_rootless_engine_is_not_called_non_root(docker_engine):
    options = [*docker_engine._info["SecurityOptions"], "name=rootless"]
    docker_engine.__dict__["_info"] = {**docker_engine._info, "SecurityOptions": options}
    assert Guarantee.NON_ROOT not in docker_engine.guarantees
    assert docker_engine.describe()["rootless"] == "true"


@pytest.mark.engine
@pytest.mark.skipif(os.getuid() != 0, reason="only root hands files over")
def test_what_root_made_is_handed_over(docker_engine, workspace, tmp_path):
    for folder in ("runs/r1", "cache/environments/e"):
        (workspace / folder).mkdir(parents=True)
    (workspace / "runs/r1/checkpoint").write_text("10", encoding="utf-8")
    (workspace / "runs/r1/theirs").touch()
    os.chown(workspace / "runs/r1/theirs", 4321, 4321)
    (workspace / "cache/environments/e/python").touch()
    (tmp_path / "outside").touch()
    (workspace / "runs/r1/link").symlink_to(tmp_path / "outside")
    code = "open('runs/r1/checkpoint', 'w').write('20'); import os; print(os.getuid())"
    running = docker_engine.start(job(workspace, code))
    assert list(running.lines()) == ["10001"]
    assert running.wait().exit_code == 0
    owners = {
        path.relative_to(workspace).as_posix(): path.lstat().st_uid for path in workspace.rglob("*")
    }
    assert owners["runs/r1/checkpoint"] == owners["runs/r1/link"] == 10001
    assert owners["runs/r1/theirs"] == 4321
    assert owners["cache/environments/e/python"] == 0
    assert (tmp_path / "outside").stat().st_uid == 0


@pytest.mark.engine
@pytest.mark.skipif(os.getuid() != 0, reason="needs a workspace of another user's")
def test_root_works_as_the_owner_of_the_workspace(docker_engine, workspace):
    os.chown(workspace, 1234, 1235)
    running = docker_engine.start(job(workspace, "import os; print(os.getuid(), os.getgid())"))
    assert list(running.lines()) == ["1234 1235"]
    running.wait()


@pytest.mark.engine
@pytest.mark.parametrize(("target", "name"), [("nowhere", "missing"), ("..", "blocked")])
def test_links_that_a_container_gets_nothing_of(docker_engine, workspace, target, name):
    (workspace / "runs").symlink_to(target)
    with pytest.raises(EngineError) as caught:
        docker_engine.start(job(workspace))
    assert caught.value.id == f"engine.mount-{name}"
    assert caught.value.params["path"] == str(workspace / "runs")


@pytest.mark.engine
def test_what_the_engine_answers_while_a_job_is_waited_for(docker_engine, workspace, monkeypatch):
    running = docker_engine.start(job(workspace, "import time; time.sleep(1)"))
    with monkeypatch.context() as patch:
        answer = APIError("500 Server Error", explanation="no space left on device")
        patch.setattr(running._container, "reload", Mock(side_effect=answer))
        with pytest.raises(EngineError) as caught:
            running.wait()
    assert caught.value.id == "engine.disk-full"
    assert running.wait().exit_code == 0


@pytest.mark.engine
def test_gpus_to_give(docker_engine):
    for access in GpuAccess:
        docker_engine.__dict__["_gpu_access"] = access
        assert docker_engine.can_use_gpus() is (access is not GpuAccess.NONE)


@pytest.mark.engine
def test_sweep_removes_what_ended_without_its_client(docker_engine, workspace):
    running = docker_engine.start(job(workspace, labels={"test": "sweep"}))
    assert list(running.lines()) == ["ran"]
    time.sleep(0.3)
    assert docker_engine.sweep({"test": "sweep"}) == [running.id]
    outcome = running.wait()
    assert outcome.exit_code is None
    assert "removed" in str(outcome.detail)


@pytest.mark.engine
def test_describe(docker_engine):
    described = docker_engine.describe()
    assert described["image_id"].startswith("sha256:")
    assert described["cgroup_version"] in ("1", "2")
    assert described["engine_version"]


@pytest.mark.engine
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
def test_permission_denied(docker_client):
    if not docker_client.api.base_url.endswith("localhost"):
        pytest.skip("not a socket file")
    os.seteuid(65534)
    try:
        with pytest.raises(EngineError) as caught:
            connect()
    finally:
        os.seteuid(0)
    assert caught.value.id == "engine.permission-denied"
    assert "Permission denied" in caught.value.why


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("unix:///nowhere/docker.sock", "No such file or directory"),
        ("tcp://127.0.0.1:1", "Connection refused"),
        ("nonsense://x", "Invalid bind address protocol"),
    ],
)
def test_no_daemon(monkeypatch, address, why):
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(EngineError) as caught:
        connect()
    assert caught.value.id == "engine.no-daemon"
    assert address in caught.value.what()
    assert why in caught.value.why


def test_a_daemon_that_hangs(monkeypatch, tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "d.sock"))
        server.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/d.sock")
        began = time.monotonic()
        with pytest.raises(EngineError) as caught:
            connect(timeout=1)
    assert caught.value.id == "engine.no-daemon"
    assert time.monotonic() - began < 3


def test_commands_without_a_daemon(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    line = for_commands("llavakit:1").command(job(tmp_path, gpus="0,1"))
    assert "--gpus '\"device=0,1\"'" in line
    assert line.endswith("llavakit:1 -c 'print('\"'\"'ran'\"'\"')'")
