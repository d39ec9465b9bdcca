"""ROUGE-L and exact match as the compare step computes them, with nothing but Python.

Marks are made on the host, which has neither rouge_score nor sacrebleu; a test in the environment
holds this module against both. Tokens are those of sacrebleu's ``zh`` tokenizer over lower-cased
text: every Chinese character is one, all else is split as in mteval-v13a.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

CHINESE = re.compile(
    "([\u3400-\u4db5\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\uff00-\uffef\u3000-\u303f"
    "\u3100-\u312f\u31a0-\u31bf\ufe10-\ufe1f\ufe30-\ufe4f\u3200-\u33ff"
    # Two ranges of the tokenizer's are beyond 16 bits but written with four digits: this is what
    # they come to, radicals, strokes and symbols included.
    "\u2001-\u2a6d\u2f81-\u2fa1\u2e80-\u2eff\u31c0-\u31ef\u2f00-\u2fdf\u2ff0-\u2fff])"
)
SPLITS = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
"""Symbols; full stops and commas but within numbers; hyphens after digits."""


def tokens(text: str) -> list[str]:
    """The tokens of ``text``."""
    line = CHINESE.sub(r" \1 ", text.lower().strip())
    for pattern, replacement in SPLITS:
        line = pattern.sub(replacement, line)
    return line.split()


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """F1 of the longest common subsequence with the best reference, 0 to 1, to six digits."""
    found = tokens(answer)
    return round(max(_f1(tokens(reference), found) for reference in references), 6)


def exact(answer: str, references: Sequence[str]) -> bool:
    """Whether the answer is one of the references, but for case and blanks."""
    return plain(answer) in {plain(reference) for reference in references}


def plain(text: str) -> str:
    """``text`` in lower case with single blanks."""
    return " ".join(text.lower().split())


def _f1(wanted: list[str], found: list[str]) -> float:
    if not wanted or not found:
        return 0.0
    common = _common(wanted, found)
    precision, recall = common / len(found), common / len(wanted)
    return 2 * precision * recall / (precision + recall) if common else 0.0


def _common(one: list[str], other: list[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        above = 0
        for column, there in enumerate(other, start=1):
            left_above, above = above, row[column]
            row[column] = left_above + 1 if word == there else max(row[column], row[column - 1])
    return row[-1]
