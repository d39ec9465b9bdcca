"""Every check on a healthy host, and on one that lacks just what it looks for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from host.doctor import (  # noqa: F401 - each keeps its cases
    lacking_engine,
    lacking_gpu,
    lacking_network,
    lacking_place,
)
from host.doctor.lacking import CASES, Change, leftover
from host.doctor.machine import GIB, L20, Machine

from llavakit import workspace
from llavakit.host import driver
from llavakit.host.doctor import engine
from llavakit.host.doctor.checks import CHECKS
from llavakit.host.nvidia import Holder

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
