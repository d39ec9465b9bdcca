"""What every engine does alike: one suite, real jobs, for each of them."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from llavakit.engines.base import Guarantee, Limits, Mount
from llavakit.errors import EngineError

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready")
time.sleep(60)
"""


@pytest.mark.parametrize("code", [0, 3])
def test_exit_codes(bench, code):
    lines, outcome = bench.run(f"import sys; print('out'); sys.exit({code})")
    assert lines == ["out"]
    assert (outcome.exit_code, outcome.out_of_memory) == (code, False)
    assert bench.leftovers() == []


def test_a_killed_job_is_not_called_out_of_memory(bench):
    _, outcome = bench.run("import os; os.kill(os.getpid(), 9)")
    assert (outcome.exit_code, outcome.out_of_memory) == (137, False)


def test_output_of_every_kind(bench):
    code = r"""
import sys, time
out = sys.stdout.buffer
out.write("图片 🦙\n".encode())
out.write(b"not utf-8: \xff\n")
out.write(b" 10%\r 50%\r\nfull\n\n")
out.write(b"x" * 1_000_000 + b"\n")
out.flush()
time.sleep(0.3)  # two streams of a container may mix within a line
sys.stderr.write("an error\n")
sys.stderr.flush()
time.sleep(0.3)
out.write(b"no newline")
"""
    lines, _ = bench.run(code)
    assert lines[:5] == ["图片 🦙", "not utf-8: \ufffd", " 10%", " 50%", "full"]
    assert lines[5] == ""
    assert lines[6] == "x" * 1_000_000
    assert lines[7:] == ["an error", "no newline"]


def test_a_hundred_thousand_lines(bench):
    code = "import sys; sys.stdout.write(''.join(f'line {i}\\n' for i in range(100_000)))"
    began = time.monotonic()
    lines, _ = bench.run(code)
    assert lines == [f"line {i}" for i in range(100_000)]
    assert time.monotonic() - began < 20


def test_lines_come_while_the_job_runs(bench):
    running = bench.start("import time; print('first'); time.sleep(30)")
    began = time.monotonic()
    assert next(running.lines()) == "first"
    assert time.monotonic() - began < 10
    running.stop(grace_seconds=1)
    running.wait()


def test_waiting_first_loses_no_line(bench):
    running = bench.start("for i in range(5000): print(i)")
    lines = running.lines()
    assert running.wait().exit_code == 0
    assert list(lines) == [str(i) for i in range(5000)]


def test_send(bench):
    code = "import sys\nfor line in sys.stdin: print('got', line.strip(), flush=True)"
    running = bench.start(code, interactive=True)
    lines = running.lines()
    for text in ("one", "二"):
        running.send(text)
        assert next(lines) == f"got {text}"
    running.stop(grace_seconds=5)
    assert running.wait().exit_code == 143
    assert bench.leftovers() == []


def test_a_job_that_takes_no_input_says_so(bench):
    running = bench.start("import time, sys; print(repr(sys.stdin.read()))")
    assert list(running.lines()) == ["''"]
    with pytest.raises(EngineError) as caught:
        running.send("hello")
    assert caught.value.id == "engine.no-input"
    running.wait()


def test_stop(bench):
    running = bench.start("import time; print('ready'); time.sleep(60)")
    next(running.lines())
    began = time.monotonic()
    running.stop()
    outcome = running.wait()
    assert time.monotonic() - began < 5
    assert (outcome.exit_code, outcome.out_of_memory) == (143, False)
    running.stop()  # does nothing to an ended job
    assert bench.leftovers() == []


def test_stop_one_that_will_not(bench):
    running = bench.start(STUBBORN)
    next(running.lines())
    began = time.monotonic()
    running.stop(grace_seconds=1)
    outcome = running.wait()
    assert 0.9 < time.monotonic() - began < 8
    assert (outcome.exit_code, outcome.out_of_memory) == (137, False)
    assert bench.leftovers() == []


