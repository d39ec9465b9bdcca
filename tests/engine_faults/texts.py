"""What real engines said, word for word, and where what was not seen here is quoted from.

``CAPTURED`` is from Docker Engine 20.10.24 (``scripts/test-engine``): test_texts.py makes a real
engine say it again. ``QUOTED`` is simulated: its second part names the source.
"""

from __future__ import annotations

GPU = 'could not select device driver "" with capabilities: [[gpu]]'
RUNC = (
    "failed to create shim task: OCI runtime create failed: runc create failed: unable to start "
    "container process: "
)
CAPTURED: dict[str, tuple[int, str]] = {
    "gpu": (500, GPU),
    "cdi": (500, 'could not select device driver "cdi" with capabilities: []'),
    "no-image": (404, "No such image: {image}"),
    "no-container": (404, "No such container: {name}"),
    "no-command": (400, f'{RUNC}exec: "nothere": executable file not found in $PATH: unknown'),
    "no-mount": (
        400,
        'invalid mount config for type "bind": bind source path does not exist: /nowhere/x',
    ),
    "name": (
        409,
        'Conflict. The container name "/{name}" is already in use by container "{id}". You have '
        "to remove (or rename) that container to be able to reuse that name.",
    ),
    "too-new": (400, "client version 1.99 is too new. Maximum supported API version is 1.41"),
}
QUOTED: dict[str, tuple[int, str, str]] = {
    "full": (
        500,
        "mkdir /var/lib/docker/overlay2/{id}: no space left on device",
        "the system's own words (strerror of ENOSPC) in moby's wrapping of a failed mkdir",
    ),
    "toolkit": (
        500,
        f"{RUNC}error running hook #0: error running hook: exit status 1, stdout: , stderr: Auto-"
        "detected mode as 'legacy'\nnvidia-container-cli: initialization error: load library "
        "failed: libnvidia-ml.so.1: cannot open shared object file: no such file or directory: "
        "unknown",
        "NVIDIA/nvidia-container-toolkit issue 154 and others: the driver's library is missing",
    ),
    "driver": (
        500,
        f"{RUNC}error running hook #0: error running hook: exit status 1, stdout: , stderr: "
        "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.1, please update "
        "your driver to a newer version, or use an earlier cuda container: unknown",
        "NVIDIA/libnvidia-container, src/cli/configure.c (check of NVIDIA_REQUIRE_CUDA)",
    ),
    "lost": (
        500,
        f"{RUNC}error running hook #0: error running hook: exit status 1, stdout: , stderr: "
        "nvidia-container-cli: detection error: nvml error: gpu is lost: unknown",
        "NVML's text of NVML_ERROR_GPU_IS_LOST in libnvidia-container's wrapping",
    ),
    "cdi-name": (
        500,
        "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=7",
        "seen with Docker Engine 26.1.5; newer than what CI starts",
    ),
    "old-client": (
        400,
        "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade "
        "your client to a newer version",
        "the captured words (20.10.24 says them of 1.5) with the versions of Docker Engine 29",
    ),
}


def said(text: str, /, **params: str) -> tuple[int, str]:
    """The status and the text of an engine's answer, its ``{names}`` filled in."""
    status, words = CAPTURED[text] if text in CAPTURED else QUOTED[text][:2]
    for key, value in params.items():
        words = words.replace(f"{{{key}}}", value)
    return status, words
