"""Every check on a healthy host, and on one that lacks just what it looks for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from host.doctor.machine import GIB, L20, Machine
from host.test_nvidia import HELD

from llavakit import workspace
from llavakit.engines import docker_facts, venv
from llavakit.engines.docker_facts import Leftover
from llavakit.errors import EngineError, EnvironmentFailure
from llavakit.host import driver, environment, nvidia
from llavakit.host.doctor import checks, engine, memory, place
from llavakit.host.doctor.checks import CHECKS
from llavakit.host.nvidia import Holder

Change = Callable[[Machine], object]
CASES: list[tuple[str, Change, str, str, str]] = []


def case(check: str, status: str, found: str, remedy: str) -> Callable[[Change], Change]:
    """A host that lacks something: the check's finding has these words."""

    def keep(change: Change) -> Change:
        CASES.append((check, change, status, found, remedy))
        return change

    return keep


def no_daemon(m: Machine, name: str = "no-daemon") -> None:
    m.error = EngineError(name, why="refused", address="unix:///x.sock")


def without_environment(m: Machine) -> None:
    m.options["engine"] = "local"
    m.options["workspace"] = str(m.root)
    m.patch.setattr(environment, "has_local", lambda _: False)


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


def no_python(name: str, **params: object) -> Callable[..., None]:
    def look(*_: object, **__: object) -> None:
        raise EnvironmentFailure(name, **params)

    return look


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


@case("gpu.device", "fail", "needs an NVIDIA GPU", "invoke demo")
def _(m: Machine) -> None:
    m.device = False


@case("gpu.device", "fail", "needs an NVIDIA GPU", "invoke demo")
def _(m: Machine) -> None:
    m.options["gpus"] = "none"


@case("gpu.device", "warn", "no nvidia-smi", "ubuntu-drivers")
def _(m: Machine) -> None:
    m.gpus = None


@case("gpu.device", "fail", "0 (NVIDIA L20)", "--gpus")
def _(m: Machine) -> None:
    m.options["gpus"] = "3"


@case("gpu.device", "fail", "no GPU 3; it has none.", "--gpus")
def _(m: Machine) -> None:
    m.options["gpus"], m.device = "3", False
    m.recipe, m.overrides = "tiny", []


@case("gpu.driver", "fail", "470.57.02", "ubuntu-drivers")
def _(m: Machine) -> None:
    m.gpus = [replace(L20, driver="470.57.02")]


@case("gpu.kernels", "fail", "12.0", "Hopper (9.0)")
def _(m: Machine) -> None:
    m.gpus = [replace(L20, capability=(12, 0))]


@case("gpu.kernels", "fail", "bf16", "")
def _(m: Machine) -> None:
    m.recipe, m.gpus = "tutorial-24g", [replace(L20, capability=(7, 5))]


@case("gpu.kernels", "warn", "does not tell", "nvidia-smi -q")
def _(m: Machine) -> None:
    m.gpus = [replace(L20, capability=None)]


@case("gpu.memory", "fail", "python3 (process 419): 41478 MiB", "")
def _(m: Machine) -> None:
    m.gpus, m.held = [replace(L20, free_mib=4000)], nvidia.parse_holders(HELD)


@case("gpu.memory", "fail", "24000", "tutorial-24g")
def _(m: Machine) -> None:
    m.gpus = [replace(L20, total_mib=24000, free_mib=24000)]


@case("gpu.memory", "fail", "answer", "")
def _(m: Machine) -> None:
    m.recipe, m.overrides = "tutorial-16g", ["ask.quantization=none"]
    m.gpus = [replace(L20, total_mib=16384, free_mib=16384)]


@case("gpu.access", "fail", "cannot give a container", "nvidia-ctk")
def _(m: Machine) -> None:
    m.answer["gpus"] = "none"


@case("gpu.access", "fail", "(places: 2)", "nvidia-ctk cdi generate")
def _(m: Machine) -> None:
    m.answer["stale"] = ("/usr/lib/libcuda.so.535.54", "/dev/nvidia1")


