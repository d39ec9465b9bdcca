"""The comparison as a table and as a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from llavakit import recipe as recipes
from llavakit.host import plan, results
from llavakit.host.settings import KIT
from llavakit.workspace import Workspace


def content(before: float, after: float, swapped: float | None = 0.1) -> dict[str, Any]:
    side = {"answer": "a\x1b[31m\ufffd\n b", "rouge_l": 0.5, "exact": False}
    rows = [{"image": "x/boat.png", "question": "What?", "before": side, "after": side}]
    means = {"before": {"rouge_l": before}, "after": {"rouge_l": after}}
    if swapped is not None:
        means["swapped"] = {"rouge_l": swapped}
    return {"rows": rows, "means": means}


def shown(body: dict[str, Any], width: int = 80) -> str:
    console = Console(width=width, record=True)
    console.print(results.comparison_table(body, "tiny-1"))
    return console.export_text()


def judged(body: dict[str, Any]) -> list[tuple[str, bool]]:
    """The verdict on the scores; that on iterations needs a run."""
    checks = results.verdict(tiny(), Workspace(Path("nowhere")), body)
    assert checks[0] == ("None iterations, 80 planned", False)
    return checks[1:]


def tiny() -> plan.Plan:
    recipe = recipes.load(KIT / "configs" / "recipes" / "tiny.yaml")
    return plan.make(recipe, kit=KIT, lock_sha256="0" * 64)


@pytest.mark.parametrize(
    ("scores", "met"),
    [
        ((0.0, 1.0, 0.1), [True, True, True]),
        ((0.2, 1.0, 0.1), [False, True, True]),
        ((0.0, 0.8, 0.1), [True, False, True]),
        ((0.0, 1.0, 0.6), [True, True, False]),
        ((0.15, 0.9, 0.5), [True, True, True]),
    ],
)
def test_the_verdict_holds_the_scores_against_the_recipe(
    scores: tuple[float, float, float], met: list[bool]
) -> None:
    assert [each for _, each in judged(content(*scores))] == met


def test_a_question_without_a_reference_has_no_score() -> None:
    side = {"answer": "yes", "rouge_l": None, "exact": None}
    body = content(0.1, 0.9)
    body["rows"][0].update(before=side, after=side)
    body["means"]["before"]["rouge_l"] = None
    assert "yes" in shown(body)
    assert len(judged(body)) == 2


def test_what_was_not_asked_is_not_judged() -> None:
    assert len(judged(content(0, 1, None))) == 2


def test_a_common_question_stands_once() -> None:
    text = shown(content(0.1, 0.9))
    assert text.count("What?") == 1
    assert "0.90" in text


def test_control_codes_of_an_untrained_model_never_reach_the_terminal() -> None:
    text = shown(content(0.1, 0.9))
    assert "\x1b" not in text
    assert "\ufffd" not in text


def test_a_table_fits_a_narrow_terminal() -> None:
    assert max(len(line) for line in shown(content(0.1, 0.9), width=60).splitlines()) <= 60
