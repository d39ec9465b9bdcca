"""Conversations over pictures in LLaVA's JSON format: reading them and finding what is wrong.

XTuner itself trains on whatever it can parse: it skips a first turn of ``gpt``, joins two turns
of ``human``, and dies in the middle of an epoch over a picture that is missing. So all of it is
looked at before.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from llavakit.errors import DataError

IMAGE_TOKEN = "<image>"  # noqa: S105 - LLaVA's placeholder for a picture, no secret
SPEAKERS = ("human", "gpt")


class Turn(BaseModel):
    """One turn of a conversation."""

    speaker: Literal["human", "gpt"] = Field(alias="from")
    value: str = Field(min_length=1)


class Conversation(BaseModel):
    """One item of the data: a picture and what is said about it. Ids may repeat."""

    id: str | int
    image: str = Field(min_length=1)
    conversations: list[Turn] = Field(min_length=1)

    def pairs(self) -> list[tuple[str, str]]:
        """(question, answer) of every exchange, the questions without the picture's token."""
        turns = self.conversations
        return [
            (without_token(question.value), answer.value.strip())
            for question, answer in zip(turns[::2], turns[1::2], strict=True)
        ]


_ITEMS = TypeAdapter(list[dict[str, Any]])


def without_token(text: str) -> str:
    """A question as a person would type it."""
    return text.replace(IMAGE_TOKEN, "").strip()


def read(source: Path, file: str) -> tuple[list[dict[str, Any]], list[Conversation]]:
    """The items of ``source/file``, as they stand there and parsed.

    Raises DataError: ``no-folder``, ``no-file``, ``not-json``, ``not-a-list``, ``empty``,
    ``bad-item``, ``bad-roles``, ``no-answer``, ``image-token``; items are counted from 1.
    """
    if not source.is_dir():
        raise DataError("no-folder", folder=source)
    raw = _items(source, file)
    if not raw:
        raise DataError("empty", file=file)
    parsed = [_parse(item, number) for number, item in enumerate(raw, start=1)]
    for number, conversation in enumerate(parsed, start=1):
        _check_turns(conversation, number)
    return raw, parsed


def check_pictures(source: Path, items: list[Conversation]) -> list[str]:
    """Every picture's name once, in order of appearance, after a look at each.

    Raises DataError: ``outside-folder``, ``no-picture``, ``not-a-picture``.
    """
    seen: dict[str, None] = {}
    for number, item in enumerate(items, start=1):
        if item.image not in seen:
            _check_picture(source, item.image, number)
            seen[item.image] = None
    return list(seen)


def _items(source: Path, file: str) -> list[dict[str, Any]]:
    try:
        text = (source / file).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise DataError("no-file", file=file) from None
    except UnicodeDecodeError as error:
        raise DataError("not-json", file=file, why=str(error)) from None
    try:
        return _ITEMS.validate_python(json.loads(text), strict=True)
    except ValidationError:
        raise DataError("not-a-list", file=file) from None
    except (ValueError, RecursionError) as error:
        raise DataError("not-json", file=file, why=str(error)) from None


def _parse(item: dict[str, Any], number: int) -> Conversation:
    try:
        return Conversation.model_validate(item)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError("bad-item", item=number, where=where, why=first["msg"]) from None


def _check_turns(conversation: Conversation, number: int) -> None:
    turns = conversation.conversations
    for index, turn in enumerate(turns):
        expected = SPEAKERS[index % 2]
        if turn.speaker != expected:
            raise DataError(
                "bad-roles", item=number, turn=index + 1, found=turn.speaker, expected=expected
            )
    if len(turns) % 2:
        raise DataError("no-answer", item=number)
    counts = [turn.value.count(IMAGE_TOKEN) for turn in turns]
    if counts[0] != 1 or any(counts[1:]):
        raise DataError("image-token", item=number, token=IMAGE_TOKEN)


def _check_picture(source: Path, name: str, number: int) -> None:
    from PIL import Image, UnidentifiedImageError

    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or path.as_posix() != name:
        raise DataError("outside-folder", item=number, image=name)
    try:
        real = (source / name).resolve(strict=True)
    except (OSError, RuntimeError):
        raise DataError("no-picture", item=number, image=name) from None
    if not real.is_relative_to(source.resolve()):
        raise DataError("outside-folder", item=number, image=name)
    if not real.is_file():
        raise DataError("no-picture", item=number, image=name)
    try:
        with Image.open(real) as picture:
            picture.load()
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:
        raise DataError("not-a-picture", item=number, image=name, why=str(error)) from None
