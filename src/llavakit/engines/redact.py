"""Which environment variables a printed command line must not show."""

from __future__ import annotations

import re

_SECRET = re.compile(r"(TOKEN|SECRET|PASSWORD|KEY|_PROXY)$", re.IGNORECASE)
_LOGIN = re.compile(r"://[^/\s]*@")


def is_secret(name: str, value: str = "") -> bool:
    """Whether the variable may be, or hold, a credential: its name says so, or an address has a
    login in it.
    """
    return _SECRET.search(name) is not None or _LOGIN.search(value) is not None
