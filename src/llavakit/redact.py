"""Which environment variables are secrets, and how they are kept out of what is shown or written.

A name says it (a word of it is TOKEN, KEY, PASSWORD and the like), or a value does: an address with
a login in it. No secrets are numbers (MAX_TOKENS), unless they are called a password, and absolute
paths of what is there (SSH_KEY). What cannot be seen: a secret under a harmless name, a token of
digits alone, and one that is shorter than :data:`SHORTEST` characters, since every second line
holds those by chance.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

_PASSWORD = re.compile(
    r"(?:^|_)(?:(?:\w*PASSWORD|\w*PASSWD|\w*PASSPHRASE|(?<=_)PWD)(?:_\w+)?|PASS(?:_\d+)?)$",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"(?:^|_)(?:(?:\w*TOKENS?|\w*SECRETS?|\w*KEY|\w*CREDENTIALS?)(?:_\w+)?"
    r"|(?:AUTH|\w*COOKIE|PAT)(?:_\d+)?)$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_PROXY = re.compile(r"_PROXY$", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)([^/\s]*)@")
SHORTEST = 6
HIDDEN = "***"


def is_secret(name: str, value: str = "") -> bool:
    """Whether the variable may be, or hold, a credential: its name says so, or an address has a
    login in it. All of a proxy's value counts: a command line has no need of it.
    """
    named = _is_named(name, value) or _PROXY.search(name) is not None
    return named or _LOGIN.search(value) is not None


def _is_named(name: str, value: str) -> bool:
    value = value.strip()
    if os.path.isabs(value) and os.path.exists(value):  # noqa: PTH110, PTH117 - of any length
        return False
    if _PASSWORD.search(name) is not None:
        return True
    return _SECRET.search(name) is not None and _NUMBER.fullmatch(value) is None


def secrets(environ: Mapping[str, str]) -> list[str]:
    """The secret parts of ``environ``'s values, the longest first: whole values by their names, and
    the logins of addresses, also without their ``%40``.
    """
    found: set[str] = set()
    for name, value in environ.items():
        if _is_named(name, value):
            found |= {value.strip(), *value.splitlines()}
        for login in _LOGIN.findall(value):
            user, _, password = login.partition(":")
            # A login without a password is a token; a user's own name beside one is no secret.
            found |= {login, unquote(login)} | {password or user, unquote(password or user)}
    long = [text for text in found if len(text) >= SHORTEST]
    forms = {form for text in long for form in (text, *_written(text))}
    return sorted(forms, key=lambda form: (-len(form), form))


def _written(text: str) -> tuple[str, ...]:
    """What a program makes of it that writes JSON or an address."""
    escaped = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    return *escaped, quote(text, safe="")


def scrub(text: str, hidden: Iterable[str]) -> str:
    """``text`` without the strings ``hidden`` (see :func:`secrets`)."""
    for secret in hidden:
        text = text.replace(secret, HIDDEN)
    return text
