"""Every guarantee, for every engine: it is declared and holds, or who needs it is refused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager

import pytest

from llavakit.engines.base import Guarantee, Limits, Mount
from llavakit.errors import EngineError

MIB = 2**20


def isolation(bench):
    secret = bench.outside / "secret.txt"
    secret.write_text("not for jobs", encoding="utf-8")
    code = f"""
import os
print(os.path.exists({str(secret)!r}), os.path.exists({str(bench.outside.parent)!r}))
print(sum(name.isdigit() for name in os.listdir("/proc")) < 5)
print(os.environ.get("LLAVAKIT_TEST_SECRET"))
"""
    assert bench.run(code)[0] == ["False False", "True", "None"]


def network_off(bench):
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104  (the bridge must see it)
        port = server.getsockname()[1]
        code = f"""
import os, socket
hosts = ["127.0.0.1", "172.17.0.1", "192.0.2.1"]
for host in hosts:
    try:
        socket.create_connection((host, {port}), timeout=5)
        print("connected to", host)
    except OSError as error:
        print(type(error).__name__)
try:
    print(socket.getaddrinfo("example.org", 443))
except OSError:
    print("no name")
print(os.listdir("/sys/class/net"))
"""
        lines, _ = bench.run(code)
    assert lines[0] == "ConnectionRefusedError"  # its own loopback, with nobody on it
    assert lines[1:3] == ["OSError", "OSError"]  # network is unreachable, at once
    assert lines[3] == "no name"
    assert "eth0" not in lines[4]


def read_only_mounts(bench):
    code = """
import os
for folder in ("inputs/weights", "models"):
    for name in ("w.txt", "new.txt"):
        try:
            open(f"{folder}/{name}", "a").write("x")
            print("written")
        except OSError as error:
            print(error.strerror)
print(open("inputs/weights/w.txt").read(), open("models/w.txt").read())
open("runs/ours.txt", "w").write("x")
"""
    elsewhere = bench.mount()
    models = bench.workspace / "models"
    models.mkdir()
    (models / "w.txt").write_text("ours", encoding="utf-8")
    (bench.workspace / "runs").mkdir()
    for folder in (models, elsewhere.source):  # so that nothing but the mount forbids writing
        folder.chmod(0o777)
        (folder / "w.txt").chmod(0o666)
    ours = Mount(models, "models")
    lines, outcome = bench.run(code, mounts=(elsewhere, ours))
    assert lines == [*["Read-only file system"] * 4, "heavy ours"]
    assert outcome.exit_code == 0
    assert (elsewhere.source / "w.txt").read_text(encoding="utf-8") == "heavy"
    assert (bench.workspace / "runs/ours.txt").exists()
    code = """
for path in ("models/w.txt", "runs/ours.txt", "runs/new", "new"):
    try:
        open(path, "a").write("x")
        print("written")
    except OSError as error:
        print(error.strerror)
"""
    assert bench.run(code, read_only=True)[0] == ["Read-only file system"] * 4


def non_root(bench):
    code = """
import os, subprocess
print(os.getuid() != 0, os.getgid() != 0)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"):
    print(name, int(status[name], 16))
for path in ("/x", "/usr/x", "/etc/x"):
    try:
        open(path, "w")
        print("written")
    except OSError as error:
        print(error.strerror)
with open("/tmp/x", "w") as file:
    file.write("#!/bin/sh\\necho run")
os.chmod("/tmp/x", 0o755)
try:
    subprocess.run(["/tmp/x"])
except OSError as error:
    print(error.strerror)
"""
    lines, _ = bench.run(code)
    assert lines[0] == "True True"
    assert lines[1:7] == [
        "CapInh 0",
        "CapPrm 0",
        "CapEff 0",
        "CapBnd 0",
        "CapAmb 0",
        "NoNewPrivs 1",
    ]
    assert lines[7:] == [*["Read-only file system"] * 3, "Permission denied"]


def limits(bench):
    forks = """
import os, time
for count in range(300):
    try:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
    except OSError as error:
        print(error.strerror, count < 40)
        break
