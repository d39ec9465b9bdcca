"""What Docker says when it fails, as the kit's own errors. The texts are an engine's own."""

from __future__ import annotations

from typing import Any

from docker.errors import APIError, ImageNotFound

from llavakit.errors import EngineError

ANSWERS: tuple[tuple[str, str], ...] = (
    ("could not select device driver", "no-gpu-support"),
    ("cdi device injection failed", "no-gpu-support"),
    ("unresolvable cdi devices", "no-gpu-support"),
    ("nvidia-container-cli:", "no-gpu-support"),
    ("bind source path does not exist", "mount-missing"),
    ("no space left on device", "disk-full"),
    ("executable file not found", "bad-image"),
)
"""Part of an engine's answer in lower case, and the error that it means; the first counts."""
NO_ANSWER: tuple[tuple[str, str], ...] = (
    ("permission denied", "permission-denied"),
    ("permissionerror", "permission-denied"),
    ("error while fetching server api version", "no-daemon"),
    ("connection refused", "no-daemon"),
    ("connection aborted", "no-daemon"),
    ("read timed out", "no-daemon"),
)
"""The same for what the SDK says when it could not ask."""

UNKNOWN: dict[str, Any] = dict.fromkeys(("address", "image", "gpus", "job", "path"), "?")
"""Every message can be filled in, whatever the caller knew."""


def translate(error: Exception, **params: Any) -> EngineError:
    """The EngineError for what the SDK raised; ``request-failed`` for a text that is not known.

    ``params`` fill the messages' placeholders: address, image, gpus, job, path.
    """
    why = str(error)
    table = NO_ANSWER
    if isinstance(error, APIError):
        why, table = str(error.explanation or error), ANSWERS
    name = next((name for part, name in table if part in why.lower()), "request-failed")
    if isinstance(error, ImageNotFound):
        name = "image-missing"
    return EngineError(name, why=why, **(UNKNOWN | params))
