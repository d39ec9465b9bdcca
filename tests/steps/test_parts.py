"""Small parts: checkpoints, history, outputs, faults, scores, questions."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from llavakit import errors
from llavakit.errors import DataError, StepError, WorkspaceError
from llavakit.locks import StepLock
from llavakit.recipe import Ask
from llavakit.steps import ask, chat, checkpoints, compare, faults, history, outputs
from llavakit.steps.scores import Scorer, Tokenizer, description


class Events:
    def __init__(self):
        self.seen = []

    def emit(self, kind, **fields):
        self.seen.append((kind, fields))


class Job:
    step, key, events = "data", "aa", Events()


# --- checkpoints


def test_a_file_is_whole_when_its_end_is_there(tmp_path):
    path = tmp_path / "iter_5.pth"
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, path)
    assert checkpoints.is_whole(path)
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert not checkpoints.is_whole(path), size


def test_a_deepspeed_folder_is_whole_with_every_part(tmp_path):
    folder = tmp_path / "iter_7.pth"
    folder.mkdir()
    names = ["mp_rank_00_model_states.pt", "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"]
    for name in names:
        assert not checkpoints.is_whole(folder)
        torch.save({"a": torch.zeros(10)}, folder / name)
    assert checkpoints.is_whole(folder)
    assert not checkpoints.is_whole(folder, world_size=2)
    assert sorted(path.name for path in checkpoints.files(folder)) == sorted(names)
    (folder / names[1]).write_bytes(b"PK")
    assert not checkpoints.is_whole(folder)


def test_newest_is_by_number_and_torn_ones_go(tmp_path):
    for number in (9, 10, 100):
        torch.save({"a": torch.zeros(10)}, tmp_path / f"iter_{number}.pth")
    (tmp_path / "iter_100.pth").write_bytes(b"")
    (tmp_path / "iter_200.pth").mkdir()
    (tmp_path / "other.pth").write_bytes(b"")
    assert checkpoints.newest(tmp_path).iteration == 10
    assert [item.iteration for item in checkpoints.found(tmp_path)] == [9, 10]
    checkpoints.prune(tmp_path, 1)
    assert [item.iteration for item in checkpoints.found(tmp_path)] == [10]
    assert checkpoints.newest(tmp_path / "none") is None


# --- history


def test_a_checkpoint_that_cannot_be_read_now_is_not_removed(tmp_path, monkeypatch):
    torch.save({"a": 1}, tmp_path / "iter_1.pth")

    def refuse(*_):
        raise PermissionError(errno.EACCES, "not now")

    monkeypatch.setattr(checkpoints.zipfile, "ZipFile", refuse)
    with pytest.raises(PermissionError):
        checkpoints.newest(tmp_path)
    assert (tmp_path / "iter_1.pth").exists()


def test_what_an_interruption_leads_to_is_an_interruption():
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise RuntimeError("unexpected pos 64 vs 0") from None
    except RuntimeError as error:
        assert faults.explain(error, "train", Path("runs/r")).id == "step.interrupted"


def test_history_is_cut_back_and_forgets_a_torn_line(tmp_path):
    record = history.History(tmp_path)
    for n in range(1, 6):
        record.add(n, 1.0 / n, 0.1)
    with (tmp_path / history.LINES).open("a") as file:
        file.write('{"iteration": 6, "lo')
    assert len(record.rows()) == 5
    record.cut(3)
    assert [row["iteration"] for row in record.rows()] == [1, 2, 3]
    assert record.missing(3) is None
    assert "3 iterations instead of 4" in str(record.missing(4))
    record.add(4, float("nan"), 0.1)
    assert "iteration 4 is not finite" in str(record.missing(4))


# --- outputs


def test_an_old_folder_stays_until_the_new_one_is_whole(tmp_path):
    final = tmp_path / "d"
    with outputs.folder(final, Job) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), outputs.folder(final, Job) as folder:
        (folder / "a").write_text("new")
        _ = 1 / 0
    assert (final / "a").read_text() == "old"
    assert StepLock(final / "lock.json").check("aa").fresh
    with outputs.folder(final, Job, why="x") as folder:
        (folder / "b").write_text("new")
    assert sorted(path.name for path in final.iterdir()) == ["b", "lock.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_leftovers_of_a_killed_attempt_are_cleared(tmp_path):
    final = tmp_path / "d"
    for name in (".d.partial", ".d.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    with pytest.raises(ZeroDivisionError), outputs.folder(final, Job):
        _ = 1 / 0
    assert (final / "a").read_text() == ".d.old", "killed between two renames: the old one is back"
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


HOLD = """
import sys
from pathlib import Path
from llavakit.steps import outputs
class Job: step, key = "data", "bb"
with outputs.folder(Path(sys.argv[1]), Job) as folder:
    (folder / "a").write_text("theirs")
    print("in", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other_maker():
    """Start another process that makes a folder until it is told to end."""
    source = Path(outputs.__file__).parents[2]
    with contextlib.ExitStack() as stack:

        def start(final):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HOLD, final], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(source)},
                )
            )  # fmt: skip
            stack.callback(process.kill)
            assert process.stdout.readline() == b"in\n"
            return process

        yield start


