"""The form of a grade: what one submission was found to be, in our own words.

All other formats are made from it. What is not in ``provenance`` depends on the submission, the
assignment and the machine's kind alone: graded again it is equal, byte for byte.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from llavakit.schema import AS_TUPLE, Part, Sha256
from llavakit.submission import CheckedRecord, Reason

VERSION: Literal[1] = 1
GRADED, REFUSED, NOT_GRADED = "graded", "refused", "not graded"
Number = Annotated[float, Field(strict=False)]


class Share(Part):
    """Points for one thing."""

    kind: Literal["valid", "question", "record", "seconds", "gpu_mib", "host_mib"]
    points: Number
    of: Number
    picture: str = ""
    question: str = ""
    held_out: bool = False
    answer: str = ""
    references: Annotated[tuple[str, ...], AS_TUPLE] = ()
    exact: bool | None = None
    rouge_l: Number | None = None
    keywords: dict[str, bool] = Field(default_factory=dict)
    """Which were found."""
    found: Number | None = None
    """The record's figure."""
    most: Number | None = None
    """The figure that it must not exceed."""


class Grade(Part):
    version: Literal[1] = VERSION
    assignment: str
    assignment_sha256: Sha256
    """Of all that decides a mark: questions, references, rubric, recipe and base weights."""
    student: str
    submission_sha256: Sha256
    verdict: Literal["graded", "refused", "not graded"]
    reasons: Annotated[tuple[Reason, ...], AS_TUPLE] = ()
    """Why it was refused or not graded."""
    points: Number | None
    """None where nothing was graded: that is no zero."""
    of: Number
    shares: Annotated[tuple[Share, ...], AS_TUPLE] = ()
    seed: int
    """The student's."""
    record: CheckedRecord | None = None
    weights_sha256: Sha256 | None = None
    sketch: Annotated[tuple[Number, ...], AS_TUPLE] = ()
    provenance: dict[str, Any]
    """When, where and with what: never compared."""

    @property
    def final(self) -> bool:
        """Whether nothing is gained by grading it again."""
        return self.verdict != NOT_GRADED
