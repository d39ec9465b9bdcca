"""Whole commands in front of an engine that misbehaves: what is said, recorded and left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from engine_faults.fake_engine import FakeEngine, Fault, Play, drop, refuse
from engine_faults.texts import said

from llavakit.host import environment
from llavakit.host.settings import KIT

INVOKE = Path(sys.executable).with_name("invoke")
TAG = "llavakit:0.1.0"


def labels() -> dict[str, str]:
    """Those of an image that needs no building."""
    return {
        environment.LABEL_ENVIRONMENT: environment.environment_sha256(),
        environment.LABEL_SOURCE: environment.source_sha256(),
    }


def models(root: Path, fake: FakeEngine) -> tuple[int, str]:
    """Exit status and screen of `invoke models` in Chinese."""
    env = {**os.environ, "PYTHONPATH": str(KIT / "src"), "DOCKER_HOST": f"unix://{fake.socket}",
           "INVOKE_LLAVAKIT_IMAGE_TAG": TAG}  # fmt: skip
    argv = [INVOKE, "models", "--engine", "docker", "--workspace", str(root), "--lang", "zh"]
    done = subprocess.run(argv, cwd=KIT, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr + done.stdout


@pytest.mark.parametrize(
    ("route", "fault", "play", "error", "words"),
    [
        ("create", refuse(*said("full", id="x")), Play(), "engine.disk-full", "磁盘已满"),
        ("start", refuse(*said("driver")), Play(), "engine.old-driver", "NVIDIA 驱动过旧"),
        ("start", refuse(*said("no-command")), Play(), "engine.bad-image", "没有可运行的 python"),
        ("create", drop, Play(), "engine.no-daemon", "没有 Docker 引擎响应"),
        ("", None, Play(oom=True), "step.out-of-memory", "因内存不足被终止"),
        ("", None, Play(b"odd words\n", exit_code=9), "step.failed", "退出状态 9"),
        ("", None, Play(), "step.no-result", "尚未生成"),
    ],
)
def test_it_is_said_in_chinese_recorded_and_leaves_nothing(
    tmp_path: Path, route: str, fault: Fault | None, play: Play, error: str, words: str
) -> None:
    with FakeEngine(tmp_path / "d.sock", TAG, labels()) as fake:
        fake.play = play
        if fault is not None:
            fake.before(route, fault)
        status, screen = models(tmp_path / "w", fake)
    assert status == 1, screen
    assert words in screen
    assert "-> " in screen
    assert "Traceback" not in screen
    (file,) = tmp_path.glob("w/runs/*/run.json")
    assert json.loads(file.read_text())["provenance"]["stages"][-1]["error"] == error
    assert fake.containers == {}
    assert not list(tmp_path.glob("w/models/*"))


def test_the_same_call_goes_on_once_the_engine_is_well(tmp_path: Path) -> None:
    """What could not be removed then is swept now."""
    with FakeEngine(tmp_path / "d.sock", TAG, labels()) as fake:
        fake.before("start", drop)
        fake.before("remove", drop)
        assert models(tmp_path / "w", fake)[0] == 1
        (left,) = fake.containers
        assert models(tmp_path / "w", fake)[0] == 1, "the fake engine makes no weights"
        assert left not in fake.containers
