"""What a builder says is told as what happened."""

from __future__ import annotations

from typing import Any

import pytest
from engines.image.said import (
    BAD_DOCKERFILE,
    BASE,
    DISK_FULL,
    FILE_MISSING,
    FROM,
    GONE,
    NO_APT,
    NO_HOST,
    NO_INDEX,
    NO_REGISTRY,
    STEP_FAILED,
    failed,
    ignore,
    steps,
)

from llavakit.engines import image


@pytest.mark.parametrize(
    ("output", "name"),
    [
        (NO_REGISTRY, "build-no-network"),
        (NO_INDEX, "build-no-network"),
        (NO_APT, "build-no-network"),
        (GONE, "base-gone"),
        (STEP_FAILED, "build-failed"),
        (FILE_MISSING, "build-failed"),
        (BAD_DOCKERFILE, "build-failed"),
        (DISK_FULL, "disk-full"),
    ],
)
def test_buildkit_failures(output: str, name: str, spec: image.ImageSpec) -> None:
    failure = image.read_buildkit(output.splitlines(keepends=True), ignore)
    error = image.explain(failure, spec)
    assert error.name == name
    assert error.why


def test_a_failed_step_is_named_with_its_output(spec: image.ImageSpec) -> None:
    error = image.explain(image.read_buildkit(STEP_FAILED.splitlines(), ignore), spec)
    assert error.params["step"] == "[2/2] RUN echo hi; echo oops >&2; exit 3"
    assert error.params["tail"] == "hi\noops"
    assert error.why.endswith("exit code: 3")


def test_a_base_that_is_gone_is_named(spec: image.ImageSpec) -> None:
    error = image.explain(image.read_buildkit(GONE.splitlines(), ignore), spec)
    assert error.params == {"base": f"docker.io/{BASE}"}


def test_a_long_output_is_cut_to_its_end(spec: image.ImageSpec) -> None:
    steps = ["#5 [2/2] RUN make", *(f"#5 {i}.0 line {i}" for i in range(500))]
    steps += ["#5 ERROR: executor failed running [make]: exit code: 2", "ERROR: failed to solve"]
    tail = image.read_buildkit(steps, ignore).tail
    assert len(tail) == image.TAIL_LINES
    assert tail[-1] == "line 499"


def test_progress_passes_without_colours_and_credentials() -> None:
    lines: list[str] = []
    raw = [
        "#1 [internal] x\n",
        "\n",
        "#1 \x1b[91mGET https://me:secret@mirror.example/simple\x1b[0m\n",
    ]
    image.read_buildkit(raw, lines.append)
    assert lines == ["#1 [internal] x", "#1 GET https://***@mirror.example/simple"]


@pytest.mark.parametrize(
    ("events", "name"),
    [
        ([*FROM, failed(f'Get "https://registry.example/v2/": {NO_HOST}')], "build-no-network"),
        ([*FROM, failed("manifest unknown")], "base-gone"),
        ([*FROM, failed("name unknown")], "base-gone"),
        # Quoted from Docker's source, not captured:
        (
            [*FROM, failed(f"manifest for {BASE} not found: manifest unknown: manifest unknown")],
            "base-gone",
        ),
        (
            [
                *FROM,
                failed("pull access denied for x, repository does not exist or may require ..."),
            ],
            "base-gone",
        ),
        (
            [*FROM, failed("toomanyrequests: You have reached your pull rate limit.")],
            "build-failed",
        ),
        ([*FROM, failed("unauthorized")], "build-failed"),
        (
            [
                *steps("Step 2/2 : RUN true", "manifest unknown\n"),
                failed("The command '/bin/sh -c true' returned a non-zero code: 3"),
            ],
            "build-failed",
        ),
        (
            [
                *steps("Step 3/3 : COPY nothing-there /x"),
                failed("COPY failed: file not found in ..."),
            ],
            "build-failed",
        ),
    ],
)
def test_classic_failures(events: list[dict[str, Any]], name: str, spec: image.ImageSpec) -> None:
    failure = image.read_sdk(iter(events), ignore)
    assert failure
    error = image.explain(failure, spec)
    assert error.name == name
    if name == "base-gone":
        assert error.params["base"] == BASE, "the Dockerfile's default fills the argument in"


def test_classic_progress_names_each_state_once() -> None:
    events: list[dict[str, Any]] = [
        {"status": "Pulling from nvidia/cuda", "id": "12.1.1"},
        {"status": "Downloading", "progressDetail": {"current": 1}, "id": "aa"},
        {"status": "Downloading", "progressDetail": {"current": 2}, "id": "aa"},
        {"status": "Pull complete", "id": "aa"},
        {"stream": "Step 1/1 : RUN x"},
        {"stream": "\n"},
        {"stream": "\x1b[91moops\n\x1b[0m"},
        {"aux": {"ID": "sha256:1"}},
    ]
    lines: list[str] = []
    assert image.read_sdk(iter(events), lines.append) is None
    assert lines == [
        "12.1.1: Pulling from nvidia/cuda",
        "aa: Downloading",
        "aa: Pull complete",
        "Step 1/1 : RUN x",
        "oops",
    ]
