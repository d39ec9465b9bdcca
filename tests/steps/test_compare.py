"""Answers before and after, side by side."""

from __future__ import annotations

import json

from llavakit.steps import compare
from llavakit.steps.scores import Scorer


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
