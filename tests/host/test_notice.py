"""The notice at the end of a run: off by default, without secrets, and never a reason to fail."""

from __future__ import annotations

import json
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from host.test_pipeline import pipeline, working

from llavakit.errors import StepError
from llavakit.host import driver, notice
from llavakit.host.console import Screen
from llavakit.host.driver import Driver

ENDED = Driver("train", state="failed", error=StepError("out-of-memory", step="train").to_wire())


class Hook:
    """A webhook on this host; ``answer`` is its status, ``delay`` how long it thinks."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.answer, self.delay = 200, 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                time.sleep(outer.delay)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
                self.send_response(outer.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/hook/s3cret-token"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Hook()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_nobody_is_told_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    notice.send("", "tiny-1", ENDED, Screen())
    assert capsys.readouterr().err == ""


def test_a_webhook_gets_what_happened(hook: Hook, capsys: pytest.CaptureFixture[str]) -> None:
    notice.send(hook.address, "tiny-1", ENDED, Screen(lang="zh"))
    [(path, kind, body)] = hook.got
    assert (path, kind) == ("/hook/s3cret-token", "application/json")
    assert (body["run"], body["task"], body["status"]) == ("tiny-1", "train", "failed")
    assert body["error"] == "step.out-of-memory"
    assert "内存不足" in body["what"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("trouble", ["status", "slow", "nobody"])
def test_one_that_does_not_arrive_is_one_line_without_the_address(
    hook: Hook, trouble: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(notice, "SECONDS", 0.2)
    address = hook.address
    if trouble == "status":
        hook.answer = 500
    elif trouble == "slow":
        hook.delay = 1.0
    else:
        address = "http://127.0.0.1:9/hook/s3cret-token"
    notice.send(address, "tiny-1", ENDED, Screen())
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("notice ")
    assert "s3cret" not in said


def test_a_command_gets_it_on_standard_input(tmp_path: Path) -> None:
    script = tmp_path / "tell me.py"
    script.write_text(
        "import json, os, sys\n"
        "body = json.load(sys.stdin)\n"
        "said = [os.environ['LLAVAKIT_RUN'], os.environ['LLAVAKIT_STATUS'], body['status']]\n"
        "open(sys.argv[1], 'w').write(' '.join(said))\n"
    )
    words = shlex.join([sys.executable, str(script), str(tmp_path / "out put")])
    notice.send(words, "tiny-1", ENDED, Screen())
    assert (tmp_path / "out put").read_text() == "tiny-1 failed failed"


@pytest.mark.parametrize("command", ["/nowhere/notify", "false", "sleep 5", "'"])
def test_a_command_that_fails_fails_nothing(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(notice, "SECONDS", 0.3)
    notice.send(command, "tiny-1", ENDED, Screen())
    assert capsys.readouterr().err.startswith("notice ")


def test_a_secret_in_a_failure_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_0123456789")
    error = StepError("failed", step="x", how="hf_0123456789", log="l").to_wire()
    told = notice.content("r", Driver("train", state="failed", error=error), "en")
    assert "hf_" not in json.dumps(told)
    assert "***" in str(told["what"])


def test_the_end_of_a_task_is_told_once_and_only_if_it_did_something(
    tmp_path: Path, hook: Hook
) -> None:
    for _ in range(2):
        made, _ = pipeline(tmp_path, working(tmp_path))
        made.settings = made.settings.model_copy(update={"notify": hook.address})
        made.order = driver.order("train", made.settings.model_dump(mode="json"), {})
        made.bring_up_to_date(["models", "data", "train"])
    assert [body["status"] for _, _, body in hook.got] == ["finished"]