@case("memory.ram", "fail", "8.0 GiB of memory are free", "")
def _(m: Machine) -> None:
    m.memory = 8 * GIB


@case("memory.ram", "warn", "0.5 GiB of memory are free", "")
def _(m: Machine) -> None:
    m.memory, m.recipe, m.overrides = GIB // 2, "tiny", []


@case("memory.engine", "fail", "the engine's machine has 7.8 GiB, and 24", "Docker Desktop")
def _(m: Machine) -> None:
    m.answer["memory_bytes"] = int(7.8 * GIB)


@case("memory.engine", "fail", "23.4 GiB at most, and 24 are", "less")
def _(m: Machine) -> None:
    m.total = 26 * GIB


@case("memory.shm", "warn", "8 MiB free in /dev/shm, 64 needed", "remount")
def _(m: Machine) -> None:
    m.options["engine"] = "local"
    m.disk = m.statvfs(free=8 << 20)


@case("memory.shm", "warn", "no /dev/shm", "mount -t tmpfs")
def _(m: Machine) -> None:
    m.options["engine"] = "local"
    m.patch.setattr(memory.shutil, "disk_usage", no_folder)


def no_folder(_: object) -> None:
    raise FileNotFoundError


@case("disk.environment", "fail", "the image needs 7 GiB", "docker system prune")
def _(m: Machine) -> None:
    m.labels, m.disk = None, m.statvfs(free=5 * GIB)


@case("disk.environment", "fail", "the environment needs 7 GiB", "INVOKE_LLAVAKIT_ENVIRONMENTS=")
def _(m: Machine) -> None:
    without_environment(m)
    m.disk = m.statvfs(free=5 * GIB)


@case("disk.environment", "fail", "the image needs 7 GiB", "docker system prune")
def _(m: Machine) -> None:
    assert m.labels
    m.labels[environment.LABEL_ENVIRONMENT] = "0000"
    m.disk = m.statvfs(free=5 * GIB)


@case("disk.download", "fail", "16.7 GiB to fetch, 16.7 in all", "--workspace")
def _(m: Machine) -> None:
    m.disk = m.statvfs(free=16 * GIB)


@case("disk.download", "fail", "16.7 GiB to fetch, 23.7 in all", "--workspace")
def _(m: Machine) -> None:
    m.labels, m.disk = None, m.statvfs(free=20 * GIB)


@case("disk.write", "fail", "43.8 GiB to write, 60.5 in all", "--workspace /a/larger/disk")
def _(m: Machine) -> None:
    m.disk = m.statvfs(free=42 * GIB)


@case("disk.write", "fail", "one checkpoint at a time would fit", "train.checkpoints.keep=1")
def _(m: Machine) -> None:
    m.disk = m.statvfs(free=43 * GIB)


@case("disk.inodes", "fail", "room for 12 more files, 10000", "df -i")
def _(m: Machine) -> None:
    m.disk = m.statvfs(left=12)


@case("disk.inodes", "fail", "room for 20000 more files, 80000", "df -i")
def _(m: Machine) -> None:
    without_environment(m)
    m.disk = m.statvfs(left=20_000)


def unwritable(*_: object, **__: object) -> None:
    raise OSError(30, "Read-only file system")


@case("workspace.writable", "fail", "Read-only file system", "INVOKE_LLAVAKIT_WORKSPACE=")
def _(m: Machine) -> None:
    m.patch.setattr(place.tempfile, "TemporaryDirectory", unwritable)


@case("workspace.owner", "fail", "runs (places: 1)", "sudo chown -R")
def _(m: Machine) -> None:
    (m.root / "runs").mkdir()
    m.patch.setattr(place.os, "access", lambda path, _: Path(path).name != "runs")


