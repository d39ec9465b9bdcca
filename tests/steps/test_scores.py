"""Scores: by characters or by words, of the best reference."""

from __future__ import annotations

import pytest

from llavakit.steps.scores import Scorer, Tokenizer, description


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