def test_environment_and_folder(bench, monkeypatch):
    monkeypatch.setenv("LLAVAKIT_TEST_SECRET", "of the caller")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:1")
    code = """
import os, sys
print(os.environ["GIVEN"], "LLAVAKIT_TEST_SECRET" in os.environ, "HTTPS_PROXY" in os.environ)
print(os.path.isdir("runs"), os.path.exists("my file"))
print(sys.stdout.encoding, os.access(os.environ["HOME"], os.W_OK))
open("runs/made", "w").close()
"""
    (bench.workspace / "runs").mkdir()
    (bench.workspace / "my file").touch()
    lines, outcome = bench.run(code, env={"GIVEN": "a 'b' \"c\" $d 值"})
    assert lines == ["a 'b' \"c\" $d 值 False False", "True True", "utf-8 True"]
    assert outcome.exit_code == 0
    made = (bench.workspace / "runs/made").stat()
    assert made.st_uid == (bench.workspace / "runs").stat().st_uid


def test_mounts(bench):
    mount = bench.mount()
    code = "print(open('inputs/weights/w.txt').read())"
    assert bench.run(code, mounts=(mount,))[0] == ["heavy"]
    assert bench.run(code, mounts=(mount,))[0] == ["heavy"]


def test_a_mount_of_one_file(bench):
    source = bench.outside / "certificates 证书.pem"
    source.write_text("PEM", encoding="utf-8")
    source.chmod(0o666)  # nothing but the mount forbids writing
    code = """
print(open("inputs/a.pem").read())
try:
    open("inputs/a.pem", "a").close()
except OSError as error:
    print(error.strerror)
"""
    forbidden = Guarantee.READ_ONLY_MOUNTS in bench.engine.guarantees
    wanted = ["PEM", "Read-only file system"] if forbidden else ["PEM"]
    place = bench.workspace / "inputs/a.pem"
    for left_by_another in ("nothing", "link", "file"):
        if left_by_another != "nothing":
            place.unlink()
            place.symlink_to(source) if left_by_another == "link" else place.touch()
        lines, outcome = bench.run(code, mounts=(Mount(source, "inputs/a.pem"),))
        assert (lines, outcome.exit_code) == (wanted, 0)
    assert source.read_text(encoding="utf-8") == "PEM"


def test_a_mount_that_may_be_written(bench):
    mount = bench.mount(read_only=False)
    mount.source.chmod(0o777)
    _, outcome = bench.run("open('inputs/weights/new', 'w').close()", mounts=(mount,))
    assert outcome.exit_code == 0
    assert (mount.source / "new").exists()


def linked_models(bench, *, relative: bool = False) -> Path:
    """A folder on another disk, to which the user's own link models/ leads."""
    disk = bench.outside / "big disk"
    disk.mkdir()
    (disk / "w.txt").write_text("heavy", encoding="utf-8")
    for path, mode in ((disk, 0o777), (disk / "w.txt", 0o666)):
        path.chmod(mode)  # nothing but a mount forbids writing
    target = os.path.relpath(disk, bench.workspace) if relative else disk
    (bench.workspace / "models").symlink_to(target)
    return disk


@pytest.mark.parametrize("relative", [False, True])
def test_a_linked_folder_that_is_protected(bench, relative):
    disk = linked_models(bench, relative=relative)
    code = """
print(open("models/w.txt").read())
try:
    open("models/w.txt", "a").write("x")
except OSError as error:
    print(error.strerror)
"""
    link = bench.workspace / "models"
    lines, outcome = bench.run(code, mounts=(Mount(link, "models"),))
    assert outcome.exit_code == 0
    if Guarantee.READ_ONLY_MOUNTS in bench.engine.guarantees:
        assert lines == ["heavy", "Read-only file system"]
        assert (disk / "w.txt").read_text(encoding="utf-8") == "heavy"
    else:
        assert lines == ["heavy"]
    assert link.is_symlink()
    assert link.resolve() == disk


