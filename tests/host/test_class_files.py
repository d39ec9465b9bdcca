"""A class's page, table and other formats: from one model, and with strangers' texts in them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from llavakit.errors import SubmissionError
from llavakit.host import class_files, grade_formats, similar
from llavakit.host.grade_form import Grade
from llavakit.submission import CheckedRecord, Reason

SCRIPT = "<script>alert(1)</script>"
EVIL = f"=HYPERLINK(1) {SCRIPT} 学生"


def grade(student: str = "alice", **changes: Any) -> Grade:
    question = {
        "kind": "question", "points": 3, "of": 10, "picture": "a.png", "question": "What is it?",
        "answer": f"A boat {SCRIPT}\x1b[2J", "references": ["A secret reference."],
        "exact": False, "rouge_l": 0.25, "keywords": {"boat": True, "red": False},
    }  # fmt: skip
    held = {**question, "held_out": True, "question": "Held out?", "answer": "hidden answer"}
    record = {"kind": "seconds", "points": 5, "of": 5, "found": 12, "most": 60}
    body: dict[str, Any] = {
        "assignment": "tiny", "assignment_sha256": "a" * 64, "student": student,
        "submission_sha256": "b" * 64, "verdict": "graded", "points": 11, "of": 25,
        "shares": [question, held, record], "seed": 7, "weights_sha256": "c" * 64,
        "sketch": [0.6, 0.8], "provenance": {"host": "h", "graded": "2026-01-01T00:00:00Z"},
    }  # fmt: skip
    return Grade.model_validate({**body, **changes})


def refused(student: str = "bob") -> Grade:
    why = Reason.of(SubmissionError("pickle", file=f"x{SCRIPT}.pkl"))
    return grade(student, verdict="refused", points=0, shares=[], reasons=[why], sketch=[])


def not_graded(student: str = "carol") -> Grade:
    why = Reason.of(SubmissionError("not-graded"))
    return grade(student, verdict="not graded", points=None, shares=[], reasons=[why], sketch=[])


CLASS = [grade(EVIL), refused(), not_graded()]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_escapes_everything_and_needs_nothing(lang: str) -> None:
    page = class_files.html("T", CLASS, similar.pairs(CLASS, 0.9), lang)
    assert SCRIPT not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
    assert "\x1b" not in page
    assert "default-src 'none'" in page
    for outside in ("http://", "https://", "src=", "<script", "url("):
        assert outside not in page
    assert "A secret reference." in page  # the page is the teacher's


def test_the_table_for_programs() -> None:
    rows = list(csv.DictReader(io.StringIO(class_files.csv_text(CLASS, []))))
    assert [row["verdict"] for row in rows] == ["graded", "refused", "not graded"]
    assert [row["points"] for row in rows] == ["11.0", "0.0", ""]
    assert rows[0]["student"].startswith("'=HYPERLINK"), "no formula"
    assert rows[0]["1: a.png What is it?"] == "3.0"
    assert "is a pickle" in rows[1]["reasons"]


def test_who_is_alike() -> None:
    other = {"submission_sha256": "d" * 64}
    found = similar.pairs(
        [
            grade("a"),
            grade("b"),
            grade("c", **other),
            grade("d", submission_sha256="e" * 64, weights_sha256="f" * 64, sketch=[0.61, 0.79]),
            grade("e", submission_sha256="0" * 64, weights_sha256="1" * 64, sketch=[-0.8, 0.6]),
            refused("f"),
        ],
        0.98,
    )
    said = {(pair.one, pair.other): (pair.same, pair.cosine) for pair in found}
    assert said[("a", "b")] == ("files", 1.0)
    assert said[("a", "c")] == ("tensors", 1.0)
    assert said[("a", "d")] == ("", 1.0)
    assert not any("e" in pair or "f" in pair for pair in said)
    nothing = [
        grade("x", sketch=[0, 0]),
        grade("y", sketch=[0, 0], weights_sha256="2" * 64, submission_sha256="3" * 64),
    ]
    assert similar.pairs(nothing, 0.5) == []


GRADESCOPE_TEST = {"score", "max_score", "status", "name", "name_format", "number", "output",
                   "output_format", "tags", "visibility", "extra_data"}  # fmt: skip
GRADESCOPE = {"score", "execution_time", "output", "output_format", "test_output_format",
              "test_name_format", "visibility", "stdout_visibility", "extra_data", "tests",
              "leaderboard"}  # fmt: skip
"""All fields of the specification."""


def test_gradescope() -> None:
    body = grade_formats.gradescope(CLASS[0], "en")
    assert body is not None
    assert set(body) <= GRADESCOPE
    assert body["score"] == 11
    assert "11 of 25" in body["output"]
    for test in body["tests"]:
        assert set(test) <= GRADESCOPE_TEST
        assert test["status"] in ("passed", "failed")
        assert test["visibility"] in ("hidden", "after_due_date", "after_published", "visible")
        assert test["output_format"] == "text", "a stranger's text is no HTML"
    assert [test["visibility"] for test in body["tests"]] == ["visible", "hidden", "visible"]
    assert sum(test["score"] for test in body["tests"]) == 11
    zero = grade_formats.gradescope(CLASS[1], "en")
    assert zero is not None
    assert (zero["score"], zero["tests"]) == (0, [])
    assert "is a pickle" in zero["output"]


def test_prairielearn() -> None:
    body = grade_formats.prairielearn(CLASS[0], "zh")
    assert body is not None
    assert body["gradable"] is True
    assert body["score"] == pytest.approx(11 / 25)
    fields = {"name", "description", "points", "max_points", "message", "output", "images"}
    assert all(set(test) <= fields for test in body["tests"])
    assert len(body["tests"]) == 2, "it knows no hidden tests"
    refusal = grade_formats.prairielearn(CLASS[1], "en")
    assert refusal is not None
    assert set(refusal) == {"gradable", "format_errors"}
    assert refusal["gradable"] is False
    assert "is a pickle" in refusal["format_errors"][0]


@pytest.mark.parametrize("name", list(grade_formats.FORMATS))
def test_students_learn_no_reference_and_no_held_out_answer(name: str) -> None:
    text = json.dumps(grade_formats.FORMATS[name](CLASS[0], "en"))
    assert "A boat" in text
    for secret in ("secret reference", "hidden answer", "Held out?"):
        assert secret not in text


@pytest.mark.parametrize("name", list(grade_formats.FORMATS))
def test_what_was_not_graded_is_no_zero(name: str, tmp_path: Path) -> None:
    assert grade_formats.FORMATS[name](CLASS[2], "en") is None
    class_files.write(tmp_path, "T", [grade("carol")], 0.9, "en")
    assert (tmp_path / name / "carol.json").exists()
    class_files.write(tmp_path, "T", [CLASS[2]], 0.9, "en")
    assert not (tmp_path / name / "carol.json").exists(), "an old mark does not stay"


def test_a_record_that_was_not_verified_is_told() -> None:
    why = Reason.of(SubmissionError("record-differs", what="seed 1, not 2"))
    told = grade(record=CheckedRecord(verified=False, reasons=(why,)).model_dump())
    assert "seed 1, not 2" in grade_formats.summary(told, "en")
    assert "seed 1, not 2" in class_files.html("T", [told], [], "zh")


def test_names_of_files() -> None:
    names = ["alice", "a/../b", "a_.._b", "..", ".", "学生", "x" * 200, "x" * 201, "a\nb", "a b"]
    made = [class_files.file_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert all("/" not in name and not name.startswith(".") and len(name) < 100 for name in made)
    assert made[0] == "alice"
