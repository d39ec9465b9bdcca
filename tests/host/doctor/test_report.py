"""All checks in time, the lines for a person, the document for a program, and what --fix takes."""

from __future__ import annotations

import ast
import json
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from host.doctor.machine import Machine
from host.doctor.test_checks import leftover
from rich.console import Console

from llavakit.engines import docker_facts
from llavakit.engines.processes import JOBS_FOLDER, Note
from llavakit.errors import EngineError
from llavakit.host import doctor, environment, nvidia, words
from llavakit.host.doctor import checks, form, leftovers, place, probe, report
from llavakit.host.doctor.findings import Check, Finding, Host, is_held
from llavakit.host.doctor.form import Report
from llavakit.host.settings import KIT


@pytest.fixture(autouse=True)
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "look", lambda host: host.passed("gpu.nobody"))


def body(machine: Machine, capsys: pytest.CaptureFixture[str], **options: Any) -> Any:
    host = machine.host()
    host.pipeline.screen.json_output = True
    status = report.report(host, fix=options.get("fix", False))
    host.pipeline.screen.close(status)
    found = json.loads(capsys.readouterr().out)
    assert found["ready"] is (status == 0)
    return found


def test_a_ready_host_is_told_in_the_last_line(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.report(machine.host(), fix=False) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ready for tutorial"
    machine.labels = None
    assert report.report(machine.host(), fix=False) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ready for tutorial (warnings: 1)"


def test_what_fails_is_named_with_what_runs_here(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.device = False
    assert report.report(machine.host(), fix=False) == 1
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last == ["not ready for tutorial: gpu.device", "what runs here: invoke demo"]


def test_the_probe_is_spared_where_it_cannot_work(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.patch.setattr(probe, "look", lambda _: pytest.fail("probed"))
    machine.answer["gpus"] = "none"
    probed = next(check for check in body(machine, capsys)["checks"] if check["id"] == "gpu.probe")
    assert probed["status"] == "skip"


def test_many_of_one_theme_are_counted(machine: Machine) -> None:
    machine.silent, machine.device = {"": "off"}, False
    host = machine.host()
    said = report.verdict(host, checks.run(host))
    assert said == "not ready for tutorial: gpu.device, network (4)"


def test_on_a_broken_gpu_the_demo_leaves_it_alone(machine: Machine) -> None:
    machine.answer["gpus"] = "none"
    host = machine.host()
    assert report.runs_here(host, checks.run(host)) == "invoke demo --gpus none"


@pytest.mark.parametrize("lacks", ["nothing", "engine", "disk"])
def test_no_demo_is_promised_where_none_runs(machine: Machine, lacks: str) -> None:
    if lacks == "engine":
        machine.options["engine"] = "docker"
        machine.error = EngineError("no-daemon", why="refused", address="x")
    elif lacks == "disk":
        machine.disk = machine.statvfs(left=3)
    host = machine.host()
    assert report.runs_here(host, checks.run(host)) == ""


def test_a_program_reads_every_check(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    found = body(machine, capsys)
    assert found["version"] == 1
    assert found["recipe"] == "tutorial"
    assert found["engine"] == "docker"
    assert {check["id"] for check in found["checks"]} == {
        *(check.id for check in checks.CHECKS),
        "gpu.probe",
    }
    assert Report.model_validate(found).model_dump() == found


def test_the_published_schema_is_that_of_the_code() -> None:
    made = "PYTHONPATH=src .venv/bin/python -m llavakit.host.doctor.form > docs/doctor.schema.json"
    assert json.loads((KIT / "docs/doctor.schema.json").read_text()) == form.schema(), made


def slow(seconds: float) -> Any:
    def look(_: Host) -> Finding:
        time.sleep(seconds)
        return Finding("pass", "late")

    return look


def test_what_hangs_is_left_behind_and_said_to_hang(machine: Machine) -> None:
    table = [
        Check("engine.docker", slow(30), 0.3),
        Check("gpu.device", slow(30), 0.2),
        Check("disk.download", slow(0), 0.3),
        Check("leftovers.files", slow(30), 0.3, needed=False),
    ]
    began = time.monotonic()
    engine, gpu, disk, left = checks.run(machine.host(), table)
    assert time.monotonic() - began < 1
    assert engine.finding.status == "warn", "auto goes on without docker"
    assert "systemctl restart docker" in engine.finding.remedy
    assert (gpu.finding.status, gpu.finding.remedy) == ("fail", "sudo dmesg | grep -i xid")
    assert disk.finding.found == "late"
    assert left.finding.status == "warn"
    hanging = [each for each in threading.enumerate() if each is not threading.main_thread()]
    assert hanging
    assert all(each.daemon for each in hanging), "or the command would not end"


def test_no_check_may_take_five_seconds() -> None:
    assert max(check.seconds for check in checks.CHECKS) <= 4.0


def test_a_hung_nvidia_smi_does_not_hold_the_report(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.patch.setattr(nvidia, "gpus", lambda: time.sleep(30))
    found = body(machine, capsys)
    assert found["seconds"] < 5
    hung = {check["id"] for check in found["checks"] if "hangs" in check["found"]}
    assert {"gpu.device", "gpu.driver", "gpu.memory"} <= hung
    assert "engine.docker" not in hung


def test_one_broken_check_does_not_hide_the_others(machine: Machine) -> None:
    def broken(_: Host) -> Finding:
        raise ZeroDivisionError("by zero")

    def refuses(_: Host) -> Finding:
        raise EngineError("request-failed", why="boom")

    table = [Check("host", broken), Check("image.present", refuses), Check("disk", refusing),
             Check("clock", refusing, needed=False)]  # fmt: skip
    rows = checks.run(machine.host(), table)
    assert rows[0].finding.status == "warn"
    assert "ZeroDivisionError: by zero" in rows[0].finding.found
    assert rows[1].finding.status == "fail"
    assert "boom" in rows[1].finding.found
    assert [row.finding.status for row in rows[2:]] == ["fail", "warn"]
    assert rows[2].finding.found.startswith("The system does not let the kit use /private")


def shown(machine: Machine, width: int, rows: list[checks.Row]) -> list[str]:
    console = Console(width=width, file=open(os.devnull, "w"), record=True)  # noqa: SIM115, PTH123
    console.print(report.Lines(rows, ["verdict"], False, machine.lang), crop=False)
    console.file.close()
    return console.export_text().splitlines()


def test_findings_fit_80_columns_and_remedies_are_whole(machine: Machine) -> None:
    remedy = "sudo " + "word " * 40 + "end"
    rows = [
        checks.Row("a.long", Finding("fail", "found " * 30, remedy), 0),
        checks.Row("a.zh", Finding("pass", "显存" * 60), 0),
    ]
    lines = shown(machine, 80, rows)
    assert f"      -> {remedy}" in lines
    others = [line for line in lines if remedy not in line]
    assert max(Console().measure(line).maximum for line in others) <= 80
    assert lines[0].startswith("FAIL  a.long  found")
    assert lines[1].startswith(" " * 14 + "found")


def test_what_is_skipped_for_one_reason_is_one_line(machine: Machine) -> None:
    rows = [checks.Row(f"gpu.{name}", Finding("skip", "none"), 0) for name in "abc"]
    rows += [checks.Row("gpu.d", Finding("skip", "other"), 0)]
    assert [line.split()[1:] for line in shown(machine, 80, rows)[:2]] == [
        ["gpu.*", "(3)", "none"],
        ["gpu.d", "other"],
    ]


def littered(machine: Machine) -> list[Path]:
    """Half-made files of ours, old enough; and beside them what is not to be touched."""
    ours = [machine.root / "models/.tiny-1.partial", machine.root / "runs/r/.tuned.old",
            machine.root / ".llavakit-doctor-x"]  # fmt: skip
    theirs = [machine.root / "models/tiny-1", machine.root / "runs/r/train",
              machine.root / "models/downloads/.clip.parts"]  # fmt: skip
    for folder in (*ours, *theirs):
        folder.mkdir(parents=True)
        (folder / "file").touch()
        os.utime(folder, (1, 1))
    return ours


def test_fix_removes_what_is_ours_and_names_it_before(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = littered(machine)
    other = replace(leftover(machine, workspace="another"), name="theirs")
    machine.left = [leftover(machine), other]
    removed: list[str] = []

    def remove(_: object, names: list[str]) -> None:
        assert "llavakit-train-1" in capsys.readouterr().err, "named before"
        removed.extend(names)
        machine.left = [other]

    machine.patch.setattr(docker_facts, "remove", remove)
    found = body(machine, capsys, fix=True)
    assert removed == ["llavakit-train-1"]
    assert found["fixed"] == ["container llavakit-train-1", *sorted(map(str, ours))]
    left = {path.name for path in machine.root.rglob("*") if path.is_dir()}
    assert left >= {"tiny-1", "train", ".clip.parts"}
    assert left.isdisjoint(path.name for path in ours)
    by_id = {check["id"]: check["status"] for check in found["checks"]}
    assert by_id["leftovers.containers"] == by_id["leftovers.files"] == "pass"


def test_what_a_killed_writer_or_local_job_left_is_ours(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = machine.root / "runs" / "r" / ".run.json.ab12_x9z"
    whole, hidden = torn.with_name("run.json"), torn.with_name(".notes.json")
    jobs = machine.root / JOBS_FOLDER
    for folder in (torn.parent, jobs):
        folder.mkdir(parents=True)
    gone = replace(Note.of("gone", os.getpid(), {}), started="1", client_started="1")
    alive = Note.of("alive", os.getpid(), {})
    for note in (gone, alive):
        note.write(jobs)
        (jobs / f"{note.id}.log").touch()
    for file in (torn, whole, hidden):
        file.touch()
    for file in machine.root.rglob("*"):
        os.utime(file, (1, 1))
    host = machine.host()
    assert leftovers.fix(host) == sorted(map(str, (torn, jobs / "gone.json", jobs / "gone.log")))
    left = {path.name for path in machine.root.rglob("*") if path.is_file()}
    assert left == {"run.json", ".notes.json", "alive.json", "alive.log"}


def test_a_local_job_that_runs_keeps_all(machine: Machine) -> None:
    ours = littered(machine)
    jobs = machine.root / JOBS_FOLDER
    jobs.mkdir(parents=True)
    labels = checks.leftovers.job_labels(machine.host().workspace)
    Note.of("alive", os.getpid(), labels).write(jobs)
    (jobs / "alive.log").touch()
    assert leftovers.fix(machine.host()) == []
    assert all(path.exists() for path in ours)


def test_nothing_is_removed_unasked_or_while_a_command_is_at_work(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = littered(machine)
    machine.left = [leftover(machine)]
    machine.patch.setattr(docker_facts, "remove", lambda *_: pytest.fail("removed"))
    assert body(machine, capsys)["fixed"] == []
    (machine.root / ".lock-owner").write_text("invoke train (process 7)")
    with FileLock(machine.root / ".lock"):
        host = machine.host()
        assert leftovers.fix(host) == []
        assert "is left alone: invoke train (process 7)" in capsys.readouterr().err
        assert body(machine, capsys, fix=True)["fixed"] == []
    assert all(path.exists() for path in ours)


def test_a_command_that_began_meanwhile_is_left_alone(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = littered(machine)
    (machine.root / ".lock").touch()
    host = machine.host()
    assert host.at_rest()
    with FileLock(machine.root / ".lock"):
        assert leftovers.fix(host) == []
        assert "is left alone: ?" in capsys.readouterr().err
    assert all(path.exists() for path in ours)

    def while_removing(*_: object, **__: object) -> str:
        assert is_held(machine.root / ".lock"), "none begins while it removes"
        return "said"

    machine.patch.setattr(Host, "say", while_removing)
    assert len(leftovers.fix(host)) == len(ours)
    assert not is_held(machine.root / ".lock")


def test_what_a_doctor_makes_at_this_moment_stays(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine.root / ".llavakit-doctor-y").mkdir()
    assert body(machine, capsys, fix=True)["fixed"] == []


def test_what_a_doctor_has_not_done_with_stays_however_old(machine: Machine) -> None:
    with place.scratch(machine.root) as tried:
        os.utime(tried, (1, 1))
        assert leftovers.fix(machine.host()) == []
        assert tried.exists()
    assert not tried.exists()


def test_one_that_cannot_be_removed_does_not_keep_the_others(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = sorted(littered(machine))
    remove = shutil.rmtree

    def stubborn(path: Path) -> None:
        if path == first:
            raise PermissionError(1, "Operation not permitted", str(path))
        remove(path)

    machine.patch.setattr(shutil, "rmtree", stubborn)
    assert leftovers.fix(machine.host()) == list(map(str, others))
    said = f"cannot be removed: {first} (Operation not permitted)"
    assert said in capsys.readouterr().err


def test_a_workspace_that_may_not_be_looked_into_is_left_alone(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    host, private = machine.host(), machine.root
    stat = Path.stat

    def look(path: Path, **options: Any) -> os.stat_result:
        if path.is_relative_to(private):
            raise denied(path)
        return stat(path, **options)

    machine.patch.setattr(Path, "stat", look)
    machine.patch.setattr(os.path, "exists", lambda path: not Path(path).is_relative_to(private))
    assert host.nearest == private.parent
    machine.patch.setattr(Host, "at_work", refusing)
    assert leftovers.fix(host) == []
    assert "The system does not let the kit use /private" in capsys.readouterr().err


def denied(path: object) -> PermissionError:
    return PermissionError(13, "Permission denied", str(path))


def refusing(_: Host) -> Any:
    raise denied("/private")


def test_nothing_is_left_behind_by_looking(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    body(machine, capsys)
    assert list(machine.root.iterdir()) == []


def test_every_finding_that_lacks_something_has_its_words() -> None:
    keys = set()
    for path in Path(str(doctor.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "lacks":
                found = ast.walk(node.args[1])
                keys |= {each.value for each in found if isinstance(each, ast.Constant)}
    keys = {key for key in keys if isinstance(key, str) and "." in key}
    assert len(keys) > 30
    assert [key for key in keys if f"doctor.{key}.remedy" not in words.TABLE] == []


def test_the_host_s_environment_is_not_made_by_looking(machine: Machine) -> None:
    engine = environment.present(machine.host().settings, None)
    assert engine.name == "local"
    assert not environment.has_local(machine.host().settings)
