"""What Docker says when it fails, as the kit's own errors. The texts are an engine's own.

Captured from 20.10.24 and 26.1.5 where tests/engines makes them say it again; the others are quoted
from the sources that stand beside them.
"""

from __future__ import annotations

from typing import Any

import requests
from docker import errors
from docker.errors import APIError, DockerException

from llavakit.errors import EngineError

KINDS: tuple[tuple[type[Exception], str], ...] = (
    (errors.ImageNotFound, "image-missing"),
    (errors.InvalidVersion, "too-old"),
    (errors.TLSParameterError, "no-daemon"),
)
"""What the SDK has a class for, and the error that it means; the first counts."""
ANSWERS: tuple[tuple[str, str], ...] = (
    ("could not select device driver", "no-gpu-support"),
    ("cdi device injection failed", "no-gpu-support"),
    ("unresolvable cdi devices", "no-gpu-support"),
    ("unsatisfied condition: cuda", "old-driver"),  # libnvidia-container, src/cli/configure.c
    ("gpu is lost", "gpu-lost"),  # NVML's text of NVML_ERROR_GPU_IS_LOST
    ("nvidia-container-cli:", "no-gpu-support"),  # every message of libnvidia-container's client
    ("bind source path does not exist", "mount-missing"),
    ("no space left on device", "disk-full"),
    ("executable file not found", "bad-image"),
    ("is already in use by container", "name-taken"),
    ("minimum supported api version is", "too-old"),  # moby, api/server/middleware/version.go
    ("maximum supported api version is", "too-old"),
)
"""Part of an engine's answer in lower case, and the error that it means; the first counts."""
NO_ANSWER: tuple[tuple[str, str], ...] = (
    ("permission denied", "permission-denied"),
    ("permissionerror", "permission-denied"),
    ("error while fetching server api version", "no-daemon"),
    ("connection refused", "no-daemon"),
    ("connection aborted", "no-daemon"),
    ("no such file or directory", "no-daemon"),
    ("remote end closed connection", "no-daemon"),
    ("read timed out", "no-answer"),
)
"""The same for what the SDK says when it could not ask."""
FOREIGN = (DockerException, requests.ConnectionError, requests.ReadTimeout)
"""All that the SDK raises: :func:`translate` has an error of ours for each."""

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
    name = next((meant for kind, meant in KINDS if isinstance(error, kind)), name)
    return EngineError(name, why=why, **(UNKNOWN | params))
