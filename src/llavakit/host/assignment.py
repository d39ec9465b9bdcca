"""An assignment: what is asked of a submission and what it is worth, from configs/grading.

It holds the reference answers, so that it stays on the host: no container is given this file, nor
anything that is made from it but questions and pictures.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from llavakit.errors import AssignmentError
from llavakit.host.settings import KIT
from llavakit.recipe import NAME_PATTERN
from llavakit.schema import AS_TUPLE, NotNegative, Part, PositiveFloat, PositiveInt, Text

FOLDER = KIT / "configs" / "grading"
OF_DATA = "data:"
"""Before a picture's name: it is one of the recipe's own data."""
SEEDS = 2**31


class Points(Part):
    """What one question is worth, by how it is judged."""

    exact: NotNegative = 0.0
    """All of it when the answer is one of the references, but for case and blanks."""
    rouge_l: NotNegative = 0.0
    """Times ROUGE-L F1 against the best reference."""
    keywords: NotNegative = 0.0
    """Times the share of the keywords that the answer has."""

    @property
    def total(self) -> float:
        return self.exact + self.rouge_l + self.keywords


class Question(Part):
    picture: Text
    """A file beside ``pictures``, or ``data:NAME`` for one of the recipe's data."""
    question: Text
    references: Annotated[tuple[Text, ...], AS_TUPLE] | Literal["data"] = ()
    """Right answers; ``data``: those that the recipe's data have."""
    keywords: Annotated[tuple[Text, ...], AS_TUPLE] = ()
    """Words that belong in an answer; ``one|other`` is either."""
    points: Points
    held_out: bool = False
    """Nobody has seen it before: its answers are not shown to students."""

    @model_validator(mode="after")
    def _can_be_judged(self) -> Question:
        if (self.points.exact or self.points.rouge_l) and not self.references:
            raise ValueError("points for exact or rouge_l need references")
        if self.points.keywords and not self.keywords:
            raise ValueError("points for keywords need keywords")
        return self


class Least(Part):
    """Points for a record that says less than ``most``."""

    points: PositiveFloat
    most: PositiveFloat


class RecordPoints(Part):
    """What a valid training record is worth, and figures in it. See docs/grading.md for what it
    proves.
    """

    points: PositiveFloat
    free: Annotated[tuple[Text, ...], AS_TUPLE] = ()
    """Dotted keys of the recipe that a student may choose."""
    seconds: Least | None = None
    """Of all iterations together."""
    gpu_mib: Least | None = None
    host_mib: Least | None = None


class Limits(Part):
    """Of the jobs that read submissions."""

    check_memory_mib: PositiveInt = 512
    check_seconds: PositiveInt = 60
    answer_seconds: PositiveInt = 120
    """For all questions to one submission; the base model's loading comes on top."""
    load_seconds: PositiveInt = 900


class Assignment(Part):
    assignment: Literal[1]
    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN.pattern}$")]
    title: Text
    recipe: Text
    """Its base model, prompt and LoRA ranks are the assignment's."""
    set: Annotated[tuple[Text, ...], AS_TUPLE] = ()
    """Overrides of the recipe, as ``--set`` takes them."""
    pictures: Text = "."
    """A folder; relative to the kit's root, or absolute."""
    questions: Annotated[tuple[Question, ...], AS_TUPLE, Field(min_length=1)]
    max_new_tokens: PositiveInt
    valid: NotNegative = 0.0
    """Points for a submission that passes the check."""
    record: RecordPoints | None = None
    limits: Limits = Limits()
    alike: Annotated[float, Field(gt=0, le=1)] = 0.98
    """Cosine of two adapters from which on they are named as alike."""

    @property
    def total(self) -> float:
        """All points that there are."""
        record, extra = self.record, 0.0
        if record is not None:
            figures = (record.seconds, record.gpu_mib, record.host_mib)
            extra = record.points + sum(each.points for each in figures if each is not None)
        return self.valid + sum(each.points.total for each in self.questions) + extra

    def seed(self, student: str) -> int:
        """The seed that ``student`` trains with: equal weights of two students are no chance then.

        The first four bytes of sha256 over ``NAME newline STUDENT`` in UTF-8, modulo 2^31.
        """
        text = f"{self.name}\n{student}".encode("utf-8", "backslashreplace")
        return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") % SEEDS


def load(name: str) -> Assignment:
    """An assignment of the kit's by name, or a YAML file. Raises AssignmentError ``not-found``,
    ``not-yaml`` and ``bad-value``.
    """
    path = FOLDER / f"{name}.yaml" if re.fullmatch(r"[\w-]+", name) else Path(name).expanduser()
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(sorted(each.stem for each in FOLDER.glob("*.yaml")))
        raise AssignmentError("not-found", assignment=name, known=known, why=str(error)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise AssignmentError("not-yaml", assignment=name, why=str(error)) from None
    try:
        return Assignment.model_validate(raw)
    except ValidationError as error:
        why = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'assignment'}: {item['msg']}"
            for item in error.errors(include_url=False)[:5]
        )
        raise AssignmentError("bad-value", assignment=name, why=why) from None
