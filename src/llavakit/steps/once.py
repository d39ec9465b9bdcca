"""Run a step unless its outputs are there: for whoever starts steps without the kit's host side.

``python -m llavakit.steps.once --lock FILE --key KEY -- -m llavakit.steps.train ...``. A job of a
cluster that was stopped and begins again comes this way to what is left of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from llavakit.locks import StepLock


def main(argv: Sequence[str] | None = None) -> int:
    """0 where there is nothing to do; else the step takes this process's place."""
    parser = argparse.ArgumentParser(prog="python -m llavakit.steps.once")
    parser.add_argument("--lock", type=Path, required=True, help="the lock of the step's outputs")
    parser.add_argument("--key", required=True, help="what that lock says when they are up to date")
    parser.add_argument("words", nargs="+", help="the step: arguments of Python")
    args = parser.parse_args(argv)
    if StepLock(args.lock).check(args.key).fresh:
        print(f"{args.lock}: up to date", flush=True)  # noqa: T201 - its log is all that it has
        return 0
    os.execv(sys.executable, [sys.executable, *args.words])  # noqa: S606 - nothing of a shell's


if __name__ == "__main__":
    sys.exit(main())
