"""What git and git-lfs print when they fail, as errors of ours.

The texts are those of git 2.39 and git-lfs 3.3, captured from the programs; the tests make them say
each again.
"""

from __future__ import annotations

import errno
import os
import re

from llavakit.errors import SourceError

SAID: tuple[tuple[str, str], ...] = (
    (r"Maximum \(\d+\) redirects followed", "redirects"),
    (r"could not read (?:Username|Password)", "gated"),
    (r"Authentication failed|Authorization error", "gated"),
    (r"(?:returned error:|\bHTTP) (?:401|403|407)\b", "gated"),
    (r"repository '.*' not found|Repository or object not found|Object does not exist", "missing"),
    (r"(?:returned error:|\bHTTP) (?:404|410)\b", "missing"),
    (r"not our ref|unadvertised object|couldn't find remote ref|Not a valid object", "missing"),
    (r"(?:returned error:|\bHTTP) (?P<status>\d{3})\b", "server"),
    (r"Rate limit exceeded|tq\.\(\*basicDownloadAdapter\)\.download", "server"),
    (r"Server error:", "server"),
    (r"not valid: is this a git repository|Expected JSON type|invalid character '<'", "html"),
    (r"bad line length character: <", "html"),
    (r"Could not resolve host|no such host|Failed to connect|Couldn't connect", "unreachable"),
    (r"dial tcp|proxyconnect|x509:|\btls: |certificate|handshake|SSL", "unreachable"),
    (r"transport '.*' not allowed", "unreachable"),
    (r"i/o timeout|Operation too slow|Client\.Timeout|deadline exceeded", "stalled"),
)
"""A pattern and the name of the error that it means; the first that is found counts."""
FULL = "no space left on device"
PASSING = frozenset({"broken", "stalled", "server", "unreachable"})
"""What may go away by itself."""


def explain(said: str, title: str, file: str, what: str, seconds: float) -> SourceError:
    """The failure of a program that printed ``said``; ``broken`` where nothing is known of it.

    ``file`` is what was wanted, ``what`` what is not there if something is not, ``seconds`` how
    long a program may do nothing. Raises OSError where the disk is full.
    """
    if FULL in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)
    found, name = next(
        ((hit, name) for pattern, name in SAID if (hit := re.search(pattern, said))), (None, "")
    )
    why = tell(said)
    if name == "missing":
        return SourceError(name, source=title, what=what, why=why)
    if name == "stalled":
        return SourceError(name, source=title, file=file, seconds=round(seconds), why=why)
    if name == "server" and found is not None:
        # git-lfs 3.3 says no status for 500, and breaks down over a 429 without Retry-After.
        status = found.groupdict().get("status")
        status = status or ("500" if found.group() == "Server error:" else "429")
        return SourceError(name, source=title, file=file, status=status, why=why)
    return SourceError(name or "broken", source=title, file=file, why=why)


NOISE = re.compile(
    r"\?[^\s'\")]*"  # a signed query
    r"|(?<=://)[^/@\s'\"]+@"  # a password
    r"|Error downloading object: .*\([0-9a-f]{64}\): "
    r"|cannot write data to temporary file \"[^\"]*\": "
    r"| &\{.*\}s\(MISSING\)"  # an address that git-lfs 3.3 fails to print
)
IDLE = re.compile(r"Errors logged to|git lfs logs|^Downloading |askpass response|^\s*$")


def tell(said: str) -> str:
    """What of a program's text is for a person."""
    lines = said.split("\ngoroutine", 1)[0].splitlines()
    kept = [NOISE.sub("", line).strip() for line in lines if not IDLE.search(line)]
    return "\n".join(kept)[-2000:]