@case("workspace.filesystem", "fail", "lacks: rename", "INVOKE_LLAVAKIT_WORKSPACE=")
def _(m: Machine) -> None:
    m.patch.setattr(place, "write_atomic", unwritable)


@case("workspace.filesystem", "fail", "lacks: lock", "INVOKE_LLAVAKIT_WORKSPACE=")
def _(m: Machine) -> None:
    class Deaf(FileLock):
        """As on a file system that grants every lock."""

        def _acquire(self) -> None:
            self._context.lock_file_fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT)

    m.patch.setattr(place, "FileLock", Deaf)


@case("workspace.filesystem", "fail", "lacks: symlink", "INVOKE_LLAVAKIT_WORKSPACE=")
def _(m: Machine) -> None:
    m.patch.setattr(Path, "symlink_to", unwritable)


@case("workspace.filesystem", "warn", "9p (WSL)", "INVOKE_LLAVAKIT_WORKSPACE=")
def _(m: Machine) -> None:
    m.patch.setattr(place, "file_system", lambda _: "9p")


@case("workspace.lock", "warn", "in use by invoke train (process 7)", "invoke runs")
def _(m: Machine) -> None:
    (m.root / ".lock-owner").write_text("invoke train (process 7)")
    lock = FileLock(m.root / ".lock")
    lock.acquire()
    m.kept = lock  # type: ignore[attr-defined]


@case("clock", "fail", "1970-01-02", "set-ntp true")
def _(m: Machine) -> None:
    m.patch.setattr(place.time, "time", lambda: 86400.0)


@case("clock", "fail", "is before this clone's own", "set-ntp true")
def _(m: Machine) -> None:
    m.patch.setattr(place, "newest_commit", lambda: time.time() + 3600)


@case("clock", "warn", "differs by -60 s", "set-ntp true")
def _(m: Machine) -> None:
    now = time.time
    m.patch.setattr(place, "newest_commit", lambda: 0.0)
    m.patch.setattr(place.time, "time", lambda: now() + 60)


@case("clock", "warn", "s in the future", "set-ntp true")
def _(m: Machine) -> None:
    for name, seconds in (("tiny-0", 900), ("tiny-1", -900)):
        kept = m.root / "runs" / name / "run.json"
        kept.parent.mkdir(parents=True)
        kept.touch()
        os.utime(kept, (time.time() + seconds,) * 2)


@case("network.llm", "fail", "www.modelscope.cn: refused", "HTTPS_PROXY")
def _(m: Machine) -> None:
    m.silent["modelscope"] = "refused"


@case("network.vision", "warn", "www.modelscope.cn: refused; but huggingface.co", "others")
def _(m: Machine) -> None:
    m.silent["modelscope"] = "refused"


@case("network.projector", "fail", "gitee.com: its certificate is not", "SSL_CERT_FILE=")
def _(m: Machine) -> None:
    m.silent["gitee"] = "network.why.certificate"


@case("network.data", "fail", "github.com: refused", "HTTPS_PROXY")
def _(m: Machine) -> None:
    m.silent["github"] = "refused"


@case("network.packages", "fail", "pypi.org: refused", "HTTPS_PROXY")
def _(m: Machine) -> None:
    m.labels, m.silent["pypi"] = None, "refused"


@case("network.base", "fail", "registry-1.docker.io: refused", "HTTPS_PROXY")
def _(m: Machine) -> None:
    m.labels, m.silent["docker.io"] = None, "refused"


def leftover(m: Machine, **labels: str) -> Leftover:
    labels = labels or checks.leftovers.job_labels(m.host().workspace)
    return Leftover("llavakit-train-1", "created", labels, str(m.root), 5)


@case("leftovers.containers", "warn", "(1): llavakit-train-1", " --fix")
def _(m: Machine) -> None:
    m.left = [leftover(m)]


@case("leftovers.containers", "warn", "(1): llavakit-train-1", " --fix")
def _(m: Machine) -> None:
    m.left = [replace(leftover(m, workspace="another"), workspace="/gone", seconds=900)]


