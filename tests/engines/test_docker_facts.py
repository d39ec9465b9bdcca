"""What is found out of an engine, and of its socket, before a job is started."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import socket
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
import yaml
from docker.context import ContextAPI

from llavakit.engines import docker_facts, gpus
from llavakit.engines.base import Job
from llavakit.engines.docker import DockerEngine, connect
from llavakit.errors import EngineError


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "d.sock"))
        yield tmp_path / "d.sock"


def test_a_socket_s_state(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert docker_facts.socket_state(place) == "ok"
    assert docker_facts.socket_state(place.with_name("none")) == "missing"
    place.with_name("file").touch()
    assert docker_facts.socket_state(place.with_name("file")) == "no-socket"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert docker_facts.socket_state(place) == "denied"


def test_a_folder_that_may_not_be_entered_hides_its_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def closed(_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "stat", closed)
    assert docker_facts.socket_state(tmp_path / "x.sock") == "denied"


def test_other_sockets_that_may_be_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_facts, "SOCKETS", ("{home}/d.sock", "{runtime}/none.sock"))
    environ = {"HOME": str(place.parent)}
    assert docker_facts.other_sockets(Path("/x"), environ) == [f"unix://{place}"]
    assert docker_facts.other_sockets(place, environ) == []


def contexts(folder: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Docker configuration whose current context is ``mine``."""
    name = hashlib.sha256(b"mine").hexdigest()  # Docker's own name for the folder
    meta = folder / "contexts" / "meta" / name / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": "mine", "Metadata": {},
                                "Endpoints": {"docker": {"Host": host}}}))  # fmt: skip
    (folder / "config.json").write_text(json.dumps({"currentContext": "mine"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    assert ContextAPI.get_current_context().Name == "mine"


def test_docker_host_comes_before_contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts(tmp_path, "unix:///run/mine.sock", monkeypatch)
    found = docker_facts.named({"DOCKER_HOST": "unix:///given.sock"})
    assert (found.value, found.how) == ("unix:///given.sock", "DOCKER_HOST")
    assert found.socket == Path("/given.sock")
    found = docker_facts.named({})
    assert (found.value, found.how) == ("unix:///run/mine.sock", "context mine")
    assert docker_facts.named({"DOCKER_CONTEXT": "default"}).how == "default"


def test_docker_context_is_followed_as_docker_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts(tmp_path, "unix:///run/mine.sock", monkeypatch)
    (tmp_path / "config.json").write_text("{}")
    assert docker_facts.named({}).value == "unix:///var/run/docker.sock"
    assert docker_facts.named({"DOCKER_CONTEXT": "mine"}).value == "unix:///run/mine.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    with pytest.raises(EngineError) as caught:
        connect(0.5)
    assert caught.value.params["address"] == "unix:///run/mine.sock"


def test_a_context_of_another_machine_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts(tmp_path, "ssh://me@far", monkeypatch)
    found = docker_facts.named({})
    assert found.value == "unix:///var/run/docker.sock"
    assert found.ignored == "mine: ssh://me@far"


def test_an_engine_elsewhere_has_no_socket_here() -> None:
    assert docker_facts.named({"DOCKER_HOST": "tcp://far:2375"}).socket is None


@pytest.mark.parametrize(("members", "groups", "late"), [
    (["me"], [], True), (["me"], [7], False), (["you"], [], False),
])  # fmt: skip
def test_whoever_joined_the_group_after_login_is_late(
    monkeypatch: pytest.MonkeyPatch, members: list[str], groups: list[int], late: bool
) -> None:
    monkeypatch.setattr(grp, "getgrnam", lambda _: SimpleNamespace(gr_mem=members, gr_gid=7))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="me"))
    monkeypatch.setattr(os, "getgroups", lambda: groups)
    assert docker_facts.joins_at_next_login() is late


def test_a_uid_without_an_entry_joins_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: object) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert docker_facts.joins_at_next_login() is False


def test_facts_are_read_from_an_engine_s_answers() -> None:
    client: Any = SimpleNamespace(api=SimpleNamespace(base_url="http+docker://x"))
    info = {"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"], "MemTotal": 5,
            "MemoryLimit": True, "PidsLimit": False, "DockerRootDir": "/data/docker",
            "Runtimes": {"nvidia": {}}}  # fmt: skip
    found = docker_facts.of(client, info, {"Version": "26.1.5", "ApiVersion": "1.45"})
    assert (found.version, found.api, found.rootless) == ("26.1.5", (1, 45), True)
    assert (found.limits, found.gpus, found.remaps_users) == (False, "nvidia-runtime", False)
    assert (found.memory_bytes, found.folder) == (5, Path("/data/docker"))
    assert found.api > docker_facts.OLDEST_API > (1, 40)


