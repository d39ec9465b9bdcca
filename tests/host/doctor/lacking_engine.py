"""Hosts that lack something of the engine, the image or the local environment."""

from __future__ import annotations

from pathlib import Path

from host.doctor.lacking import case, no_daemon, no_python, without_environment
from host.doctor.machine import Machine

from llavakit.engines import docker_facts, venv
from llavakit.host import environment
from llavakit.host.doctor import checks, engine


@case("host", "fail", "aarch64", "x86_64")
def _(m: Machine) -> None:
    m.patch.setattr(checks.platform, "machine", lambda: "aarch64")


@case("engine.context", "warn", "tcp://far:2375", "unset DOCKER_HOST")
def _(m: Machine) -> None:
    m.environ["DOCKER_HOST"] = "tcp://far:2375"


@case("engine.context", "warn", "far: ssh://x", "docker context use default")
def _(m: Machine) -> None:
    elsewhere = docker_facts.Address("unix:///d", "default", ignored="far: ssh://x")
    m.patch.setattr(docker_facts, "named", lambda _: elsewhere)


@case("engine.socket", "warn", "no socket", "systemctl start docker")
def _(m: Machine) -> None:
    m.environ["DOCKER_HOST"] = "unix:///nowhere.sock"


@case("engine.socket", "warn", "no Docker Engine on this host", "get.docker.com")
def _(m: Machine) -> None:
    m.environ["DOCKER_HOST"] = "unix:///nowhere.sock"
    m.patch.setattr(engine.shutil, "which", lambda _: None)


@case("engine.socket", "fail", "no socket", "systemctl start docker")
def _(m: Machine) -> None:
    m.environ["DOCKER_HOST"] = "unix:///nowhere.sock"
    m.options["engine"] = "docker"


@case("engine.socket", "warn", "other.sock can", "export DOCKER_HOST=unix://")
def _(m: Machine) -> None:
    m.environ["DOCKER_HOST"] = "unix:///nowhere.sock"
    Path(m.environ["HOME"], "d.sock").rename(m.environ["HOME"] + "/other.sock")


@case("engine.socket", "warn", "you may not use", "usermod -aG docker")
def _(m: Machine) -> None:
    m.patch.setattr(docker_facts, "socket_state", lambda _: "denied")
    m.patch.setattr(docker_facts, "joins_at_next_login", lambda: False)


@case("engine.socket", "warn", "older than", "newgrp docker")
def _(m: Machine) -> None:
    m.patch.setattr(docker_facts, "socket_state", lambda _: "denied")
    m.patch.setattr(docker_facts, "joins_at_next_login", lambda: True)


@case("engine.docker", "warn", "unix:///x.sock. (refused)", "--engine local")
def _(m: Machine) -> None:
    no_daemon(m)


@case("engine.docker", "fail", "unix:///x.sock", "--engine local")
def _(m: Machine) -> None:
    no_daemon(m)
    m.options["engine"] = "docker"


@case("engine.version", "fail", "19.03.15, and 20.10 is needed", "get.docker.com")
def _(m: Machine) -> None:
    m.answer |= {"version": "19.03.15", "api": (1, 40)}


@case("engine.limits", "warn", "neither memory nor processes", "cgroup_enable=memory")
def _(m: Machine) -> None:
    m.answer["limits"] = False


@case("engine.limits", "warn", "rootless", "Delegate=")
def _(m: Machine) -> None:
    m.answer |= {"limits": False, "rootless": True}


@case("image.present", "warn", "no image llavakit", "invoke build")
def _(m: Machine) -> None:
    m.labels = None


@case("image.lock", "warn", "other pins (0000)", "invoke build")
def _(m: Machine) -> None:
    assert m.labels
    m.labels[environment.LABEL_LOCK] = "0000"


@case("image.lock", "warn", "other pins", "invoke build")
def _(m: Machine) -> None:
    assert m.labels
    m.labels[environment.LABEL_ENVIRONMENT] = "0000"


@case("image.source", "warn", "other code", "invoke build")
def _(m: Machine) -> None:
    assert m.labels
    m.labels[environment.LABEL_SOURCE] = "0000"


@case("local.python", "warn", "uv will download one", "UV_PYTHON_INSTALL_MIRROR")
def _(m: Machine) -> None:
    without_environment(m)
    m.patch.setattr(venv, "find_python", no_python("no-python"))


@case("local.python", "fail", "/bin/x is not a Python 3.10", "/bin/x --version")
def _(m: Machine) -> None:
    without_environment(m)
    m.patch.setattr(venv, "find_python", no_python("not-python310", path="/bin/x"))


@case("local.environment", "warn", "not made yet", "invoke demo --engine local")
def _(m: Machine) -> None:
    without_environment(m)
