"""The form of what `invoke doctor --json` prints, version 1.

``docs/doctor.schema.json`` is made from these classes by the host's Python, whose pydantic is
locked: ``python -m llavakit.host.doctor.form > docs/doctor.schema.json``.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION: Literal[1] = 1


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Found(Form):
    """One check."""

    id: Annotated[str, Field(pattern=r"^[a-z]+(\.[a-z-]+)?$")]
    """Dotted and stable; its first part is the theme."""
    status: Literal["pass", "warn", "fail", "skip"]
    found: str
    """A sentence, in the language of the command."""
    remedy: str
    """What to do, a command where there is one; empty for what passed or was skipped."""
    seconds: float
    """How long it took; it may have waited for what another check was asking already."""


class Report(Form):
    """All checks of one recipe on one host."""

    version: Literal[1]
    recipe: str
    engine: Literal["docker", "local"]
    """Where the recipe's jobs would run."""
    ready: bool
    """No check failed; the exit status is 0 then, and 1 otherwise."""
    verdict: str
    """One line; several checks of one theme are told by their number."""
    runs_here: str
    """Where it is not ready: the command that runs here all the same; empty where none is known."""
    seconds: float
    """Of all checks but the probe, which starts a container."""
    fixed: list[str]
    """What --fix removed."""
    checks: list[Found]


def schema() -> dict[str, Any]:
    """The JSON schema of a report."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://llavakit.invalid/doctor.schema.json",
        **Report.model_json_schema(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
