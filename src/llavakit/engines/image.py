"""Build an image and read its labels: BuildKit where it is there, the SDK's builder elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, Literal

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.images import Image

from llavakit.engines.docker_errors import translate
from llavakit.errors import EngineError

Builder = Literal["auto", "buildkit", "sdk"]
OnLine = Callable[[str], None]

TAIL_LINES = 15
"""How much of a failed step's output its error carries."""
PROBE_SECONDS = 20

INDEXES = ("UV_DEFAULT_INDEX", "PIP_INDEX_URL")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")

BASE_GONE = (
    "manifest unknown",
    "name unknown",
    ": not found",
    "pull access denied",  # this and the next are quoted from Docker's source, the others were seen
    "manifest for ",
)
"""In what an engine says of a FROM line, in lower case: the registry does not have it."""

NO_NETWORK = (
    "no such host",
    "connection refused",
    "temporary failure in name resolution",
    "temporary failure resolving",
    "i/o timeout",  # from here on other words of Go, curl and urllib3 for the same, not seen here
    "network is unreachable",
    "tls handshake timeout",
    "could not resolve host",
    "connection timed out",
)
"""In the output of a step that failed, in lower case: it reached no registry or package index."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_VERTEX = re.compile(r"#(\d+) (.*)")
_STEP = re.compile(r"Step \d+/\d+ : ")


@dataclass(frozen=True)
class ImageSpec:
    """What to build: the Dockerfile's path, the folder it sees, and what is passed to it."""

    tag: str
    context: Path
    dockerfile: Path
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Failure:
    """A failed build: its step, the engine's reason and the last lines of the step's output."""

    step: str
    reason: str
    tail: list[str]

    @property
    def of_base(self) -> bool:
        return re.search(r"load metadata for |(: |\] )FROM ", self.step) is not None


def mirror_args(environ: Mapping[str, str]) -> dict[str, str]:
    """Build arguments for the package mirrors and proxies that ``environ`` names.

    An index for pip is one for uv too, and the other way round.
    """
    given = {name: environ[name] for name in (*INDEXES, *PROXIES) if environ.get(name)}
    index = next((given[name] for name in INDEXES if name in given), None)
    if index is not None:
        given = {**dict.fromkeys(INDEXES, index), **given}
    return given


def inspect_labels(client: docker.DockerClient, tag: str) -> dict[str, str] | None:
    """The image's labels, or None when there is no such image.

    Raises EngineError ``no-daemon``, ``permission-denied`` or ``request-failed``.
    """
    try:
        return dict(_get(client, tag).labels)
    except ImageNotFound:
        return None


def _get(client: docker.DockerClient, tag: str) -> Image:
    """The image. Raises ImageNotFound, and the EngineError for every other answer."""
    try:
        return client.images.get(tag)
    except ImageNotFound:
        raise
    except (DockerException, requests.RequestException) as error:
        raise translate(error, address=client.api.base_url, image=tag) from None


def buildkit_missing() -> str:
    """Why BuildKit cannot be used, in a few words; empty when it can."""
    try:
        done = subprocess.run(
            ["docker", "buildx", "inspect"], capture_output=True, text=True, timeout=PROBE_SECONDS
        )
    except FileNotFoundError:
        return "there is no docker command"
    except subprocess.TimeoutExpired:
        return f"docker buildx does not answer within {PROBE_SECONDS} s"
    if done.returncode == 0:
        return ""
    words = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return words[0] if words else f"docker buildx fails with status {done.returncode}"


def build(
    client: docker.DockerClient, spec: ImageSpec, on_line: OnLine, *, builder: Builder = "auto"
) -> str:
    """Build ``spec`` and return the image's id; ``on_line`` gets the builder's output.

    Raises EngineError ``build-failed``, ``base-gone``, ``build-no-network`` or ``disk-full``, and
    ``image-missing``, ``no-daemon`` or ``request-failed`` when the image cannot be asked for.
    A tag that was there before stays on its image when the build fails.
    """
    missing = "" if builder == "sdk" else buildkit_missing()
    if builder == "buildkit" and missing:
        raise EngineError("build-failed", why=missing, step="docker buildx inspect", tail="")
    if builder == "sdk" or missing:
        on_line(f"builder: the engine's classic one ({missing or 'asked for'})")
        failure = _build_sdk(client, spec, on_line)
    else:
        on_line(f"builder: BuildKit ({'it answers' if builder == 'auto' else 'asked for'})")
        failure = _build_buildkit(spec, on_line)
    if failure is not None:
        raise explain(failure, spec)
    try:
        return str(_get(client, spec.tag).id)
    except ImageNotFound as error:
        raise translate(error, image=spec.tag) from None