def test_two_runs_never_make_one_output_at_once(tmp_path, other_maker):
    final = tmp_path / "models" / "m"
    process = other_maker(final)
    with pytest.raises(WorkspaceError) as caught, outputs.folder(final, Job):
        pytest.fail("both are making it")
    assert (caught.value.id, caught.value.params) == ("workspace.busy", {"folder": str(final)})
    with pytest.raises(WorkspaceError):
        outputs.file(final, {}, Job)
    with outputs.folder(final.with_name("n"), Job):
        pass
    process.communicate(b"\n", timeout=30)
    assert process.returncode == 0
    assert (final / "a").read_text() == "theirs"
    assert StepLock(final / "lock.json").check("bb").fresh
    assert sorted(path.name for path in final.parent.iterdir()) == ["m", "n"]


def test_a_killed_maker_holds_nothing(tmp_path, other_maker):
    final = tmp_path / "m"
    process = other_maker(final)
    process.kill()
    process.wait(30)
    with outputs.folder(final, Job) as folder:
        assert list(folder.iterdir()) == []
    outputs.file(tmp_path / "x.json", {}, Job)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "x.json", "x.lock.json"]


# --- faults


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    RuntimeError("[enforce fail at inline_container.cc:588] . PytorchStreamWriter failed writing "
                 "file data/0: file write failed"),
    RuntimeError("[enforce fail at inline_container.cc:424] . unexpected pos 384 vs 342"),
    Exception("No space left on device (os error 28)"),
]  # fmt: skip


@pytest.mark.parametrize("cause", FULL)
def test_a_full_disk_is_known_however_deep(cause):
    try:
        try:
            raise cause
        except Exception as error:
            raise ValueError("wrapped") from error
    except ValueError as error:
        found = faults.explain(error, "train", Path("runs/r"))
    assert found.id == "workspace.disk-full"
    assert found.params["folder"] == "runs/r"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "step.out-of-memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "step.out-of-memory"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"), "step.out-of-memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
         "step.out-of-memory"),
        (KeyboardInterrupt(), "step.interrupted"),
        (DataError("empty", file="x"), "data.empty"),
        (ValueError("no"), None),
        (OSError(errno.ENOENT, "no"), None),
    ],
)  # fmt: skip
def test_known_errors(error, expected):
    found = faults.explain(error, "train", Path("r"))
    assert (found.id if found else None) == expected


def test_a_real_allocation_that_cannot_be_had_is_out_of_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert faults.explain(caught.value, "ask", Path("r")).id == "step.out-of-memory"


def test_the_steps_errors_cross_the_wire():
    error = StepError("failed", step="train", how="ValueError: {odd}", log="runs/r/logs/train.log")
    assert errors.from_wire(error.to_wire()).what() == error.what()


# --- scores


def test_chinese_is_scored_by_characters():
    assert Tokenizer().tokenize("A 红色帆船, OK") == ["a", "红", "色", "帆", "船", ",", "ok"]
    scorer = Scorer()
    assert scorer.rouge_l("红色的帆船", ["红色帆船"]) == pytest.approx(8 / 9, abs=1e-6)
    assert scorer.rouge_l("蓝天", ["红色帆船"]) == 0.0
    assert scorer.rouge_l("图中有 2 只猫。", ["图中有 2 只猫。"]) == 1.0


