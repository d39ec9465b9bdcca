"""The choice of the engine, and why."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from llavakit.engines.choose import choose
from llavakit.errors import ConfigurationError, EngineError

CLIENT = SimpleNamespace(api=SimpleNamespace(base_url="unix://there"))


def refuse(timeout):
    raise EngineError("no-daemon", address="unix://here", why="raw")


def test_auto_takes_docker_where_it_answers():
    choice = choose("auto", connect=lambda timeout: CLIENT)
    assert (choice.name, choice.client) == ("docker", CLIENT)
    assert "unix://there" in choice.why


def test_auto_takes_local_and_says_why():
    choice = choose("auto", connect=refuse)
    assert (choice.name, choice.client) == ("local", None)
    assert choice.why == "local, not docker: No Docker Engine answers at unix://here."
    assert "没有 Docker 引擎" in choose("auto", lang="zh", connect=refuse).why


def test_what_is_asked_for():
    assert choose("local", connect=refuse).name == "local"
    assert choose("docker", connect=lambda timeout: CLIENT).client is CLIENT
    with pytest.raises(EngineError):
        choose("docker", connect=refuse)
    with pytest.raises(ConfigurationError):
        choose("podman", connect=refuse)


def test_local_does_not_wait_for_the_sdk(child_environment):
    code = (
        "import sys; from llavakit.engines.choose import choose; choose('local'); "
        "print('docker' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=child_environment,
    )
    assert done.stdout.strip() == "False"