"""
    lines, _ = bench.run(forks, limits=Limits(pids=40))
    assert lines == ["Resource temporarily unavailable True"]
    grow = "x = bytearray(400 * 2**20); print('it fits')"
    lines, outcome = bench.run(grow, limits=Limits(memory_bytes=64 * MIB))
    assert (lines, outcome.exit_code, outcome.out_of_memory) == ([], 137, True)
    shm = "import os; s = os.statvfs('/dev/shm'); print(s.f_blocks * s.f_frsize // 2**20)"
    assert bench.run(shm, limits=Limits(shm_bytes=96 * MIB))[0] == ["96"]
    what_is_written(bench)
    what_is_printed(bench)
    how_long(bench)


def what_is_written(bench):
    """A job that may write to one file of the workspace and to its tmpfs can fill neither."""
    fill = """
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for path in ("runs/one", "/tmp/big"):
    try:
        with open(path, "wb") as file:
            while True:
                file.write(bytes(2**20))
                file.flush()
    except OSError as error:
        print(error.strerror, os.path.getsize(path) // 2**20)
"""
    (bench.workspace / "runs").mkdir(exist_ok=True)
    one = bench.workspace / "runs" / "one"
    one.touch()
    one.chmod(0o666)
    lines, _ = bench.run(
        fill,
        limits=Limits(file_bytes=8 * MIB, tmp_bytes=4 * MIB, memory_bytes=64 * MIB),
        mounts=(Mount(one, "runs/one", read_only=False),),
        read_only=True,
    )
    assert lines == ["File too large 8", "No space left on device 4"]


def what_is_printed(bench):
    forever = "while True: print('x' * 10_000, flush=True)"
    lines, outcome = bench.run(forever, limits=Limits(output_bytes=MIB))
    assert (outcome.exit_code, outcome.over) == (137, "output")
    assert MIB <= sum(map(len, lines)) < 2 * MIB


def how_long(bench):
    sleep = "import time; time.sleep(30)"
    _, outcome = bench.run(sleep, limits=Limits(seconds=1))
    assert (outcome.exit_code, outcome.over) == (124, "seconds")
    # One that deafens the clock inside is ended from outside.
    deaf = "import os, signal, time; os.kill(os.getppid(), signal.SIGSTOP); time.sleep(60)"
    began = time.monotonic()
    _, outcome = bench.run(deaf, limits=Limits(seconds=1))
    assert (outcome.exit_code, outcome.over) == (137, "seconds")
    assert time.monotonic() - began < 30


def gpu_selection(bench):
    code = """
import glob, os
print(glob.glob("/dev/nvidia*"), os.environ["NVIDIA_VISIBLE_DEVICES"])
"""
    assert bench.run(code)[0] == ["[] void"]


@contextmanager
def killed_client(bench, environment, code, run):
    """Within, a client has started ``code`` as a job of ``run``, whose id this gives; then the
    client is killed.
    """
    client = f"""
import time
from pathlib import Path
from llavakit.engines.base import Job
{bench.client_code}
job = Job("test", ("-c", {code!r}), Path({str(bench.workspace)!r}), labels={{"run": {run!r}}})
print(engine.start(job).id, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", client], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGKILL)


def outlives_client(bench, environment):
    code = "import time; print('begun'); time.sleep(4); open('runs/done', 'w'); print('ended')"
    (bench.workspace / "runs").mkdir()
    with killed_client(bench, environment, code, "outlives") as job_id:
        pass
    [running] = bench.engine.find({"run": "outlives"})
    assert running.id == job_id
    assert bench.engine.find({"run": "another"}) == []
    assert list(running.lines()) == ["begun", "ended"]
    assert running.wait().exit_code == (0 if bench.engine.name == "docker" else None)
    assert (bench.workspace / "runs/done").exists()
    assert bench.engine.find({"run": "outlives"}) == []


def test_what_ended_after_its_client_was_killed_is_still_to_be_had(bench, child_environment):
    code = "import time; print('begun'); time.sleep(1); print('ended'); raise SystemExit(3)"
    with killed_client(bench, child_environment, code, "alone") as job_id:
        assert bench.engine.ended({"run": "alone"}) == [], "it runs"
    deadline = time.monotonic() + 30
    while bench.engine.find({"run": "alone"}):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert bench.engine.ended({"run": "another"}) == []
    [left] = bench.engine.ended({"run": "alone"})
    assert left.id == job_id
    assert list(left.lines()) == ["begun", "ended"]
    assert left.wait().exit_code == (3 if bench.engine.name == "docker" else None)
    assert bench.engine.ended({"run": "alone"}) == []
    assert bench.leftovers() == []


PROBES: dict[Guarantee, Callable[..., None]] = {
    Guarantee.ISOLATION: isolation,
    Guarantee.NETWORK_OFF: network_off,
    Guarantee.READ_ONLY_MOUNTS: read_only_mounts,
    Guarantee.NON_ROOT: non_root,
    Guarantee.LIMITS: limits,
    Guarantee.GPU_SELECTION: gpu_selection,
    Guarantee.OUTLIVES_CLIENT: outlives_client,
}


def test_every_guarantee_has_its_probe():
    assert set(PROBES) == set(Guarantee)


@pytest.mark.parametrize("guarantee", list(Guarantee), ids=lambda guarantee: guarantee.value)
def test_it_holds_or_is_refused(bench, guarantee, monkeypatch, child_environment):
    monkeypatch.setenv("LLAVAKIT_TEST_SECRET", "of the caller")
    if guarantee in bench.engine.guarantees:
        more = (child_environment,) if guarantee is Guarantee.OUTLIVES_CLIENT else ()
        PROBES[guarantee](bench, *more)
    else:
        with pytest.raises(EngineError) as caught:
            bench.start("print('ran')", requires=frozenset({guarantee}))
        assert caught.value.id == "engine.guarantee-missing"
        assert caught.value.params == {"engine": bench.engine.name, "missing": guarantee.value}
        assert not list(bench.workspace.iterdir())
    assert bench.leftovers() == []


def test_what_each_engine_declares(bench):
    """A guarantee that gets lost must not turn its probe into a refusal unseen."""
    if bench.engine.name == "local":
        assert bench.engine.guarantees == {Guarantee.OUTLIVES_CLIENT}
    else:
        assert set(Guarantee) - {Guarantee.LIMITS, Guarantee.NON_ROOT} <= bench.engine.guarantees
        if os.getuid() == 0:  # then the engine is not a rootless one
            assert Guarantee.NON_ROOT in bench.engine.guarantees
