"""Questions and pictures, and a conversation."""

from __future__ import annotations

import pytest

from llavakit.recipe import Ask
from llavakit.steps import ask, chat

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