@pytest.mark.parametrize("relative", [False, True])
def test_a_linked_folder_that_is_written(bench, relative):
    disk = linked_models(bench, relative=relative)
    code = "import os; print(os.listdir('models')); open('models/new.txt', 'w').write('made')"
    lines, outcome = bench.run(code)
    assert (lines, outcome.exit_code) == (["['w.txt']"], 0)
    assert (disk / "new.txt").read_text(encoding="utf-8") == "made"
    assert (bench.workspace / "models").is_symlink()


@pytest.mark.parametrize("target", ["../out", "/abs", "linked/out", ""])
def test_a_mount_stays_in_the_workspace(bench, target):
    (bench.workspace / "linked").symlink_to(bench.outside)
    source = bench.mount().source
    with pytest.raises(EngineError) as caught:
        bench.start("print('ran')", mounts=(Mount(source, target),))
    assert caught.value.id == "engine.mount-blocked"
    assert not (bench.outside / "out").exists()
    assert bench.leftovers() == []


def test_a_failing_start_leaves_nothing(bench):
    missing = Mount(bench.outside / "nowhere", "inputs/weights")
    with pytest.raises(EngineError) as caught:
        bench.start("print('ran')", mounts=(missing,))
    assert caught.value.id == "engine.mount-missing"
    assert not (bench.workspace / "inputs").exists()
    assert bench.leftovers() == []


def test_what_a_job_started_ends_with_it(bench):
    code = """
import subprocess, sys
late = "import time; time.sleep(2); open('runs/late', 'w')"
subprocess.Popen([sys.executable, "-c", late])
print("gone")
"""
    (bench.workspace / "runs").mkdir()
    assert bench.run(code)[0] == ["gone"]
    time.sleep(2.5)
    assert not (bench.workspace / "runs/late").exists()


def test_find_sees_running_jobs_only(bench):
    running = bench.start("import time; time.sleep(60)", labels={"run": "7", "stage": "train"})
    assert [job.id for job in bench.engine.find({"run": "7"})] == [running.id]
    assert bench.engine.find({"run": "7", "stage": "ask"}) == []
    [found] = bench.engine.find({"run": "7"})
    found.stop(grace_seconds=2)
    running.wait()
    assert bench.engine.find({"run": "7"}) == []
    assert bench.leftovers() == []


def test_the_command_does_the_same_by_hand(bench, child_environment):
    code = (
        "import os; print(os.environ['A'], open('inputs/weights/w.txt').read()); open('runs/x','w')"
    )
    options = {"mounts": (bench.mount(),), "env": {"A": "b 'c' $d", "API_TOKEN": "s3cret"}}
    job = bench.job(code, limits=Limits(memory_bytes=2**28), labels={"run": "a b"}, **options)
    (bench.workspace / "runs").mkdir()
    if bench.engine.name == "local":
        bench.engine.start(job).wait()  # it makes the links
    line = bench.engine.command(job)
    assert "s3cret" not in line
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        capture_output=True,
        text=True,
        env=child_environment,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("b 'c' $d heavy\n", "", 0)
    assert (bench.workspace / "runs/x").exists()
    assert bench.leftovers() == []


def test_describe_has_only_words(bench):
    described = bench.engine.describe()
    assert described["engine"] == bench.engine.name
    assert all(isinstance(value, str) for value in described.values())


def test_a_job_with_a_network_has_one(bench):
    code = "import os; print('eth0' in os.listdir('/sys/class/net'))"
    lines, outcome = bench.run(code, network=True)
    assert outcome.exit_code == 0
    if bench.engine.name == "docker":  # the local engine's is the host's own, whatever it is called
        assert lines == ["True"]


def test_what_is_at_loopback_on_the_host_is_reached(bench):
    """A proxy or a mirror of the host's own; only for a job that was given its address."""
    code = """
import os, socket
host, port = os.environ["MIRROR"].removeprefix("http://").split(":")
with socket.create_connection((host, int(port)), timeout=5) as connection:
    print(connection.recv(5).decode())
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"hello")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        lines, outcome = bench.run(code, network=True, env={"MIRROR": address})
        assert (lines, outcome.exit_code) == (["hello"], 0)
        thread.join(10)
