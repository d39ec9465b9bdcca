"""The host's own ROUGE-L and exact match, against the libraries of the environment."""

from __future__ import annotations

import random

from llavakit.host import rouge
from llavakit.steps.scores import Scorer, Tokenizer

LETTERS = "abcAB12.,-/ 中文字&'\n{~é。"


def test_every_character_is_split_as_sacrebleu_does_it() -> None:
    tokenize = Tokenizer().tokenize
    points = [*range(1, 0xD800), *range(0xE000, 0x10000), *range(0x10000, 0x2FA20, 7)]
    odd = []
    for point in points:
        text = f"a{chr(point)}b 1{chr(point)}2.3, {chr(point)}"
        if rouge.tokens(text) != tokenize(text):
            odd.append(hex(point))
    assert odd == []


def test_scores_are_those_of_rouge_score() -> None:
    draw, scorer = random.Random(0), Scorer()  # noqa: S311 - texts for a test

    def text() -> str:
        return "".join(draw.choice(LETTERS) for _ in range(draw.randrange(40)))

    for _ in range(2000):
        answer, references = text(), [text(), text()]
        assert rouge.rouge_l(answer, references) == scorer.rouge_l(answer, references)
        assert rouge.exact(answer, references) == bool(scorer.exact(answer, references))
