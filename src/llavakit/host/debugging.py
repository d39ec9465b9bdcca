"""What --debug shows of a failure: the tracebacks of the error and of the foreign ones below it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator

from llavakit import redact


def traces(error: BaseException) -> list[str]:
    """A traceback each, of ``error`` (or of what is handled now, where that became ``error``) and
    of what it was raised from, the innermost first; no secrets of the environment's.

    The raise that hides the foreign error from people (``from None``) hides nothing here.
    """
    handled = error if error.__traceback__ else sys.exc_info()[1]
    hidden = redact.secrets(os.environ)
    found = []
    for link in _chain(handled):
        lines = traceback.format_exception(type(link), link, link.__traceback__, chain=False)
        raw = [f"{name}: {value!r}\n" for name in RAW if (value := getattr(link, name, None))]
        found.append(redact.scrub("".join([*lines, *raw]).rstrip(), hidden))
    return found[::-1]


RAW = ("explanation", "request", "response", "cmd", "stderr", "stdout")
"""What foreign errors (the Docker SDK's, requests', subprocess') carry beside their text."""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
