"""What every renderer of a batch shares: the templates of deploy/, and what comes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llavakit.host.settings import KIT

TEMPLATES = KIT / "deploy"


@dataclass(frozen=True)
class HandIn:
    """A command line for the user, and the words that say what it does."""

    key: str
    command: str


@dataclass(frozen=True)
class Rendered:
    """Files by their names, and what to type, in its order."""

    files: Mapping[str, str]
    hand_in: Callable[[Path], list[HandIn]]
    """For the folder that the files were written to."""


def fill(template: str, **values: Any) -> str:
    """The text of a template in deploy/. A value that it names and lacks is a mistake of ours."""
    import jinja2  # takes a tenth of a second, and no other task needs it

    environment = jinja2.Environment(  # noqa: S701 - no HTML; each value is quoted for its place
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
    return str(environment.get_template(template).render(**values))
