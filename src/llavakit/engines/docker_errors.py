"""What Docker says when it fails, as the kit's own errors. The texts are an engine's own."""

from __future__ import annotations

from typing import Any

from docker.errors import APIError, DockerException, ImageNotFound

from llavakit.errors import EngineError

TABLE: tuple[tuple[str, str], ...] = (
    ("could not select device driver", "no-gpu-support"),
    ("cdi device injection failed", "no-gpu-support"),
    ("unresolvable cdi devices", "no-gpu-support"),
    ("nvidia-container-cli:", "no-gpu-support"),
    ("bind source path does not exist", "mount-missing"),
    ("no space left on device", "disk-full"),
    ("executable file not found", "bad-image"),
    ("no such image", "image-missing"),
    ("permission denied", "permission-denied"),
    ("permissionerror", "permission-denied"),
    ("error while fetching server api version", "no-daemon"),
    ("connection refused", "no-daemon"),
    ("connection aborted", "no-daemon"),
)
"""Part of the raw text in lower case, and the error that it means; the first that fits counts."""


def translate(error: Exception, **params: Any) -> EngineError:
    """The EngineError for what the SDK raised; ``request-failed`` for a text that is not known.

    ``params`` fill the messages' placeholders: address, image, gpus, job, path.
    """
    if isinstance(error, ImageNotFound):
        name = "image-missing"
    else:
        raw = str(error).lower()
        name = next((name for part, name in TABLE if part in raw), "request-failed")
    why = error.explanation if isinstance(error, APIError) and error.explanation else str(error)
    return EngineError(name, why=str(why), **params)


__all__ = ["TABLE", "APIError", "DockerException", "translate"]
