"""The bench step on the CPU: both kinds of child for real, and children that end badly."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from llavakit.events import EventReader

WANTED = 8


@pytest.fixture(scope="module")
def ready(new_bench, tmp_path_factory, tiny):
    """A workspace with weights and data."""
    bench = new_bench(tmp_path_factory.mktemp("bench") / "w 工作").prepare()
    return bench.take(tiny, "models", "data")


def arguments(kind, *more, label="", data="data/d", iterations=WANTED):
    label = label or kind
    return ("--label", label, "--kind", kind, "--weights", "models/m", "--data", data,
            "--iterations", str(iterations), "--out", f"runs/r/{label}.json", *more)  # fmt: skip


def alive(root):
    """Processes that were started in this workspace and still run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == root.resolve():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def assert_nothing_is_left(bench):
    assert alive(bench.root) == []
    run = bench.root / bench.run
    assert list(run.glob(".*.partial")) == []
    assert list(run.rglob("*.pth")) == []


@pytest.fixture(scope="module")
def measured(ready):
    """What the step wrote of both kinds."""
    found = {}
    for kind in ("plain", "kit"):
        ready.must("bench", *arguments(kind))
        found[kind] = ready.json(f"runs/r/{kind}.json")
    return found


@pytest.mark.parametrize("kind", ["plain", "kit"])
def test_the_wanted_iterations_are_measured(measured, kind):
    seen = measured[kind]
    assert (seen["state"], seen["reason"], seen["planned"]) == ("measured", "", 80)
    assert len(seen["losses"]) == len(seen["times_s"]) == WANTED
    assert seen["first_iteration_s"] == pytest.approx(seen["times_s"][0], abs=0.01)
    assert seen["times_s"] == sorted(seen["times_s"])
    each = seen["seconds_per_iteration"]
    assert 0 < each["p10"] <= each["median"] <= each["p90"]
    assert each["counted"] == WANTED - 5
    assert seen["peaks"]["memory_mib"] > 100
    assert seen["peaks"]["gpu_mib"] is None
    assert seen["no_gpu_figures"]


def test_the_kit_computes_what_plain_xtuner_computes(measured):
    assert measured["kit"]["losses"] == measured["plain"]["losses"]
    assert len(set(measured["plain"]["losses"])) > WANTED - 2, "of each iteration, not a mean"


def test_a_measurement_leaves_its_log_and_nothing_else(ready, measured):
    assert_nothing_is_left(ready)
    logs = ready.root / ready.run / "logs"
    for kind in measured:
        assert f"Iter(train) [{WANTED:>2}/80]" in (logs / f"{kind}.log").read_text()
    told = [each.fields["n"] for each in EventReader(ready.root / ready.run, from_start=True).read()
            if each.kind == "iteration" and each.step == "bench"]  # fmt: skip
    assert told == [*range(1, WANTED + 1)] * 2


def test_plain_is_what_is_typed(measured):
    """XTuner's own command, on a config that needs no kit."""
    scratch = "runs/r/.plain.partial"
    typed = ["xtuner", "train", f"{scratch}/config.py", "--work-dir", f"{scratch}/work"]
    assert measured["plain"]["argv"] == typed


def test_plain_counts_both_of_its_processes(measured):
    """`xtuner` waits with what it has imported while the script trains."""
    plain, kit = (measured[kind]["peaks"]["memory_mib"] for kind in ("plain", "kit"))
    assert plain > kit + 20


def test_the_last_iteration_is_never_reached(ready):
    ready.must("bench", *arguments("kit", label="all", iterations=500))
    seen = ready.json("runs/r/all.json")
    assert (seen["state"], len(seen["losses"])) == ("measured", 79)
    notes = [
        each.fields["text"]
        for each in EventReader(ready.root / ready.run, from_start=True).read()
        if each.kind == "note"
    ]
    assert "80 iterations are all there are; 79 are measured" in notes
    assert_nothing_is_left(ready)


@pytest.fixture
def torn(ready):
    """Data with a picture that is gone when training wants it."""
    data = ready.root / "data" / "torn"
    subprocess.run(["cp", "-a", ready.root / "data" / "d", data], check=True)
    next((data / "pictures").rglob("f*.png")).unlink()
    rows = json.loads((data / "conversations.json").read_text())  # few: plain maps each 12 times
    (data / "conversations.json").write_text(json.dumps(rows[:12]))
    yield "data/torn"
    subprocess.run(["rm", "-rf", data], check=True)


@pytest.mark.parametrize("kind", ["plain", "kit"])
def test_a_child_that_fails_is_a_result_with_its_reason(ready, torn, kind):
    """Also of `xtuner train`, which exits 0."""
    ready.must("bench", *arguments(kind, label=f"{kind}-fails", data=torn))
    seen = ready.json(f"runs/r/{kind}-fails.json")
    assert seen["state"] == "failed"
    assert "FileNotFoundError" in seen["reason"]
    assert "No such file" in seen["reason"]
    assert seen["tail"]
    assert_nothing_is_left(ready)


def test_what_cannot_be_planned_is_a_result_with_its_reason(ready):
    done = ready.step("bench", *arguments("kit", label="none")[:4], "--weights", "models/none",
                      *arguments("kit", label="none")[6:])  # fmt: skip
    assert done.rc == 0
    seen = ready.json("runs/r/none.json")
    assert seen["state"] == "failed"
    assert "models/none" in seen["reason"]


def test_no_gpu_to_squeeze_is_said(ready):
    ready.must("bench", *arguments("kit", "--squeeze", "100", label="squeezed"))
    seen = ready.json("runs/r/squeezed.json")
    assert seen["state"] == "failed"
    assert "could not be held" in seen["reason"]
    assert seen["losses"] == []


def until(what, seconds=60):
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("kind", ["plain", "kit"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_step_that_is_stopped_takes_its_child_with_it(ready, kind, number, status):
    """By SIGTERM it leaves what it saw; whatever ends it, nothing goes on training."""
    label = f"{kind}-stopped-{number}"
    arguments_ = arguments(kind, label=label, iterations=70)
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    log = ready.root / ready.run / "logs" / f"{label}.log"
    with ready.start("bench", *arguments_, **pipes) as step:
        if kind == "plain":  # `xtuner` and what it starts
            until(lambda: sum("xtuner" in each for each in alive(ready.root)) == 2)
        else:
            until(lambda: log.exists() and "Iter(train)" in log.read_text())
        step.send_signal(number)
        assert step.wait(30) == status
    until(lambda: not alive(ready.root), 10)
    if number == signal.SIGTERM:
        seen = ready.json(f"runs/r/{label}.json")
        assert seen["state"] == "interrupted"
        assert bool(seen["losses"]) is (kind == "kit")
        assert seen["peaks"]["memory_mib"] > 20
        assert_nothing_is_left(ready)