def test_the_best_reference_counts():
    scorer = Scorer()
    assert scorer.rouge_l("a red boat", ["nothing", "A red boat", "boat"]) == 1.0
    assert scorer.exact(" A red  boat", ["x", "a Red boat"]) == 1.0
    assert scorer.exact("a boat", ["a red boat"]) == 0.0
    assert scorer.rouge_l("", ["a red boat"]) == 0.0


def test_the_metric_is_named_with_versions():
    assert description()["library"].startswith("rouge-score 0.")
    assert "zh" in description()["tokenizer"]


# --- compare


def answered(question="q", references=("一只猫",), answer="", **more):
    return {"image": "i", "question": question, "references": list(references),
            "answer": answer, **more}  # fmt: skip


def test_a_row_holds_both_answers_and_the_swapped_one():
    new = answered(answer="一只猫", swapped_image="j", swapped_answer="狗")
    row = compare.compare_row(answered(), new, Scorer())
    assert row["after"] == {"answer": "一只猫", "rouge_l": 1.0, "exact": 1.0}
    assert row["swapped"]["rouge_l"] == row["before"]["rouge_l"] == 0.0
    assert compare.means([row])["after"] == {"rouge_l": 1.0, "exact": 1.0}


def test_a_question_without_references_has_no_score():
    row = compare.compare_row(answered(references=()), answered(references=()), Scorer())
    assert row["after"]["rouge_l"] is None
    assert compare.means([row]) == {
        "before": {"rouge_l": None, "exact": None}, "after": {"rouge_l": None, "exact": None}
    }  # fmt: skip


def test_different_questions_are_not_compared(bench):
    here = bench()
    for name, question in (("a", "one"), ("b", "two")):
        value = {"version": 1, "answers": [answered(question)]}
        (here.root / f"{name}.json").write_text(json.dumps(value))
    done = here.step("compare", "--before", "a.json", "--after", "b.json", "--out", "c.json")
    assert done.error.id == "step.not-comparable"
    (here.root / "b.json").write_text("{")
    done = here.step("compare", "--before", "a.json", "--after", "b.json", "--out", "c.json")
    assert done.error.id == "step.no-answers"
    assert not (here.root / "c.json").exists()


# --- ask


TABLE = {
    "pictures": ["a.png", "b.png"],
    "questions": [
        {"image": "a.png", "question": "What?", "opens": True, "references": ["x", "y"]},
        {"image": "a.png", "question": "Why?", "opens": False, "references": ["z"]},
        {"image": "b.png", "question": "What?", "opens": True, "references": ["w"]},
    ],
}


def test_the_datas_own_first_questions():
    rows = ask.rows(Ask(questions="data", swapped=True), TABLE)
    assert [(row["image"], row["swapped_image"], row["references"]) for row in rows] == [
        ("a.png", "b.png", ["x", "y"]), ("b.png", "a.png", ["w"])
    ]  # fmt: skip


def test_given_questions_about_every_picture():
    rows = ask.rows(Ask(questions=("Why?", "New?")), TABLE)
    assert [(row["image"], row["question"], row["references"]) for row in rows] == [
        ("a.png", "Why?", ["z"]), ("a.png", "New?", []),
        ("b.png", "Why?", []), ("b.png", "New?", []),
    ]  # fmt: skip
    assert "swapped_image" not in rows[0]


def test_one_picture_cannot_be_swapped():
    table = {"pictures": ["a.png"], "questions": TABLE["questions"][:2]}
    assert "swapped_image" not in ask.rows(Ask(questions="data", swapped=True), table)[0]


# --- chat


def test_each_turn_sees_those_before_it():
    seen, said = [], []

    def answer(question, turns):
        seen.append(list(turns))
        return question.upper()

    chat.converse(["a", "b"], answer, said.append)
    assert seen == [[], [("a", "A")]]
    assert said == [{"answer": "A"}, {"answer": "B"}]


@pytest.mark.parametrize("line", ["x", "[]", '{"q": 1}', '{"question": 3}', '{"question": " "}'])
def test_a_line_without_a_question_is_refused_and_the_talk_goes_on(line):
    refused = []
    lines = [line, "\n", '{"question": "好?"}']
    assert list(chat.questions(lines, refused.append)) == ["好?"]
    assert len(refused) == 1
