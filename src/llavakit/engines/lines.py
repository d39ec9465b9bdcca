"""From the bytes that a job writes to lines of text."""

from __future__ import annotations

import codecs
import io


class LineSplitter:
    r"""Cuts UTF-8 bytes into lines at ``\n``, ``\r\n`` and ``\r`` (progress bars redraw with it).

    Bytes may arrive cut anywhere, inside a character too; what is not UTF-8 becomes U+FFFD.
    """

    def __init__(self) -> None:
        utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
        self._open: list[str] = []

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes."""
        return self._take(self._decoder.decode(data))

    def close(self) -> list[str]:
        """What is left at the end: an unfinished last line, if there is one."""
        lines = self._take(self._decoder.decode(b"", final=True))
        rest = "".join(self._open)
        self._open = []
        return [*lines, rest] if rest else lines

    def _take(self, text: str) -> list[str]:
        first, *others = text.split("\n")
        self._open.append(first)
        if not others:
            return []
        done = ["".join(self._open), *others[:-1]]
        self._open = [others[-1]]
        return done
