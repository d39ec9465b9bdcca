"""Text of strangers inside Markdown (GitHub's): answers of a model, names of files, recipes."""

from __future__ import annotations

import re

SPECIAL = re.compile(r"[!#$&*<>@\[\\\]^_`|~]|:(?=//|\w)|(?<=www)\.")
"""What can begin markup, a mention, a reference to an issue or a link; as an entity it cannot."""
ADDRESS = re.compile(r"https?://[A-Za-z0-9._~/%+-]+")
"""What may stand as it is, and be a link."""


def clean(text: str) -> str:
    """``text`` with a mark in the place of control codes, halves of characters and of what turns
    the direction of writing: a model that was not trained answers anything.
    """
    return "".join(
        char if char == "\n" or (char.isprintable() and char != "\x7f") else _mark(char)
        for char in text
    )


def escaped(text: str) -> str:
    """``text`` on one line, for a table's cell or a sentence."""
    line = " ".join(clean(text).split())
    return SPECIAL.sub(lambda found: f"&#{ord(found[0])};", line)


def quoted(text: str) -> str:
    """The same as code: nothing in it is a mention or a link."""
    return f"<code>{escaped(text)}</code>"


def address(text: str) -> str:
    """An address: a link where it is a plain one, else no more than text."""
    return text if ADDRESS.fullmatch(text) else escaped(text)


def _mark(char: str) -> str:
    return " " if char.isspace() else "\ufffd"
