"""The form of a message: what happened and one remedy, in English and Chinese."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    what: str
    remedy: str


class Entry(NamedTuple):
    en: Text
    zh: Text
