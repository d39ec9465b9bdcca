"""`invoke bench` as it is typed: plain XTuner and the kit in turn, in both engines."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest
from real.command_line import Kit

pytestmark = pytest.mark.environment


def content(kit: Kit) -> dict[str, Any]:
    [file] = kit.root.glob("runs/bench-*/bench.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def assert_nothing_is_left(kit: Kit) -> None:
    assert list(kit.root.glob("runs/bench-*/.*.partial")) == []
    assert list(kit.root.glob("runs/bench-*/**/*.pth")) == []
    assert list(kit.root.glob("cache/jobs/*.json")) == []


def test_the_kit_and_plain_xtuner_are_measured_in_turn(engine: str, kit: Kit) -> None:
    found = kit.result("bench", "--recipes", "tiny", "--iterations", "20", "--engine", engine)
    plain, tiny = found["rows"]
    assert [row["state"] for row in found["rows"]] == ["measured", "measured"]
    assert plain["losses"] == tiny["losses"]
    assert len(tiny["losses"]) == 20
    assert tiny["to_plain"]["first_iteration_s"] < 1
    assert found["engine"]["name"] == engine
    assert found == content(kit)
    assert_nothing_is_left(kit)
    [bench] = [run for run in kit.result("runs") if run["id"] == found["id"]]
    assert (bench["state"], bench["engines"]) == ("measured", [engine])


def test_ctrl_c_stops_the_training_and_leaves_what_was_seen(engine: str, kit: Kit) -> None:
    words = ("bench", "--recipes", "tiny", "--no-plain", "--iterations", "79", "--engine", engine)
    with kit.start(*words) as client:
        ends = time.monotonic() + 300
        while not kit.iterations():
            assert client.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.02)
        client.send_signal(signal.SIGINT)
        output, _ = client.communicate(timeout=60)
    assert client.returncode == 130, output
    assert "Traceback" not in output
    [row] = content(kit)["rows"]
    assert row["state"] == "interrupted"
    assert row["losses"]
    assert_nothing_is_left(kit)
