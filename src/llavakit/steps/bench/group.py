"""A child with all that it starts: its output line by line, its end for certain."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

POLL_SECONDS = 0.2
GRACE_SECONDS = 3.0
"""From SIGTERM to SIGKILL; less than an engine gives the step itself."""
DEATH_SECONDS = 30.0
"""A process that was killed while its GPU works ends when that does."""
LONGEST_LINE = 1 << 20
KEEPER = 'read -r _; kill -s KILL -- "-$0"'
"""A shell's: its input ends with the process that holds the other end, however that ends."""


class SilentError(Exception):
    """The child has written nothing for too long."""


class Group:
    """A child in a process group of its own; ``log`` gets its output and errors.

    All of it ends in :meth:`stop`, and with this process, however that ends. A process that leaves
    the group is not seen.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self._log = log.open("ab")
        self.started = time.monotonic()
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            self._log.close()
            raise
        try:
            self._keeper = subprocess.Popen(
                ["sh", "-c", KEEPER, str(self.id)], stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            self._signal(signal.SIGKILL)
            self._log.close()
            raise

    @property
    def id(self) -> int:
        """The group's number, which is its first process's."""
        return self._process.pid

    def lines(self, patience: float) -> Iterator[tuple[float, str]]:
        """Seconds since the start and the line, as lines come, until the child has ended.

        Raises SilentError when nothing comes for ``patience`` seconds.
        """
        assert self._process.stdout is not None  # noqa: S101
        pipe = self._process.stdout.fileno()
        rest, heard = b"", time.monotonic()
        while True:
            ended = self._process.poll() is not None
            ready = bool(select.select([pipe], [], [], 0 if ended else POLL_SECONDS)[0])
            chunk = os.read(pipe, 1 << 16) if ready else b""
            now = time.monotonic()
            if chunk:
                heard = now
                self._keep(chunk)
                *whole, rest = (rest + chunk).split(b"\n")
                rest = rest[-LONGEST_LINE:]
                for line in whole:
                    yield now - self.started, line.decode("utf-8", "replace")
            elif ready or ended:  # nobody writes any more, or only what it left running
                break
            elif now - heard > patience:
                raise SilentError(f"nothing written for {patience:.0f} s")
        if rest:
            yield time.monotonic() - self.started, rest.decode("utf-8", "replace")

    def stop(self, grace: float = GRACE_SECONDS) -> int:
        """End the whole group, by SIGTERM and then by SIGKILL; the child's status as Popen has it.

        What the child writes from now on is lost, but for what fits in the pipe.
        """
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, DEATH_SECONDS)):
            deadline = time.monotonic() + seconds
            if self.processes():
                self._signal(number)
            while self.processes() and time.monotonic() < deadline:
                time.sleep(0.02)
        self._keeper.kill()
        self._keeper.communicate()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        return self._process.poll() or 0

    def ended(self, seconds: float = GRACE_SECONDS) -> int | None:
        """The child's status once it has ended by itself; None if it does not in ``seconds``."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def processes(self) -> list[int]:
        """Who of the group is alive."""
        self._process.poll()
        return [int(each.name) for each in Path("/proc").glob("[0-9]*") if _group(each) == self.id]

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.id, number)

    def _keep(self, chunk: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk does not end a measurement
            self._log.write(chunk)
            self._log.flush()


def _group(process: Path) -> int | None:
    """The group of a living process; zombies are none."""
    try:
        stat = (process / "stat").read_text(encoding="utf-8", errors="replace")
        state, _, group = stat[stat.rindex(")") + 2 :].split()[:3]
    except (OSError, ValueError):  # it ended this moment
        return None
    return None if state in "ZX" else int(group)
