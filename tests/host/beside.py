"""A process beside the test, which has something in hand until it is ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from llavakit.host.settings import KIT


@contextmanager
def process_of(code: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """Python that runs ``code`` and has said "mine"; killed at the end."""
    argv = [sys.executable, "-c", code, *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(KIT / "src")}
    process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "mine\n"
    with process:
        try:
            yield process
        finally:
            process.kill()
