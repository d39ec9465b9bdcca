"""The forms of what the kit says, in English and Chinese: a failure, and any other words."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """What happened and one remedy."""

    what: str
    remedy: str


class Entry(NamedTuple):
    en: Text
    zh: Text


class Words(NamedTuple):
    en: str
    zh: str
