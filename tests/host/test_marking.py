"""Marks, seeds and assignments: what is asked, and what an answer is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from llavakit.errors import AssignmentError
from llavakit.host import assignment, marking
from llavakit.host.assignment import FOLDER, Assignment, Question
from llavakit.submission import CheckedRecord

QUESTION: dict[str, Any] = {
    "picture": "x.png", "question": "What?", "references": ["A red boat.", "一艘红色的船。"],
    "keywords": ["boat|ship", "red"], "points": {"exact": 2, "rouge_l": 4, "keywords": 4},
}  # fmt: skip
RAW: dict[str, Any] = {
    "assignment": 1, "name": "x", "title": "X", "recipe": "tiny", "max_new_tokens": 8,
    "questions": [QUESTION], "valid": 10,
    "record": {"points": 5, "seconds": {"points": 3, "most": 60}},
}  # fmt: skip


def made(**changes: Any) -> Assignment:
    return Assignment.model_validate({**RAW, **changes})


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        ("A red boat.", 10),
        ("  a RED\nboat. ", 10),
        ("一艘红色的船。", 6),
        ("A green boat.", 4 * 0.75 + 2),
        ("a reddish boathouse", 4 * 2 * (1 / 3 * 1 / 4) / (1 / 3 + 1 / 4)),
        ("A red ship.", 4 * 0.75 + 4),
        ("", 0),
    ],
)
def test_what_an_answer_is_worth(answer: str, points: float) -> None:
    share = marking.question_share(Question.model_validate(QUESTION), answer)
    assert share.points == pytest.approx(points, abs=0.005)
    assert share.of == 10


def test_a_record_counts_only_when_it_was_verified() -> None:
    def points(record: CheckedRecord | None) -> list[float]:
        return [share.points for share in marking.record_shares(made(), record)]

    assert points(CheckedRecord(verified=True, seconds=50.0)) == [5, 3]
    assert points(CheckedRecord(verified=True, seconds=61.0)) == [5, 0]
    assert points(CheckedRecord(verified=True)) == [5, 0]
    assert points(CheckedRecord(verified=False, seconds=1.0)) == [0, 0]
    assert points(None) == [0, 0]
    assert marking.record_shares(made(record=None), None) == []


def test_the_whole_mark() -> None:
    shares = marking.shares(made(), ["A red boat."], None)
    assert [share.kind for share in shares] == ["valid", "question", "record", "seconds"]
    assert marking.total(shares) == 20
    assert made().total == 28 == sum(share.of for share in shares)


def test_every_student_has_a_seed_that_anybody_can_compute() -> None:
    """The rule of docs/grading.md, and what it gives: students have trained with these."""
    assert assignment.load("tiny").seed("alice") == 1363433314
    assert assignment.load("tutorial").seed("alice") == 757074314
    assert len({made().seed(f"s{number}") for number in range(300)}) == 300
    assert 0 <= made().seed("学生\n\udcff") < 2**31


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_kits_own_assignments(path: Path) -> None:
    asked = assignment.load(path.stem)
    assert asked.name == path.stem
    assert asked.total == 100
    assert any(question.held_out for question in asked.questions)
    for question in asked.questions:
        if not question.picture.startswith("data:"):
            assert (assignment.KIT / asked.pictures / question.picture).is_file()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"questions": []}, "questions"),
        ({"questions": [{**QUESTION, "references": []}]}, "need references"),
        ({"questions": [{**QUESTION, "keywords": []}]}, "need keywords"),
        ({"bonus": 3}, "bonus"),
        ({"name": "../x"}, "name"),
        ({"alike": 2}, "alike"),
    ],
)
def test_what_is_no_assignment(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({**RAW, **change}))
    with pytest.raises(AssignmentError) as caught:
        assignment.load(str(path))
    assert (caught.value.id, said in caught.value.why) == ("assignment.bad-value", True)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(AssignmentError) as caught:
        assignment.load("nosuch")
    assert caught.value.id == "assignment.not-found"
    assert "tiny, tutorial" in caught.value.remedy()
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(AssignmentError) as caught:
        assignment.load(str(tmp_path / "a.yaml"))
    assert caught.value.id == "assignment.not-yaml"
