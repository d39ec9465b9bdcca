"""Which submissions of a class are alike: by their bytes, by their tensors, by what they compute.

Every student trains with a seed of their own, so that equal tensors are no chance. Adapters that
compute nearly the same, though their numbers differ, show in the cosine of their sketches (see
llavakit.steps.likeness), which is right to a few hundredths. What it means is for a person to say.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

from llavakit.host.grade_form import GRADED, Grade


@dataclass(frozen=True)
class Pair:
    """Two students. ``same`` says what of theirs is equal: ``files``, ``tensors`` or nothing."""

    one: str
    other: str
    same: str
    cosine: float

    @property
    def rank(self) -> tuple[bool, float]:
        return bool(self.same), self.cosine


def pairs(grades: Sequence[Grade], alike: float) -> list[Pair]:
    """The pairs that are equal, or alike from that cosine on; the most alike first."""
    graded = [grade for grade in grades if grade.verdict == GRADED]
    found = []
    for one, other in itertools.combinations(graded, 2):
        same = ""
        if one.submission_sha256 == other.submission_sha256:
            same = "files"
        elif one.weights_sha256 == other.weights_sha256:
            same = "tensors"
        cosine = _cosine(one.sketch, other.sketch)
        if same or cosine >= alike:
            found.append(Pair(one.student, other.student, same, round(cosine, 3)))
    return sorted(found, key=lambda pair: pair.rank, reverse=True)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    if len(one) != len(other):
        return 0.0
    product = sum(map(mul, one, other))
    norms = math.sqrt(sum(map(mul, one, one)) * sum(map(mul, other, other)))
    return product / norms if norms else 0.0
