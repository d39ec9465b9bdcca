"""Exact match and ROUGE-L, for English and Chinese answers alike.

ROUGE-L is rouge_score's F-measure over the tokens of sacrebleu's ``zh`` tokenizer: every Chinese
character is a token, everything else is split as in mteval-v13a. Text is lower-cased before.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any


class Scorer:
    """Scores an answer against its references; the best over the references counts."""

    def __init__(self) -> None:
        from rouge_score.rouge_scorer import RougeScorer

        self._rouge = RougeScorer(["rougeL"], tokenizer=Tokenizer())

    def rouge_l(self, answer: str, references: Sequence[str]) -> float:
        """F1 of the longest common subsequence, 0 to 1. Raises ValueError without references."""
        scores = self._rouge.score_multi(list(references), answer)
        return round(float(scores["rougeL"].fmeasure), 6)

    def exact(self, answer: str, references: Sequence[str]) -> float:
        """1.0 when the answer is one of the references, but for case and outer blanks."""
        return float(_plain(answer) in {_plain(reference) for reference in references})


class Tokenizer:
    """What rouge_score asks a tokenizer to be."""

    def __init__(self) -> None:
        from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

        self._zh = TokenizerZh()

    def tokenize(self, text: str) -> list[str]:
        """The tokens of ``text``."""
        return str(self._zh(text.lower())).split()


def description() -> dict[str, Any]:
    """What the figures are, by name and version."""
    return {
        "name": "ROUGE-L F1 and exact match, the best over a question's references",
        "library": f"rouge-score {version('rouge-score')}",
        "tokenizer": f"sacrebleu {version('sacrebleu')} zh, lower-cased",
    }


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
