"""doctor: what it says of hosts that lack something."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from host.test_nvidia import H100, TWO

from llavakit.engines import choose, venv
from llavakit.engines import docker as docker_engine
from llavakit.errors import EngineError, EnvironmentFailure
from llavakit.host import doctor, environment, nvidia, settings
from llavakit.host.console import Screen
from llavakit.host.settings import KIT

DEFAULTS: dict[str, Any] = yaml.safe_load((KIT / "invoke.yaml").read_text())["llavakit"]


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without a Docker Engine and without a Python 3.10."""

    def no_daemon(*_: object, **__: object) -> None:
        raise EngineError("no-daemon", why="refused", address="unix:///x.sock")

    def no_python(*_: object, **__: object) -> None:
        raise EnvironmentFailure("no-python")

    monkeypatch.setattr(docker_engine, "connect", no_daemon)
    monkeypatch.setattr(venv, "find_python", no_python)


def test_a_host_that_has_nothing_is_told_what_to_do(
    nothing: None, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    made = settings.resolve(DEFAULTS, {"workspace": str(tmp_path)})
    screen = Screen(json_output=True)
    assert screen.close(doctor.report(made, screen)) == 0
    found = {check["id"]: check for check in yaml.safe_load(capsys.readouterr().out)}
    assert found["engine-docker"]["status"] == "warn"
    assert "unix:///x.sock" in found["engine-docker"]["found"]
    assert found["engine-local"]["status"] == "warn"
    assert "UV_PYTHON_INSTALL_MIRROR" in found["engine-local"]["remedy"]
    assert all(check["remedy"] for check in found.values() if check["status"] in ("warn", "fail"))


def test_every_check_has_an_id_of_its_own(tmp_path: Any) -> None:
    made = settings.resolve(DEFAULTS, {"workspace": str(tmp_path)})
    ids = [check(made).id for check in doctor.CHECKS]
    assert len(set(ids)) == len(ids) == 6


def test_auto_falls_back_to_local_and_says_why(nothing: None) -> None:
    choice = choose.choose("auto")
    assert choice.name == "local"
    assert "unix:///x.sock" in choice.why


def gpu(monkeypatch: pytest.MonkeyPatch, found: str, access: str) -> doctor.Check:
    monkeypatch.setattr(environment, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(environment, "gpu_access", lambda _: access)
    monkeypatch.setattr(nvidia, "gpus", lambda: nvidia.parse(found) or None)
    return doctor._gpu(settings.resolve(DEFAULTS, {}))


def test_a_gpu_is_named_as_in_a_run_s_record(monkeypatch: pytest.MonkeyPatch) -> None:
    check = gpu(monkeypatch, H100, "cdi")
    assert check.status == "pass"
    assert check.found == f"{nvidia.parse(H100)[0].words()}; given by cdi"


@pytest.mark.parametrize(
    ("found", "access", "word"),
    [(TWO, "cdi", "Maxwell"), (H100, "none", "nvidia-ctk"), ("", "cdi", "driver's tools")],
)
def test_a_gpu_that_cannot_be_used_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, found: str, access: str, word: str
) -> None:
    check = gpu(monkeypatch, found, access)
    assert check.status == "warn"
    assert word in check.remedy
