"""What the operating system refused the host itself, as errors of the kit's."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from llavakit.errors import WorkspaceError


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn the host's own OSErrors while it writes under ``folder`` into WorkspaceErrors."""
    try:
        yield
    except OSError as error:
        raise system_error(error, folder) from None


def system_error(error: OSError, folder: Path) -> WorkspaceError:
    """What the operating system refused, as an error of ours."""
    place = error.filename or folder
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WorkspaceError("disk-full", folder=place, why=str(error))
    if error.errno == errno.EIO:
        return WorkspaceError("disk-broken", folder=place, why=str(error))
    return WorkspaceError("refused", path=place, why=str(error))
