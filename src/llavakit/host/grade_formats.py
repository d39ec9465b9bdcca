"""A grade in the formats of other platforms, each made from our own.

Gradescope: https://gradescope-autograders.readthedocs.io/en/latest/specs/ (``results.json``).
PrairieLearn: https://docs.prairielearn.com/externalGrading/ (``/grade/results/results.json``).

Both show what they are given to students: the answers to held-out questions, and all references,
stay out. A submission that was not graded has no file, since both read a missing file as a failure
of the grading and a zero as a mark.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from llavakit.host import words
from llavakit.host.grade_form import GRADED, NOT_GRADED, Grade, Share
from llavakit.schema import Part
from llavakit.submission import Reason

LONGEST = 2000
"""Characters of an answer that are shown; PrairieLearn takes 1 MB in all."""
Visibility = Literal["hidden", "after_due_date", "after_published", "visible"]
Output = Literal["text", "html", "simple_format", "md", "ansi"]
Points = Annotated[float, Field(ge=0)]


class GradescopeTest(Part):
    score: Points
    max_score: Points
    status: Literal["passed", "failed"]
    name: str
    name_format: Output
    number: str
    output: str
    output_format: Output
    visibility: Visibility


class Gradescope(Part):
    """``score`` overrides the sum of the tests'; all other fields are optional there."""

    score: Points
    output: str
    output_format: Output
    stdout_visibility: Visibility
    extra_data: dict[str, Any]
    tests: tuple[GradescopeTest, ...]


class PrairieTest(Part):
    name: str
    description: str
    points: Points
    max_points: Points
    message: str
    output: str


class PrairieLearn(Part):
    """``score`` is mandatory for what is gradable, 0 to 1. What is not gradable costs no attempt
    and says why in ``format_errors``. Any additional data may stand beside them.
    """

    model_config = ConfigDict(extra="forbid")

    gradable: bool
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    message: str = ""
    format_errors: tuple[str, ...] = ()
    tests: tuple[PrairieTest, ...] = ()


def gradescope(grade: Grade, lang: str) -> dict[str, Any] | None:
    """results.json for Gradescope; None for what was not graded."""
    if grade.verdict == NOT_GRADED:
        return None
    tests = tuple(
        GradescopeTest(
            score=share.points,
            max_score=share.of,
            status="passed" if share.points >= share.of else "failed",
            name=name(share, lang),
            name_format="text",
            number=str(number),
            output=detail(share, lang),
            output_format="text",
            visibility="hidden" if share.held_out else "visible",
        )
        for number, share in enumerate(grade.shares, start=1)
    )
    extra = {"assignment": grade.assignment, "verdict": grade.verdict, "seed": grade.seed}
    made = Gradescope(
        score=grade.points or 0.0,
        output=summary(grade, lang),
        output_format="text",
        stdout_visibility="hidden",
        extra_data={**extra, "submission_sha256": grade.submission_sha256},
        tests=tests,
    )
    return made.model_dump(mode="json")


def prairielearn(grade: Grade, lang: str) -> dict[str, Any] | None:
    """results.json for PrairieLearn; None for what was not graded."""
    if grade.verdict == NOT_GRADED:
        return None
    if grade.verdict != GRADED:
        errors = tuple(f"{each.what(lang)} {each.remedy(lang)}" for each in grade.reasons)
        refused = PrairieLearn(gradable=False, format_errors=errors)
        return refused.model_dump(mode="json", include={"gradable", "format_errors"})
    tests = tuple(
        PrairieTest(
            name=name(share, lang),
            description="",
            points=share.points,
            max_points=share.of,
            message="",
            output=detail(share, lang),
        )
        for share in grade.shares
        if not share.held_out  # it has no hidden tests
    )
    score = round((grade.points or 0.0) / grade.of, 6)
    made = PrairieLearn(gradable=True, score=score, message=summary(grade, lang), tests=tests)
    return made.model_dump(mode="json", exclude={"format_errors"})


FORMATS: dict[str, Callable[[Grade, str], dict[str, Any] | None]] = {
    "gradescope": gradescope,
    "prairielearn": prairielearn,
}


def name(share: Share, lang: str) -> str:
    """What points are for, in a few words."""
    if share.kind == "question":
        return share.question if not share.held_out else words.text("grade.held-out", lang)
    return words.text(f"grade.{share.kind}", lang)


def detail(share: Share, lang: str) -> str:
    """What a student learns of it: nothing of a held-out question."""
    if share.kind != "question" or share.held_out:
        if share.found is None or share.most is None:
            return ""
        return words.text("grade.most", lang, found=share.found, most=share.most)
    lines = [words.text("grade.answered", lang, answer=share.answer[:LONGEST])]
    if share.rouge_l is not None:
        lines.append(f"ROUGE-L {share.rouge_l:.3f}")
    for word, there in share.keywords.items():
        lines.append(f"{'+' if there else '-'} {word}")
    return "\n".join(lines)


def summary(grade: Grade, lang: str) -> str:
    """The mark, or why there is none, and what is wrong with the record."""
    lines = []
    if grade.verdict == GRADED:
        lines.append(words.text("grade.mark", lang, points=grade.points, of=grade.of))
    record: tuple[Reason, ...] = grade.record.reasons if grade.record else ()
    lines += [f"{each.what(lang)} {each.remedy(lang)}" for each in (*grade.reasons, *record)]
    return "\n".join(lines)
