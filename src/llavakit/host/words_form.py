"""The form of what the host says, which is that of all words of the kit."""

from __future__ import annotations

from llavakit.messages_form import Words as Words


def paste(command: str) -> Words:
    """What is the same in both languages: a command, or nothing but what is filled in."""
    return Words(command, command)