def explain(failure: Failure, spec: ImageSpec) -> EngineError:
    """The kit's error for a build that failed."""
    said = "\n".join((*failure.tail, failure.reason)).lower()
    if "no space left on device" in said:
        return EngineError("disk-full", why=failure.reason)
    if failure.of_base and any(sign in failure.reason.lower() for sign in BASE_GONE):
        return EngineError("base-gone", why=failure.reason, base=_base(failure.step, spec))
    if any(sign in said for sign in NO_NETWORK):
        return EngineError("build-no-network", why=failure.reason)
    tail = "\n".join(failure.tail)
    return EngineError("build-failed", why=failure.reason, step=failure.step, tail=tail)


def _base(step: str, spec: ImageSpec) -> str:
    """The image that a FROM step names, its build arguments filled in."""
    defaults = re.findall(r"^ARG (\w+)=(\S+)", spec.dockerfile.read_text("utf-8"), re.MULTILINE)
    named = re.search(r"(?:load metadata for|FROM) (\S+)", step)
    reference = named.group(1) if named else step
    return Template(reference).safe_substitute({**dict(defaults), **spec.build_args})


def _clean(line: str) -> str:
    """Without colours, and without the user and password that a mirror's address may hold."""
    return _CREDENTIALS.sub("***", _ANSI.sub("", line)).rstrip()


def _build_buildkit(spec: ImageSpec, on_line: OnLine) -> Failure | None:
    command = ["docker", "buildx", "build", "--load", "--progress", "plain"]
    command += ["--tag", spec.tag, "--file", str(spec.dockerfile)]
    # By name alone, the value in the environment: a mirror's may be secret, argv is not.
    for name in spec.build_args:
        command += ["--build-arg", name]
    for name, value in spec.labels.items():
        command += ["--label", f"{name}={value}"]
    environ = {**os.environ, **spec.build_args, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    with subprocess.Popen(
        [*command, str(spec.context)], env=environ, encoding="utf-8", errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            failure = read_buildkit(process.stdout or (), on_line)
        except BaseException:
            process.terminate()
            raise
    return failure if process.returncode else None


def read_buildkit(lines: Iterable[str], on_line: OnLine) -> Failure:
    """Pass BuildKit's plain progress on; what is returned counts only if the build failed."""
    names: dict[str, str] = {}
    output: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=TAIL_LINES))
    failure = Failure("docker buildx build", "", [])
    others: deque[str] = deque(maxlen=TAIL_LINES)
    for raw in lines:
        line = _clean(raw)
        if not line:
            continue
        on_line(line)
        if line.startswith("ERROR: "):
            failure.reason = line.removeprefix("ERROR: ")
        elif not (vertex := _VERTEX.match(line)):
            others.append(line)
        elif vertex[2].startswith("ERROR: "):
            failure.step = names[vertex[1]]
            failure.tail = list(output[vertex[1]])
        elif vertex[1] not in names:
            names[vertex[1]] = vertex[2]
        else:
            output[vertex[1]].append(re.sub(r"^\d+\.\d+ ", "", vertex[2]))
    if not failure.reason:
        failure.reason = "\n".join(others)
    return failure


def _build_sdk(client: docker.DockerClient, spec: ImageSpec, on_line: OnLine) -> Failure | None:
    try:
        stream = client.api.build(
            path=str(spec.context), dockerfile=str(spec.dockerfile), tag=spec.tag,
            buildargs=dict(spec.build_args), labels=dict(spec.labels),
            rm=True, forcerm=True, decode=True,
        )  # fmt: skip
        with closing(stream):
            return read_sdk(stream, on_line)
    except APIError as error:
        return Failure(str(spec.dockerfile.name), str(error.explanation or error), [])
    except (DockerException, requests.RequestException) as error:
        raise translate(error, address=client.api.base_url, image=spec.tag) from None


def read_sdk(events: Iterator[dict[str, Any]], on_line: OnLine) -> Failure | None:
    """Pass the classic builder's events on as lines; the failure, if they end in one."""
    step, tail = "", deque[str](maxlen=TAIL_LINES)
    layers: dict[str, str] = {}
    for event in events:
        if "error" in event:
            return Failure(step, _clean(event["error"]), list(tail))
        status, layer = event.get("status", ""), event.get("id", "")
        if status and layers.get(layer) != status:  # a pull says every state many times
            layers[layer] = status
            on_line(f"{layer}: {status}" if layer else status)
        for line in filter(None, map(_clean, event.get("stream", "").splitlines())):
            on_line(line)
            if _STEP.match(line):
                step = line
                tail.clear()
            else:
                tail.append(line)
    return None