@case("leftovers.files", "warn", "models/.tiny-1.partial", " --fix")
def _(m: Machine) -> None:
    half = m.root / "models" / ".tiny-1.partial"
    half.mkdir(parents=True)
    os.utime(half, (1, 1))


INFORMS = {"engine.user", "gpu.holders", "leftovers.downloads"}
"""Checks that say something and lack nothing."""


@pytest.mark.parametrize("check", [check.id for check in CHECKS])
def test_a_healthy_host_lacks_nothing(machine: Machine, check: str) -> None:
    finding = machine.look(check)
    skipped = {"local.python", "local.environment", "network.packages", "network.base"}
    assert finding.status == ("skip" if check in skipped else "pass"), finding
    assert finding.found
    assert finding.remedy == ""


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(
    ("check", "change", "status", "found", "remedy"),
    CASES,
    ids=[f"{case[0]}-{place}" for place, case in enumerate(CASES)],
)
def test_what_a_host_lacks_is_said_with_a_remedy(
    machine: Machine, check: str, change: Change, status: str, found: str, remedy: str, lang: str
) -> None:
    change(machine)
    machine.lang = lang
    finding = machine.look(check)
    assert finding.status == status, finding
    assert finding.remedy
    assert "\n" not in finding.remedy
    if lang == "en":
        assert found in finding.found
        assert remedy in finding.remedy
    else:
        assert any("一" <= char <= "鿿" for char in finding.found)


def test_every_check_has_a_host_that_lacks_what_it_looks_for() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    assert {case[0] for case in CASES} | INFORMS == set(ids)


@pytest.mark.parametrize(
    ("change", "uid", "words"),
    [
        ({"rootless": True}, 0, "root in a container is you"),
        ({"remaps_users": True}, 5, "userns=host) and run as you"),
        ({"remaps_users": True}, 0, "userns=host) and run as uid 10001, since you are root"),
        ({}, 5, "jobs run as you, never as root"),
        ({}, 0, "jobs run as uid 10001, since you are root, never as root"),
    ],
)
def test_who_jobs_are(machine: Machine, change: dict[str, object], uid: int, words: str) -> None:
    machine.answer |= change
    machine.patch.setattr(os, "getuid", lambda: uid)
    machine.patch.setattr(engine.mounts, "job_user", lambda _: (uid or 10001, 1))
    assert words in machine.look("engine.user").found


def test_a_file_system_that_counts_no_files_has_room_for_them(machine: Machine) -> None:
    machine.disk = machine.statvfs(files=0, left=0)
    assert machine.look("disk.inodes").status == "skip"


def test_who_holds_the_gpu(machine: Machine) -> None:
    assert machine.look("gpu.holders").found == "nobody that can be seen"
    machine.held = [Holder(L20.uuid, 5, "python3", 100)]
    assert machine.look("gpu.holders").found == "python3 (process 5): 100 MiB"


def test_a_recipe_s_own_training_does_not_take_the_gpu_from_it(machine: Machine) -> None:
    machine.gpus = [replace(L20, free_mib=100)]
    assert machine.look("gpu.memory").status == "fail"
    run = machine.host().pipeline.run_dir
    run.mkdir(parents=True)
    with workspace.busy(run):
        finding = machine.look("gpu.memory")
    assert (finding.status, "own training" in finding.found) == ("pass", True)


def test_a_download_that_was_cut_off_is_no_leftover(machine: Machine) -> None:
    part = machine.root / "models" / "downloads" / ".clip-1.parts" / "x.bin.abc"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 2_000_000)
    assert "2.0 MB are here" in machine.look("leftovers.downloads").found
    assert machine.look("leftovers.files").status == "pass"


def test_a_recipe_without_a_gpu_is_told_so_once(machine: Machine) -> None:
    machine.recipe, machine.overrides, machine.device = "tiny", [], False
    gpu = [machine.look(check.id) for check in CHECKS if check.id.startswith("gpu.")]
    assert {(finding.status, finding.found) for finding in gpu} == {
        ("skip", "no GPU, and this recipe needs none")
    }