def spec(folder: Path, *, library: str, device: str) -> dict[str, Any]:
    """In the form that `nvidia-ctk cdi generate` writes."""
    edits = {"mounts": [{"hostPath": library, "containerPath": "/usr/lib/libcuda.so.1"}]}
    one = {"name": "0", "containerEdits": {"deviceNodes": [{"path": device}]}}
    body = {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [one],
            "containerEdits": edits}  # fmt: skip
    (folder / "nvidia.yaml").write_text(yaml.safe_dump(body))
    return {"CDISpecDirs": [str(folder)]}


def test_a_spec_of_before_the_driver_s_update_is_seen(tmp_path: Path) -> None:
    client: Any = SimpleNamespace(api=SimpleNamespace(base_url="x"))

    def stale(library: str, device: str) -> tuple[str, ...]:
        info = spec(tmp_path, library=library, device=device)
        found = docker_facts.of(client, info, {"ApiVersion": "1.45"})
        assert found.gpus == "cdi"
        return found.stale

    here = str(tmp_path / "nvidia.yaml")
    assert stale(here, here) == ()
    assert stale("/usr/lib/libcuda.so.1.2.3", here) == ("/usr/lib/libcuda.so.1.2.3",)
    assert stale(here, "/dev/nvidia99") == ("/dev/nvidia99",)


@pytest.mark.parametrize(
    "text", ["devices: 5", "\t{", "containerEdits: {mounts: [{}]}", "containerEdits: {mounts: 7}"]
)
def test_a_spec_that_cannot_be_read_is_left_to_the_probe(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(f"kind: nvidia.com/gpu\n{text}")
    assert gpus.missing(tmp_path / "x.yaml") == []
    assert gpus.missing(tmp_path / "none.yaml") == []


def test_a_silent_engine_is_given_up_in_time(tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "silent.sock"))
        server.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/silent.sock")
        with pytest.raises(EngineError) as caught:
            docker_facts.look(1)
    assert caught.value.name == "no-daemon"


def test_how_long_ago_a_container_ended() -> None:
    now = datetime(2024, 5, 1, 12, 0, 30, tzinfo=timezone.utc)
    attrs = {"Created": "2024-05-01T11:00:30.123456789Z",
             "State": {"FinishedAt": "2024-05-01T12:00:00.5Z"}}  # fmt: skip
    assert docker_facts.since(attrs, now) == 30
    attrs["State"] = {"FinishedAt": "0001-01-01T00:00:00Z"}
    assert docker_facts.since(attrs, now) == 3600
    assert docker_facts.since({}, now) == 0


@pytest.mark.engine
def test_a_real_engine_is_asked(docker_client: docker.DockerClient, image: str) -> None:
    found = docker_facts.look(5)
    assert found.api >= docker_facts.OLDEST_API
    assert found.memory_bytes > 0
    assert found.image_labels("llavakit-nowhere:none") is None
    assert found.image_labels(image) is not None
    found.client.close()


@pytest.mark.engine
def test_what_a_killed_client_leaves_is_found_and_removed(
    docker_engine: DockerEngine, docker_client: docker.DockerClient, workspace: Path
) -> None:
    job = Job("left", ("-c", "pass"), workspace, labels={"workspace": "w1"})
    spec = docker_engine._spec(job).options()
    made = docker_client.containers.create(name="llavakit-left-test", **spec)
    try:
        [mine] = [each for each in docker_facts.leftovers(docker_client) if each.name == made.name]
        assert (mine.status, mine.labels["workspace"]) == ("created", "w1")
        assert mine.workspace == str(workspace)
        assert 0 <= mine.seconds < 60
        docker_facts.remove(docker_client, [made.name, "llavakit-gone"])
        assert made.name not in [each.name for each in docker_facts.leftovers(docker_client)]
    finally:
        docker_facts.remove(docker_client, ["llavakit-left-test"])


@pytest.mark.engine
def test_a_container_that_runs_is_never_removed(
    docker_engine: DockerEngine, docker_client: docker.DockerClient, workspace: Path
) -> None:
    running = docker_engine.start(Job("runs", ("-c", "import time; time.sleep(60)"), workspace))
    try:
        docker_facts.remove(docker_client, [running.id])
        assert docker_client.containers.get(running.id).status == "running"
    finally:
        running.stop(0)
        running.wait()
