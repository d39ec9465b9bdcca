"""Parts of sentences, in the user's language: what a step notes, why something is stale.

A step never knows who reads. It sends a phrase's id and parameters; the host says them. Their texts
lie in :mod:`llavakit.messages_phrases`; an error of the kit's can be part of a sentence too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llavakit import messages, messages_phrases


@dataclass(frozen=True)
class Phrase:
    """``id`` of a phrase or of a message; ``params`` fill its placeholders."""

    id: str
    params: Mapping[str, str | Phrase] = field(default_factory=dict)

    def say(self, lang: str = "en") -> str:
        """The words in ``lang``. Raises KeyError for an id or a parameter that is not there."""
        if self.id in messages.TABLE:
            words = messages.text(self.id, lang).what
        else:
            words = messages_phrases.TABLE[self.id][lang == "zh"]
        return words.format(**{name: said(value, lang) for name, value in self.params.items()})

    def __str__(self) -> str:
        return self.say()

    def to_json(self) -> dict[str, Any]:
        """What :func:`from_json` turns into an equal phrase."""
        return {"id": self.id, "params": {name: as_json(v) for name, v in self.params.items()}}


def phrase(name: str, /, **params: object) -> Phrase:
    """The phrase ``name``, filled in."""
    return Phrase(name, {key: plain(value) for key, value in params.items()})


def plain(value: object) -> str | Phrase:
    """``value`` as a parameter: a phrase stays one, all else is a name or a number."""
    return value if isinstance(value, Phrase) else str(value)


def said(value: str | Phrase, lang: str) -> str:
    """``value`` in ``lang``, where it is more than a name."""
    return value.say(lang) if isinstance(value, Phrase) else value


def as_json(value: str | Phrase) -> Any:
    """A text as it is, a phrase as an object."""
    return value.to_json() if isinstance(value, Phrase) else value


def from_json(value: object) -> str | Phrase:
    """The opposite of :func:`as_json`. Raises ValueError for what is no text and no phrase."""
    if isinstance(value, str):
        return value
    try:
        assert isinstance(value, dict)  # noqa: S101 - told below
        made = Phrase(
            str(value["id"]), {name: from_json(each) for name, each in value["params"].items()}
        )
        made.say()  # its parameters must fill it, or it is not one of ours
    except (AssertionError, KeyError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"no phrase: {value!r}") from error
    return made
