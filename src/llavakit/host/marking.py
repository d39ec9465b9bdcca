"""Marks: the answers of a submission held against the references, on the host and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llavakit.host import rouge
from llavakit.host.assignment import Assignment, Least, Question
from llavakit.host.grade_form import Share
from llavakit.submission import CheckedRecord

DIGITS = 2


def shares(
    assignment: Assignment, answers: Sequence[str], record: CheckedRecord | None
) -> list[Share]:
    """The points of a submission that passed its check; ``answers`` in the questions' order, whose
    references are known.
    """
    found = [Share(kind="valid", points=assignment.valid, of=assignment.valid)]
    found += [
        question_share(question, answer)
        for question, answer in zip(assignment.questions, answers, strict=True)
    ]
    return [each for each in (*found, *record_shares(assignment, record)) if each.of]


def question_share(question: Question, answer: str) -> Share:
    """What one answer is worth."""
    assert question.references != "data"  # noqa: S101 - they were read from there
    references, worth = question.references, question.points
    exact = rouge.exact(answer, references) if references else None
    overlap = rouge.rouge_l(answer, references) if references else None
    keywords = {word: has_keyword(answer, word) for word in question.keywords}
    points = worth.exact * bool(exact) + worth.rouge_l * (overlap or 0.0)
    if keywords:
        points += worth.keywords * sum(keywords.values()) / len(keywords)
    return Share(
        kind="question",
        points=round(points, DIGITS),
        of=worth.total,
        picture=question.picture,
        question=question.question,
        held_out=question.held_out,
        answer=answer,
        references=references,
        exact=exact,
        rouge_l=overlap,
        keywords=keywords,
    )


def record_shares(assignment: Assignment, record: CheckedRecord | None) -> list[Share]:
    """Nothing of a record counts that was not verified."""
    worth = assignment.record
    if worth is None:
        return []
    verified = record is not None and record.verified
    found = [Share(kind="record", points=worth.points * verified, of=worth.points)]
    if worth.seconds:
        found.append(_least("seconds", worth.seconds, record.seconds if record else None, verified))
    if worth.gpu_mib:
        peak = record.peak_gpu_mib if record else None
        found.append(_least("gpu_mib", worth.gpu_mib, peak, verified))
    if worth.host_mib:
        peak = record.peak_host_mib if record else None
        found.append(_least("host_mib", worth.host_mib, peak, verified))
    return found


def _least(kind: str, least: Least, found: float | None, verified: bool) -> Share:
    met = verified and found is not None and found <= least.most
    body = {"kind": kind, "points": least.points * met, "of": least.points}
    return Share.model_validate({**body, "found": found, "most": least.most})


def has_keyword(answer: str, word: str) -> bool:
    """Whether one of the alternatives (``one|other``) stands in the answer: as words of its own
    where it is written in letters that are parted by blanks.
    """
    text = rouge.plain(answer)
    for each in map(rouge.plain, word.split("|")):
        edge = r"\b" if each.isascii() else ""
        if each and re.search(f"{edge}{re.escape(each)}{edge}", text):
            return True
    return False


def total(found: Sequence[Share]) -> float:
    """The mark."""
    return round(sum(share.points for share in found), DIGITS)
