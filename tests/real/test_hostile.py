"""Grading against the real engine: equal marks each time, and a class of hostile submissions.

One class is graded once, and every test looks at what became of one of its members. What a parser
that was taken over could do is tried with the very job that checks submissions, in which hostile
code stands in the place of ours.
"""

from __future__ import annotations

import csv
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import submissions
from real.command_line import REQUIRED, Kit, docker_is_missing

from llavakit.engines.docker import DockerEngine, connect
from llavakit.errors import AssignmentError
from llavakit.host import assignment, grade_check
from llavakit.host.grade_form import Grade
from llavakit.host.grade_jobs import Bench
from llavakit.host.grade_setup import Setup
from llavakit.host.handed import Handed
from llavakit.submission import TENSORS, Shapes

pytestmark = [pytest.mark.engine, pytest.mark.environment]
TENSOR_FILE = "llm_adapter/adapter_model.safetensors"
MARK = "a mark on the host"
TEN = [f"same-{number}" for number in range(10)]


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    if reason := docker_is_missing():
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(reason)
    made = Kit(tmp_path_factory.mktemp("grading") / "w")
    yield made
    made.run("clean", "--yes")


def grade(kit: Kit, folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    done = kit.run("grade", str(folder), "--engine", "docker", "--json", *words)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def shapes(kit: Kit) -> dict[str, Shapes]:
    """What a submission holds, as the kit itself declares it."""
    folder = kit.root.parent / "first"
    (folder / "nobody").mkdir(parents=True)
    status, body = grade(kit, folder)
    assert status == 0
    assert body["counts"] == {"graded": 0, "refused": 1, "not graded": 0}
    assert body["grades"][0]["reasons"][0]["id"] == "submission.missing-file"
    declared = next((kit.root / "cache" / "grading").glob("declared-*[!k].json"))
    return {
        name: Shapes.model_validate(part) for name, part in json.loads(declared.read_text()).items()
    }


@pytest.fixture(scope="module")
def made(kit: Kit, shapes: dict[str, Shapes]) -> dict[str, Any]:
    """The class, graded."""
    folder = kit.root.parent / "class"
    good = submissions.write(kit.root.parent / "good", shapes)
    names = [*TEN, "before", "zzz-after"]
    for name in names:
        submissions.copy(good, folder / name)
    _spoil(folder, good, shapes)
    status, body = grade(kit, folder)
    assert status == 0
    body["by"] = {each["student"]: each for each in body["grades"]}
    body["folder"] = folder
    return body


def _spoil(folder: Path, good: Path, shapes: dict[str, Shapes]) -> None:
    def member(name: str) -> Path:
        return submissions.copy(good, folder / name)

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch '{folder.parent / MARK}'",)

    import pickle

    (member("pickle") / TENSOR_FILE).write_bytes(pickle.dumps(Evil()))
    code = member("code") / "projector"
    (code / "modeling_projector.py").write_text("import socket; socket.create_server(('', 4242))")
    submissions.edit_json(code / "config.json", auto_map={"AutoModel": "modeling_projector.Evil"})
    (member("links") / "README.md").symlink_to("/etc/passwd")
    (member("links-to-answers") / "notes").symlink_to(assignment.FOLDER)
    (folder / "is-a-link").symlink_to("/etc")
    with zipfile.ZipFile(folder / "slip.zip", "w") as archive:
        archive.writestr(f"../../{MARK}", "x")
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.md", bytes(16 << 20))
    with zipfile.ZipFile(folder / "many.zip", "w") as archive:
        for number in range(100_000):
            archive.writestr(f"{number}", b"")
    submissions.put_number(member("nan") / TENSOR_FILE, float("nan"))
    submissions.put_number(member("inf") / TENSOR_FILE, float("inf"))
    huge = {"shape": [64, 200_000_000], "data_offsets": [0, 51_200_000_000]}
    name = next(iter(shapes["llm_adapter"].tensors))
    submissions.edit_header(member("huge") / TENSOR_FILE, lambda header: header[name].update(huge))
    os.truncate(member("sparse") / TENSOR_FILE, 50 * 10**9)
    submissions.edit_json(member("rank") / "llm_adapter" / "adapter_config.json", r=8)
    submissions.edit_json(member("base") / "llm_adapter" / "adapter_config.json",
                          base_model_name_or_path="/root/vicuna-7b")  # fmt: skip
    (member("newline\nin 名字") / "分数\n.json").write_text("{}")
    (member("scores") / "results.json").write_text('{"score": 100}')
    largest = member("largest")  # finite, and whatever the model makes of it
    header, body = submissions.split(largest / TENSOR_FILE)
    numbers = b"\xff\xff\x7f\x7f" * (len(body) // 4)
    (largest / TENSOR_FILE).write_bytes(submissions.with_header(header, numbers))


EXPECTED = {
    "pickle": "pickle", "code": "code", "links": "link", "links-to-answers": "link",
    "is-a-link": "link", "slip": "escapes", "bomb": "too-large", "many": "too-many-files",
    "nan": "not-finite", "inf": "not-finite", "huge": "tensor-shape", "sparse": "too-large",
    "rank": "other-setting", "base": "other-base", "newline\\nin 名字": "bad-name",
    "scores": "unexpected-file",
}  # fmt: skip


@pytest.mark.parametrize("student", list(EXPECTED))
def test_each_gets_its_reason(made: dict[str, Any], student: str) -> None:
    found = made["by"][student]
    assert found["verdict"] == "refused"
    assert found["points"] == 0
    assert f"submission.{EXPECTED[student]}" in [each["id"] for each in found["reasons"]]


def test_none_ran_and_the_class_is_whole(made: dict[str, Any], kit: Kit) -> None:
    assert not list(kit.root.parent.rglob(MARK))
    assert made["counts"] == {"graded": 13, "refused": len(EXPECTED), "not graded": 0}
    rows = list(csv.DictReader(Path(made["files"]["grades.csv"]).read_text().splitlines()))
    assert len(rows) == 13 + len(EXPECTED)
    page = Path(made["files"]["grades.html"]).read_text()
    assert "newline\\nin 名字" in page


def test_a_neighbour_is_not_hurt(made: dict[str, Any]) -> None:
    """Graded before and after weights as large as fp32 has them, in the same warm model."""
    assert made["by"]["largest"]["verdict"] == "graded"
    before, after = made["by"]["before"], made["by"]["zzz-after"]
    assert before["shares"] == after["shares"]
    assert before["shares"] != made["by"]["largest"]["shares"]


def test_ten_times_the_same_is_ten_times_the_same(made: dict[str, Any], kit: Kit) -> None:
    kept = {}
    for path in kit.root.glob("grades/tiny/*/*.json"):
        body = json.loads(path.read_text())
        kept[body["student"]] = body
    alike = set()
    for name in TEN:
        body = kept[name]
        assert (body.pop("student"), body["verdict"]) == (name, "graded")
        assert body.pop("seed") == assignment.load("tiny").seed(name)
        body.pop("provenance")
        alike.add(json.dumps(body))
    assert len(alike) == 1, "byte for byte"


def test_graded_again_from_nothing_it_is_equal(made: dict[str, Any], kit: Kit) -> None:
    """What is graded stays; without its file it is graded anew, to the same bytes."""
    folder = kit.root.parent / "again"
    submissions.copy(kit.root.parent / "good", folder / "before")
    [path] = [path for path in kit.root.glob("grades/tiny/*/*.json")
              if json.loads(path.read_text())["student"] == "before"]  # fmt: skip
    kept, time = Grade.model_validate_json(path.read_bytes()), path.stat().st_mtime_ns
    grade(kit, folder)
    assert path.stat().st_mtime_ns == time, "it was not graded twice"
    path.unlink()
    grade(kit, folder)
    anew = Grade.model_validate_json(path.read_bytes())
    assert anew.model_dump_json(exclude={"provenance"}) == kept.model_dump_json(
        exclude={"provenance"}
    )


def test_nothing_is_left(made: dict[str, Any], kit: Kit) -> None:
    assert not list(kit.root.glob("cache/grading/*/jobs/*"))
    assert not list(kit.root.glob("cache/grading/*/clean/*"))
    client = connect()
    names = client.containers.list(all=True, filters={"label": "io.llavakit.grading"})
    ours = [each for each in names if str(kit.root) in str(each.attrs["Mounts"])]
    client.close()
    assert ours == []


def test_local_has_no_isolation_and_grades_nothing(kit: Kit, tmp_path: Path) -> None:
    done = kit.run("grade", str(tmp_path), "--engine", "local")
    assert done.returncode != 0
    assert "isolation" in done.stderr
    assert "--engine docker" in done.stderr


# --- as if the parser had been taken over ---

TAKEN_OVER = """
import glob, os, socket, sys, time
words = ("sailing boat with two white", "keywords:", "references:")
found = [name for name in os.environ if "LLAVAKIT" in name or "SECRET" in name]
for top in ("/workspace", "/opt/llavakit", "/etc", "/tmp"):
    for folder, _, names in os.walk(top):
        for name in names:
            if not name.endswith((".py", ".pyc")) and "/env/" not in folder:
                try:
                    text = open(os.path.join(folder, name), errors="replace").read(1 << 22)
                except OSError:
                    continue
                found += [os.path.join(folder, name) for word in words if word in text]
print("answers", found)
sockets = ("/var/run/docker.sock", "/run/docker.sock")
print("sockets", [name for name in sockets if os.path.exists(name)])
for address in ("127.0.0.1", "172.17.0.1", "192.0.2.1"):
    try:
        socket.create_connection((address, 22), timeout=2)
        print("connected")
    except OSError:
        pass
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
caps = int(status["CapEff"], 16)
print("seccomp", status["Seccomp"].strip(), "caps", caps, "uid", os.getuid() != 0)
for name in ("/x", "/workspace/x", "/workspace/runs/x", "/workspace/inputs/submission/x",
             "/workspace/inputs/declared.json", "/opt/llavakit/x"):
    try:
        open(name, "a").close()
        print("written", name)
    except OSError:
        pass
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sizes = []
for name in ("/tmp/full", "/tmp/more", "/dev/shm/full", "/workspace/runs/llm_adapter.safetensors"):
    try:
        with open(name, "wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))
    except OSError:
        sizes.append(os.path.getsize(name) >> 20)
print("sizes", sizes)
children = 0
while True:
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        children += 1
    except OSError:
        break
print("children", children < 140)
report = '{"version": 1, "reasons": [], "files": {}, "score": 100}'
open("/workspace/runs/report.json", "w").write(report)
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture
def bench(kit: Kit, shapes: dict[str, Shapes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("LLAVAKIT_SECRET", "the answers")
    client = connect()
    asked = assignment.load("tiny")
    folder = kit.root / "cache" / "grading" / "taken-over"
    folder.mkdir(parents=True, exist_ok=True)
    setup = Setup(asked, "0" * 64, folder, shapes, {"train": {"llm_dtype": "float32"}}, "0" * 64,
                  {}, {})  # fmt: skip
    tag = os.environ.get("INVOKE_LLAVAKIT_IMAGE_TAG", "llavakit:0.1.0")
    yield Bench(DockerEngine(client, tag), setup, {"grading": "test"}, 1 << 30, (), "", {})
    client.close()


def take_over(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the job of a check run ``code``, all else as it is."""
    real = grade_check._check_job

    def job(*args: Any) -> Any:
        return replace(real(*args), argv=("-c", code))

    monkeypatch.setattr(grade_check, "_check_job", job)


@pytest.fixture
def handed(kit: Kit) -> Handed:
    return Handed("x", kit.root.parent / "good", "0" * 64)


def test_a_parser_that_was_taken_over_gets_nowhere(
    made: dict[str, Any], bench: Bench, handed: Handed, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_over(monkeypatch, TAKEN_OVER)
    lines: list[str] = []
    real = grade_check._run

    def run(*args: Any) -> Any:
        outcome, last = real(*args)
        lines.extend(last.splitlines())
        return outcome, last

    monkeypatch.setattr(grade_check, "_run", run)
    with pytest.raises(AssignmentError) as caught:
        grade_check.check(bench, handed, "1" * 64)
    assert caught.value.id == "assignment.bad-answer", "its own report is believed by nobody"
    most = 4 * max(part.numbers for part in bench.setup.shapes.values()) + (8 << 20)
    assert lines == [
        "answers []", "sockets []", "seccomp 2 caps 0 uid True",
        f"sizes [{most >> 20}, {16 - (most >> 20)}, 1, {most >> 20}]", "children True",
    ]  # fmt: skip
    assert not (bench.clean / ("1" * 64)).exists()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = [bytearray(64 << 20) for _ in range(64)]", "too-much-memory"),
        ("import time\nwhile True: time.sleep(1)", "too-long"),
    ],
)
def test_one_that_takes_all_is_ended(
    bench: Bench, handed: Handed, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    take_over(monkeypatch, code)
    limits = bench.setup.assignment.limits.model_copy(update={"check_seconds": 4})
    asked = bench.setup.assignment.model_copy(update={"limits": limits})
    quick = replace(bench, setup=replace(bench.setup, assignment=asked))
    report = grade_check.check(quick, handed, "1" * 64)
    assert [each.id for each in report.reasons] == [f"submission.{reason}"]


def test_one_that_prints_for_ever_is_no_verdict(
    bench: Bench, handed: Handed, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_over(monkeypatch, "while True: print('score: 100')")
    with pytest.raises(AssignmentError) as caught:
        grade_check.check(bench, handed, "1" * 64)
    assert caught.value.id == "assignment.check-failed"
    assert "printed more" in caught.value.what()


def test_files_that_may_not_be_read_are_no_verdict(bench: Bench, kit: Kit) -> None:
    """Whose mistake that is nobody knows; the teacher is told which file."""
    folder = submissions.copy(kit.root.parent / "good", kit.root.parent / "closed")
    (folder / TENSOR_FILE).chmod(0)
    with pytest.raises(AssignmentError) as caught:
        grade_check.check(bench, Handed("x", folder, "0" * 64), "2" * 64)
    (folder / TENSOR_FILE).chmod(0o600)
    assert caught.value.id == "assignment.check-failed"
    assert TENSOR_FILE in caught.value.what() + caught.value.why
    assert "Traceback" not in caught.value.why


def test_a_report_about_other_bytes_is_not_believed(
    bench: Bench, handed: Handed, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"version": 1, "reasons": [], "weights": "0" * 64,
            "files": dict.fromkeys(TENSORS, "0" * 64)}  # fmt: skip
    take_over(monkeypatch, f"open('runs/report.json', 'w').write({json.dumps(body)!r})")
    with pytest.raises(AssignmentError) as caught:
        grade_check.check(bench, handed, "1" * 64)
    assert caught.value.id == "assignment.bad-answer"
