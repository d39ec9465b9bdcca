"""A submission as both sides speak of it: what it may hold, and what its check found.

The check runs in a container of its own and only its report comes out. Here is the report's form:
the host believes nothing that does not have it, and of what has it no more than is said here.
"""

from __future__ import annotations

import string
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from llavakit import messages
from llavakit.errors import SubmissionError
from llavakit.schema import AS_TUPLE, Part, PositiveInt, Sha256, Text

PREFIX = f"{SubmissionError.prefix}."
RECORD = "run.json"
REPORT = "report.json"
REPORT_BYTES = 256 << 10
MOST_REASONS = 20
LONGEST = 240
"""Characters of one parameter of a reason: part of it may be a stranger's text."""
TENSORS = {
    "llm_adapter": "adapter_model.safetensors",
    "visual_encoder_adapter": "adapter_model.safetensors",
    "projector": "model.safetensors",
}
"""The parts of a submission, as ``convert`` names them, and each one's file of tensors."""
CONFIGS = {
    "llm_adapter": "adapter_config.json",
    "visual_encoder_adapter": "adapter_config.json",
    "projector": "config.json",
}
Shape = Annotated[tuple[PositiveInt, ...], AS_TUPLE]
Names = Annotated[tuple[str, ...], AS_TUPLE]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, strict=False)]


class Bounds(Part):
    """How much a submission may be, in files and bytes."""

    files: PositiveInt = 64
    bytes: PositiveInt
    """Unpacked."""
    archive_bytes: PositiveInt
    json_bytes: PositiveInt = 4 << 20
    """Of one JSON file."""


class Shapes(Part):
    """One part: its tensors, and the values that its config must have."""

    tensors: dict[str, Shape]
    settings: dict[str, Any]
    bases: Names = ()
    """Last words of the paths under which the base may be known; none where it is not named."""

    @property
    def numbers(self) -> int:
        total = 0
        for shape in self.tensors.values():
            product = 1
            for side in shape:
                product *= side
            total += product
        return total


class Wanted(Part):
    """What a training record must say to be worth points."""

    lock: Sha256
    recipe: dict[str, Any]
    free: Names = ()
    """Dotted keys of the recipe that a student may choose."""
    seed: int
    weights: dict[str, Sha256]
    data: dict[str, Sha256]


class Declared(Part):
    """All that a submission may be."""

    version: Literal[1] = 1
    parts: dict[str, Shapes]
    half: bool
    """Whether numbers must be finite in fp16, which is what the model computes in."""
    bounds: Bounds
    record: Wanted | None = None


class Reason(Part):
    """A message's id and what fills its placeholders."""

    id: str
    params: dict[str, Annotated[str, Field(max_length=LONGEST)]]

    @model_validator(mode="after")
    def _is_ours(self) -> Reason:
        entry = messages.TABLE.get(self.id)
        if entry is None or not self.id.startswith(PREFIX):
            raise ValueError("not a reason")
        if placeholders(entry.en.what + entry.en.remedy) != set(self.params):
            raise ValueError("other parameters than the reason's")
        return self

    @field_validator("params")
    @classmethod
    def _printable(cls, params: dict[str, str]) -> dict[str, str]:
        return {name: shown(value) for name, value in params.items()}

    @classmethod
    def of(cls, error: SubmissionError) -> Reason:
        return cls(
            id=error.id, params={key: shown(str(value)) for key, value in error.params.items()}
        )

    def what(self, lang: str) -> str:
        return messages.text(self.id, lang).what.format(**self.params)

    def remedy(self, lang: str) -> str:
        return messages.text(self.id, lang).remedy.format(**self.params)


class CheckedRecord(Part):
    """What the check made of a submission's run.json. Its figures are the student's own words."""

    verified: bool
    reasons: tuple[Reason, ...] = Field(default=(), max_length=MOST_REASONS)
    seconds: Seconds | None = None
    """Of all iterations together."""
    peak_gpu_mib: Count | None = None
    peak_host_mib: Count | None = None


class Report(Part):
    """The check's findings. No reason: it passed, and ``files`` were written."""

    version: Literal[1] = 1
    reasons: tuple[Reason, ...] = Field(default=(), max_length=MOST_REASONS)
    weights: Sha256 | None = None
    """Over all tensors by name, whatever their order in the files was."""
    files: dict[str, Sha256] = Field(default_factory=dict, max_length=len(TENSORS))
    """Of the clean files, by part."""
    record: CheckedRecord | None = None

    @model_validator(mode="after")
    def _whole(self) -> Report:
        passed = not self.reasons
        if passed != (self.weights is not None) or passed != (set(self.files) == set(TENSORS)):
            raise ValueError("neither passed nor refused")
        return self


class Answered(Part):
    """What the worker says about one submission, a line of its results."""

    submission: Sha256
    answers: tuple[Annotated[str, Field(max_length=20_000)], ...] = Field(max_length=10_000)
    sketch: tuple[float, ...] = Field(max_length=4096)
    """Numbers that are as near to each other's, by cosine, as the adapters are."""
    seconds: Seconds
    machine: dict[str, Any] = Field(max_length=16)


class Asked(Part):
    """A question for the worker: no reference goes with it."""

    picture: Text
    question: Text


class Questions(Part):
    asked: Annotated[tuple[Asked, ...], AS_TUPLE, Field(min_length=1)]
    max_new_tokens: PositiveInt


def shown(text: str) -> str:
    """A stranger's text on one line: what does not print is escaped, what is too long is cut."""
    safe = "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text.encode("utf-8", "backslashreplace").decode()
    )
    return safe if len(safe) <= LONGEST else f"{safe[: LONGEST - 1]}…"


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}