def test_a_command_at_work_owns_what_lies_there(machine: Machine) -> None:
    machine.left = [leftover(machine)]
    half = machine.root / "models" / ".tiny-1.partial"
    half.mkdir(parents=True)
    os.utime(half, (1, 1))
    with FileLock(machine.root / ".lock"):
        assert machine.look("leftovers.containers").status == "pass"
        assert machine.look("leftovers.files").status == "pass"


def test_a_run_that_is_driven_keeps_what_it_has(machine: Machine) -> None:
    machine.left = [leftover(machine)]
    run = machine.root / "runs" / "tiny-0"
    run.mkdir(parents=True)
    with FileLock(run / driver.LOCK_FILE):
        assert machine.look("leftovers.containers").status == "pass"
    assert machine.look("leftovers.containers").status == "warn"


def test_another_workspace_s_containers_are_its_own(machine: Machine) -> None:
    theirs = leftover(machine, workspace="another")
    machine.left = [replace(theirs, workspace="/gone", seconds=30),
                    replace(theirs, seconds=9000),
                    replace(theirs, workspace="", seconds=9000)]  # fmt: skip
    assert machine.look("leftovers.containers").status == "pass"


def test_a_workspace_that_may_not_be_looked_at_is_not_gone(machine: Machine) -> None:
    theirs = leftover(machine, workspace="another")
    machine.left = [replace(theirs, workspace="/private/w", seconds=9000)]
    stat = Path.stat

    def look(path: Path, **options: bool) -> os.stat_result:
        if path.parts[:2] == ("/", "private"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    machine.patch.setattr(Path, "stat", look)
    assert machine.look("leftovers.containers").status == "pass"
    machine.left.append(replace(theirs, name="gone", workspace="/gone/w", seconds=9000))
    assert "(1): gone" in machine.look("leftovers.containers").found


def test_what_is_to_be_pasted_is_for_the_same_workspace_and_recipe(machine: Machine) -> None:
    machine.options |= {"workspace": "/my disk/w", "weights": "random", "engine": "docker",
                        "data": "workspace/x"}  # fmt: skip
    same = "--recipe tutorial --set train.checkpoints.keep=2 --weights random --data workspace/x"
    same += " --engine docker"
    machine.left = [leftover(machine)]
    fix = machine.look("leftovers.containers").remedy
    assert fix == f"invoke doctor {same} --workspace '/my disk/w' --fix"
    machine.disk = machine.statvfs(free=5 * GIB)
    assert machine.look("disk.write").remedy == f"invoke doctor {same} --workspace /a/larger/disk"
    host = machine.host()
    assert host.lacks("warn", "disk.write-keep", need=1, all=1, free=1).remedy == (
        "invoke train --recipe tutorial --weights random --data workspace/x --engine docker"
        " --workspace '/my disk/w' --set train.checkpoints.keep=1"
    )
    assert host.lacks("warn", "workspace.in-use", owner="x").remedy == (
        "invoke runs --workspace '/my disk/w'"
    )
    assert host.lacks("warn", "local.missing", folder="x").remedy == (
        "invoke demo --engine docker --workspace '/my disk/w'"
    )


def test_mirrors_are_asked_in_place_of_the_hubs(machine: Machine) -> None:
    machine.environ |= {"MODELSCOPE_DOMAIN": "ms.example", "HF_ENDPOINT": "https://hf.example"}
    assert machine.look("network.vision").found == "answers: ms.example, hf.example"
    machine.labels = None
    machine.environ["UV_DEFAULT_INDEX"] = "https://me:secret@index.example/simple"
    assert machine.look("network.packages").found == "answers: index.example"
    machine.options["base"] = "mirror.example/nvidia/cuda:12"
    assert machine.look("network.base").found == "answers: mirror.example"
