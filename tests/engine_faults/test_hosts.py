"""Hosts that are unlike the one that tests run on, as their engines describe themselves.

What ``info`` says of rootless and SELinux is quoted from Docker's documentation: ``docker info``
lists ``name=rootless`` and ``name=selinux`` among the security options.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from engine_faults.conftest import Bench
from engine_faults.fake_engine import FakeEngine

from llavakit.engines.base import Guarantee
from llavakit.engines.docker import connect
from llavakit.errors import EngineError


def created(bench: Bench, *options: str) -> dict[str, object]:
    """What the engine is asked to create, where it has these security options."""
    bench.fake.info["SecurityOptions"] = list(options)
    running = bench.engine().start(bench.job())
    (container,) = bench.fake.containers.values()
    running.wait()
    return container.config


def test_an_ordinary_host(bench: Bench) -> None:
    config = created(bench)
    assert config["User"] not in ("0:0", "root", "")
    assert config["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]


def test_the_caller_of_a_rootless_engine_is_the_container_s_root(bench: Bench) -> None:
    """Uid 0 in there is the caller outside; any other uid is nobody who may write."""
    owner = bench.workspace.stat().st_uid
    config = created(bench, "name=rootless")
    assert config["User"] == "0:0"
    assert bench.workspace.stat().st_uid == owner, "nothing is handed over"
    assert Guarantee.NON_ROOT not in bench.engine().guarantees


def test_a_remapped_engine_leaves_the_workspace_s_owner_who_it_is(bench: Bench) -> None:
    assert created(bench, "name=userns")["HostConfig"]["UsernsMode"] == "host"


def test_on_an_selinux_host_folders_are_read_and_not_labelled_anew(bench: Bench) -> None:
    config = created(bench, "name=selinux")
    assert "label=disable" in config["HostConfig"]["SecurityOpt"]
    assert "no-new-privileges:true" in config["HostConfig"]["SecurityOpt"]
    line = bench.engine().command(bench.job())
    assert "--security-opt label=disable" in line


def context(folder: Path, name: str, host: str) -> None:
    """A context as ``docker context create`` writes it."""
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    ends = {"docker": {"Host": host, "SkipTLSVerify": False}}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": ends}))
    (folder / "config.json").write_text(json.dumps({"currentContext": name}))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import docker.context.config
    import docker.utils.config

    folder = tmp_path / "config"
    folder.mkdir()
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setattr(docker.utils.config, "home_dir", lambda: str(tmp_path))
    return folder


def test_a_context_whose_engine_is_gone_is_named(config: Path, tmp_path: Path) -> None:
    context(config, "desktop-linux", f"unix://{tmp_path}/gone.sock")
    with pytest.raises(EngineError) as caught:
        connect(timeout=2)
    assert caught.value.name == "wrong-context"
    assert "desktop-linux" in caught.value.what("zh")
    assert "docker context use default" in caught.value.remedy()


def test_a_context_whose_engine_answers_is_followed(config: Path, tmp_path: Path) -> None:
    context(config, "mine", f"unix://{tmp_path}/e.sock")
    with FakeEngine(tmp_path / "e.sock") as fake:
        connect(timeout=2).close()
    assert fake.seen


def test_docker_host_goes_before_a_context(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context(config, "mine", f"unix://{tmp_path}/gone.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/other.sock")
    with pytest.raises(EngineError) as caught:
        connect(timeout=2)
    assert caught.value.name == "no-daemon"
    assert "other.sock" in caught.value.what()
    assert os.environ["DOCKER_HOST"]
