"""A process that holds what a smaller card would not have (see holder.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llavakit.errors import StepError
from llavakit.phrases import phrase


@contextmanager
def squeezed(leave_mib: int | None) -> Iterator[dict[str, Any] | None]:
    """Leave ``leave_mib`` of the first GPU while the body runs; None squeezes nothing.

    The value is what the holder says. It ends with this process too: its input does.
    Raises StepError ``failed`` where the rest cannot be taken.
    """
    if leave_mib is None:
        yield None
        return
    words = [sys.executable, "-m", "llavakit.steps.bench.holder", "--leave", str(leave_mib)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as holder:
        try:
            yield {"leave_mib": leave_mib, **_facts(holder)}
        finally:
            holder.kill()


def _facts(holder: subprocess.Popen[str]) -> dict[str, Any]:
    said: list[str] = []
    for line in holder.stdout or ():
        said.append(line)
        if line.startswith("{"):
            facts: dict[str, Any] = json.loads(line)
            return facts
    how = said[-1].strip() if said else "it said nothing"
    raise StepError("failed", step="bench", how=phrase("why.squeeze", text=how),
                    log=phrase("below"), why="".join(said[-15:]))  # fmt: skip
