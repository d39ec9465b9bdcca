"""--debug: the raw text and the traceback; without it neither is shown of a foreseeable failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llavakit.errors import EngineError
from llavakit.host import commands, debugging
from llavakit.host.settings import KIT

INVOKE = Path(sys.executable).with_name("invoke")


def invoke(*words: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    nowhere = {"DOCKER_HOST": "unix:///nowhere/d.sock", "LANG": "C.UTF-8"}
    more = {**nowhere, "PYTHONPATH": str(KIT / "src"), **env}
    return subprocess.run(
        [INVOKE, "data", "--engine", "docker", "--workspace", str(folder), *words],
        cwd=KIT, env={**os.environ, **more}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "env"), [(("--debug",), {}), ((), {"INVOKE_LLAVAKIT_DEBUG": "1"})]
)
def test_the_traceback_and_what_led_to_it(
    tmp_path: Path, words: tuple[str, ...], env: dict[str, str]
) -> None:
    done = invoke(*words, folder=tmp_path, **env)
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr, "the foreign error, though it was hidden"
    assert done.stderr.count("Traceback") == 2
    assert done.stderr.index("FileNotFoundError") < done.stderr.index("No Docker Engine answers")


def test_no_traceback_unasked(tmp_path: Path) -> None:
    done = invoke(folder=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "No Docker Engine answers" in done.stderr


def test_a_program_gets_it_too(tmp_path: Path) -> None:
    done = invoke("--debug", "--json", folder=tmp_path)
    body = json.loads(done.stdout)
    assert "FileNotFoundError" in body["traceback"][0]
    assert "traceback" not in json.loads(invoke("--json", folder=tmp_path).stdout)


def test_no_secret_is_in_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hf_abcdefghij")
    try:
        try:
            raise ValueError("sent hf_abcdefghij")
        except ValueError:
            raise EngineError("request-failed") from None
    except EngineError as error:
        found = debugging.traces(error)
    assert len(found) == 2
    assert "ValueError: sent" in found[0]
    assert "hf_abcdefghij" not in "".join(found)


def test_what_nobody_foresaw_is_told_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise ZeroDivisionError("by nobody")

    monkeypatch.setitem(commands.COMMANDS, "runs", fail)
    import yaml

    configured = yaml.safe_load((KIT / "invoke.yaml").read_text())["llavakit"]
    with pytest.raises(SystemExit) as caught:
        commands.main("runs", configured, {"lang": "zh"})
    assert caught.value.code == 70
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "未预料到的错误(ZeroDivisionError)" in err
