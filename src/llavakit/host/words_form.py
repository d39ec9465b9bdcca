"""The form of what the host says: a text in English and in Chinese."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    en: str
    zh: str


def paste(command: str) -> Words:
    """What is the same in both languages: a command, or nothing but what is filled in."""
    return Words(command, command)
