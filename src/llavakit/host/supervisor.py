"""The process that ``--detach`` leaves behind: ``python -m llavakit.host.supervisor``.

It carries out a task as a command in the foreground does, in a session of its own: no terminal can
take it along. Its order comes on standard input, so that nothing of it stands in a file or in a
list of processes; what it says goes to a file in the run's folder.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import NoReturn

from llavakit.host import commands


def main() -> NoReturn:
    """Carry out the order on standard input."""
    # A shell's background jobs inherit that Ctrl-C is ignored; `invoke stop` presses it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    order = json.load(sys.stdin)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    commands.main(order["task"], order["configured"], order["options"])


if __name__ == "__main__":
    main()
