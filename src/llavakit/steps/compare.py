"""The compare step: the same questions before and after the training.

``comparison.json``: ``{"version": 1, "metric", "rows", "means"}``. A row has the picture, the
question, its references and, for ``before``, ``after`` and (where it was asked) ``swapped``,
``{"answer", "rouge_l", "exact"}``; ``means`` are over the rows that have references.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from llavakit.errors import StepError
from llavakit.steps import common, outputs
from llavakit.steps.common import Job
from llavakit.steps.scores import Scorer, description

Row = dict[str, Any]
SIDES = ("before", "after", "swapped")


def make(job: Job) -> None:
    """Write ``--out``. Raises StepError ``not-comparable``."""
    before, after = _answers(job.args.before), _answers(job.args.after)
    if list(map(_asked, before)) != list(map(_asked, after)):
        raise StepError("not-comparable", before=job.args.before, after=job.args.after)
    scorer = Scorer()
    rows = [compare_row(old, new, scorer) for old, new in zip(before, after, strict=True)]
    value = {"version": 1, "metric": description(), "rows": rows, "means": means(rows)}
    outputs.file(job.args.out, value, job)


def compare_row(old: Row, new: Row, scorer: Scorer) -> Row:
    """One question with both models' answers and their scores.

    The swapped answer is the trained model's about another picture, scored against the references
    of this one. Scores are null where the data has no reference.
    """
    answers = {"before": old["answer"], "after": new["answer"]}
    if "swapped_answer" in new:
        answers["swapped"] = new["swapped_answer"]
    references = new["references"]
    row: Row = {name: new[name] for name in ("image", "question", "references")}
    if "swapped_image" in new:
        row["swapped_image"] = new["swapped_image"]
    for side, answer in answers.items():
        row[side] = {
            "answer": answer,
            "rouge_l": scorer.rouge_l(answer, references) if references else None,
            "exact": scorer.exact(answer, references) if references else None,
        }
    return row


def means(rows: list[Row]) -> dict[str, dict[str, float | None]]:
    """Mean scores by side; a side that was never asked is left out, null where none has scores."""
    result = {}
    for side in SIDES:
        scored = [row[side] for row in rows if side in row]
        if scored:
            result[side] = {name: _mean(scored, name) for name in ("rouge_l", "exact")}
    return result


def _mean(scored: list[Row], name: str) -> float | None:
    values = [entry[name] for entry in scored if entry[name] is not None]
    return round(sum(values) / len(values), 6) if values else None


def _asked(row: Row) -> tuple[str, str, list[str]]:
    return row["image"], row["question"], row["references"]


def _answers(path: Path) -> list[Row]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return list(value["answers"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StepError("no-answers", file=path, why=str(error)) from None


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--before", type=Path, required=True, help="answers before the training")
    parser.add_argument("--after", type=Path, required=True, help="answers after it")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")


if __name__ == "__main__":
    sys.exit(common.run("compare", make, _arguments))
