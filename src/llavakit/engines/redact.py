"""Which environment variables a printed command line must not show."""

from __future__ import annotations

import re

_SECRET = re.compile(r"(TOKEN|SECRET|PASSWORD|KEY|_PROXY)$", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether the variable's name says that its value may be, or hold, a credential."""
    return _SECRET.search(name) is not None
