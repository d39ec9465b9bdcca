"""Building an image. The builders' outputs are captured from engine 20.10.24 and buildx 0.13.1,
host names replaced and long lines cut; "manifest unknown" from a registry that says so.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from docker.errors import APIError, ImageNotFound

from llavakit.engines import image
from llavakit.errors import EngineError

KIT = Path(__file__).parents[2]
DIGEST = "sha256:457a4076c56025f51217bff647ca631c7880ad3dbf546b03728ba98297ebbc22"
BASE = f"nvidia/cuda:12.1.1-base-ubuntu22.04@{DIGEST}"
HEAD = f'Head "https://registry.example/v2/nvidia/cuda/manifests/{DIGEST}"'
NO_HOST = "dial tcp: lookup registry.example on 10.0.0.53:53: no such host"
SOLVE = (
    "failed to solve: rpc error: code = Unknown desc = failed to solve with frontend dockerfile.v0:"
    " failed to create LLB definition: "
)
METADATA = f"""\
#0 building with "default" instance using docker driver

#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 150B done
#1 DONE 0.0s

#3 [internal] load metadata for docker.io/{BASE}
"""
NO_REGISTRY = f"""{METADATA}\
#3 ERROR: failed to do request: {HEAD}: {NO_HOST}
------
 > [internal] load metadata for docker.io/{BASE}:
------
ERROR: {SOLVE}failed to do request: {HEAD}: {NO_HOST}
"""
GONE = f"""{METADATA}\
#3 ERROR: registry.example/nvidia/cuda@{DIGEST}: not found
------
 > [internal] load metadata for docker.io/{BASE}:
------
ERROR: {SOLVE}registry.example/nvidia/cuda@{DIGEST}: not found
"""
NO_INDEX = """\
#6 [2/3] COPY uvbin /uvbin
#6 CACHED

#7 [3/3] RUN python3.10 -m venv /v && /uvbin pip install --python /v/bin/python six
#7 5.718 Using Python 3.10.13 environment at: /v
#7 14.22 error: Request failed after 3 retries in 8.5s
#7 14.22   cause: client error (Connect)
#7 14.22   cause: dns error
#7 14.22   cause: failed to lookup address information: Temporary failure in name resolution
#7 ERROR: executor failed running [/bin/sh -c python3.10 -m venv /v]: exit code: 2
------
 > [3/3] RUN python3.10 -m venv /v && /uvbin pip install --python /v/bin/python six:
14.22 error: Request failed after 3 retries in 8.5s
------
ERROR: failed to solve: executor failed running [/bin/sh -c python3.10]: exit code: 2
"""
NO_APT = """\
#7 [3/3] RUN apt-get -qq update && apt-get -qq install -y binutils
#7 7.216 W: Failed to fetch http://a.example/InRelease  Temporary failure resolving 'a.example'
#7 7.247 E: Unable to locate package binutils
#7 ERROR: executor failed running [/bin/sh -c apt-get -qq update]: exit code: 100
ERROR: failed to solve: executor failed running [/bin/sh -c apt-get -qq update]: exit code: 100
"""
STEP_FAILED = """\
#4 [1/2] FROM docker.io/library/llavakit-standin-base:bookworm
#4 CACHED

#5 [2/2] RUN echo hi; echo oops >&2; exit 3
#5 0.171 hi
#5 0.174 oops
#5 ERROR: executor failed running [/bin/sh -c echo hi; echo oops >&2; exit 3]: exit code: 3
------
 > [2/2] RUN echo hi; echo oops >&2; exit 3:
0.171 hi
0.174 oops
------
ERROR: failed to solve: executor failed running [/bin/sh -c echo hi]: exit code: 3
"""
FILE_MISSING = """\
#6 [3/3] COPY nothing-there /x
#6 ERROR: "/nothing-there" not found: not found

#7 [2/3] RUN true
#7 DONE 0.2s
------
 > [3/3] COPY nothing-there /x:
------
ERROR: failed to solve: failed to compute cache key: "/nothing-there" not found: not found
"""
BAD_DOCKERFILE = f"""\
#2 [internal] load build definition from f
#2 DONE 0.1s
ERROR: {SOLVE}dockerfile parse error line 2: unknown instruction: RUNX
"""
# Not captured:
DISK_FULL = """\
#5 [2/2] RUN cp -r /usr /more
#5 0.174 cp: error writing '/more/x': No space left on device
#5 ERROR: executor failed running [/bin/sh -c cp -r /usr /more]: exit code: 1
ERROR: failed to solve: executor failed running [/bin/sh -c cp -r /usr /more]: exit code: 1
"""


@pytest.fixture
def spec(tmp_path: Path) -> image.ImageSpec:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"ARG BASE_IMAGE={BASE}\nFROM ${{BASE_IMAGE}} AS system\n", "utf-8")
    return image.ImageSpec("kit:test", tmp_path, dockerfile, {}, {"kind": "test"})


def ignore(line: str) -> None:
    pass


# --- mirrors


def test_mirrors_that_are_set_are_passed_on() -> None:
    environ = {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "https_proxy": "http://proxy.example:3128",
        "NO_PROXY": "",
        "PATH": "/usr/bin",
        "PIP_EXTRA_INDEX_URL": "https://other.example/simple",
    }
    assert image.mirror_args(environ) == {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "https_proxy": "http://proxy.example:3128",
    }


def test_each_installers_own_index_wins() -> None:
    environ = {"PIP_INDEX_URL": "https://a.example", "UV_DEFAULT_INDEX": "https://b.example"}
    assert image.mirror_args(environ) == environ


def test_no_mirror_no_argument() -> None:
    assert image.mirror_args({"HOME": "/home/me"}) == {}


# --- what BuildKit says


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


# --- what the classic builder says


def steps(*texts: str) -> list[dict[str, Any]]:
    return [{"stream": text} for text in texts]


def failed(text: str) -> dict[str, Any]:
    return {"errorDetail": {"message": text}, "error": text}


FROM = steps("Step 1/35 : ARG BASE_IMAGE=x", "\n", "Step 2/35 : FROM ${BASE_IMAGE} AS system", "\n")


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


# --- which builder

Fake = Callable[[str, int], Path]


@pytest.fixture
def docker_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A `docker` command that says OUTPUT, ends with STATUS and writes its arguments to a file."""

    def make(output: str, status: int) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "output").write_text(output, encoding="utf-8")
        command = folder / "docker"
        command.write_text(
            "#!/bin/sh\n"
            f'[ "$2" = inspect ] && exit 0\nprintf "%s\\n" "$@" >{folder}/arguments\n'
            f'echo "mirror $PIP_INDEX_URL" >>{folder}/seen\ncat {folder}/output\nexit {status}\n',
            encoding="utf-8",
        )
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
        return folder

    return make


class FakeClient:
    """As much of the SDK's client as a build uses."""

    def __init__(self, events: list[dict[str, Any]] | Exception, there: bool = True) -> None:
        self.asked: dict[str, Any] = {}
        self.events, self.there = events, there
        self.api = SimpleNamespace(build=self._build, base_url="unix:///fake.sock")
        self.images = SimpleNamespace(get=self._get)

    def _build(self, **asked: Any) -> Iterator[dict[str, Any]]:
        self.asked = asked
        if isinstance(self.events, Exception):
            raise self.events
        return (event for event in self.events)

    def _get(self, tag: str) -> SimpleNamespace:
        if not self.there:
            raise ImageNotFound(f"No such image: {tag}")
        return SimpleNamespace(id="sha256:made", labels={"kind": "test"})


def test_auto_takes_buildkit_when_it_answers(spec: image.ImageSpec, docker_command: Fake) -> None:
    folder = docker_command("#1 [internal] load\n#1 DONE 0.0s\n", 0)
    spec = image.ImageSpec(
        spec.tag, spec.context, spec.dockerfile,
        {"PIP_INDEX_URL": "https://me:secret@mirror.example"}, {"kind": "test"},
    )  # fmt: skip
    lines: list[str] = []
    client: Any = FakeClient([])
    assert image.build(client, spec, lines.append) == "sha256:made"
    assert lines == ["builder: BuildKit (it answers)", "#1 [internal] load", "#1 DONE 0.0s"]
    assert client.asked == {}
    arguments = (folder / "arguments").read_text("utf-8").splitlines()
    assert arguments[:5] == ["buildx", "build", "--load", "--progress", "plain"]
    assert arguments[-1] == str(spec.context)
    assert "kind=test" in arguments
    assert not any("secret" in argument for argument in arguments), "argv is for everybody"
    assert "secret" in (folder / "seen").read_text("utf-8"), "the value goes by the environment"


def test_auto_takes_the_sdk_where_no_docker_command_is(
    spec: image.ImageSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lines: list[str] = []
    client: Any = FakeClient(steps("Step 1/1 : FROM x"))
    assert image.build(client, spec, lines.append) == "sha256:made"
    assert lines[0] == "builder: the engine's classic one (there is no docker command)"
    assert client.asked["tag"] == spec.tag
    assert client.asked["labels"] == {"kind": "test"}


def test_auto_takes_the_sdk_where_buildx_is_missing(
    spec: image.ImageSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "docker").write_text(
        "#!/bin/sh\necho 'docker: unknown command: docker buildx' >&2\nexit 1\n", "utf-8"
    )
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    lines: list[str] = []
    client: Any = FakeClient([])
    image.build(client, spec, lines.append)
    assert "unknown command: docker buildx" in lines[0]


def test_buildkit_asked_for_and_missing_is_refused(
    spec: image.ImageSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    client: Any = FakeClient([])
    with pytest.raises(EngineError) as caught:
        image.build(client, spec, ignore, builder="buildkit")
    assert caught.value.name == "build-failed"
    assert caught.value.why == "there is no docker command"


def test_sdk_asked_for_does_not_look_for_buildkit(
    spec: image.ImageSpec, docker_command: Fake
) -> None:
    folder = docker_command("", 1)
    client: Any = FakeClient([])
    image.build(client, spec, ignore, builder="sdk")
    assert client.asked["dockerfile"] == str(spec.dockerfile)
    assert not (folder / "arguments").exists()


def test_a_failing_buildx_is_an_error_although_the_tag_is_there(
    spec: image.ImageSpec, docker_command: Fake
) -> None:
    docker_command(STEP_FAILED, 1)
    client: Any = FakeClient([], there=True)
    with pytest.raises(EngineError) as caught:
        image.build(client, spec, ignore)
    assert caught.value.name == "build-failed"


def test_a_bad_dockerfile_by_the_sdk(spec: image.ImageSpec) -> None:
    refused = APIError("400 Client Error", explanation="dockerfile parse error line 2: RUNX")
    client: Any = FakeClient(refused)
    with pytest.raises(EngineError) as caught:
        image.build(client, spec, ignore, builder="sdk")
    assert caught.value.name == "build-failed"
    assert caught.value.why == "dockerfile parse error line 2: RUNX"


def test_labels_of_an_image_and_of_none() -> None:
    client: Any = FakeClient([])
    assert image.inspect_labels(client, "kit:test") == {"kind": "test"}
    client = FakeClient([], there=False)
    assert image.inspect_labels(client, "kit:test") is None


@pytest.mark.parametrize(
    ("raised", "name"),
    [
        (APIError("500 Server Error", explanation="layer does not exist"), "request-failed"),
        (requests.ConnectionError("Connection refused"), "no-daemon"),
    ],
)
def test_an_image_that_cannot_be_asked_for(raised: Exception, name: str) -> None:
    client: Any = FakeClient([])
    client.images.get = Mock(side_effect=raised)
    with pytest.raises(EngineError) as caught:
        image.inspect_labels(client, "kit:test")
    assert caught.value.name == name


# --- a real engine


class Registry(BaseHTTPRequestHandler):
    """A registry that has no image, by the Distribution specification."""

    def do_GET(self) -> None:
        found = self.path == "/v2/"
        body = {} if found else {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]}
        data = json.dumps(body).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def empty_registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["buildkit", "sdk"])
def builder(request: pytest.FixtureRequest) -> image.Builder:
    if request.param == "buildkit" and (missing := image.buildkit_missing()):
        pytest.skip(missing)
    return request.param  # type: ignore[no-any-return]


@pytest.mark.engine
def test_a_real_build(docker_client: Any, builder: image.Builder, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        'FROM scratch\nARG WORD=""\nCOPY file /file\nLABEL word="${WORD}"\n', "utf-8"
    )
    (tmp_path / "file").write_text("hello", "utf-8")
    tag = f"llavakit-test-image:{builder}"
    spec = image.ImageSpec(
        tag, tmp_path, tmp_path / "Dockerfile", {"WORD": "a b=c"}, {"own": "label"}
    )
    lines: list[str] = []
    try:
        made = image.build(docker_client, spec, lines.append, builder=builder)
        assert made == docker_client.images.get(tag).id
        assert image.inspect_labels(docker_client, tag) == {"word": "a b=c", "own": "label"}
        assert any("COPY file /file" in line for line in lines)

        (tmp_path / "file").unlink()
        with pytest.raises(EngineError) as caught:
            image.build(docker_client, spec, ignore, builder=builder)
        assert caught.value.name == "build-failed"
        assert "COPY file /file" in caught.value.params["step"]
        assert docker_client.images.get(tag).id == made, "the tag stays on its image"
    finally:
        docker_client.images.remove(tag, force=True)


@pytest.mark.engine
def test_a_real_context_is_what_dockerignore_says(
    docker_client: Any, builder: image.Builder, tmp_path: Path
) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch\nCOPY . /\n", "utf-8")
    tag = f"llavakit-test-context:{builder}"
    image.build(docker_client, image.ImageSpec(tag, KIT, dockerfile), ignore, builder=builder)
    container = docker_client.containers.create(tag, ["none"])
    try:
        with tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))) as tar:
            files = {member.name for member in tar if member.isfile()}
    finally:
        container.remove()
        docker_client.images.remove(tag, force=True)
    assert {"src/llavakit/errors.py", "src/llavakit/steps/__init__.py", "docker/trim"} <= files
    assert "docker/apt/README.md" in files
    assert any(file.startswith("configs/xtuner/") for file in files)
    allowed = ("src/llavakit/", "configs/xtuner/", "configs/deepspeed/", "docker/")
    engines_own = {"etc/hostname", "etc/hosts", "etc/resolv.conf", ".dockerenv", "dev/console"}
    others = {f for f in files if not f.startswith(allowed)} - engines_own - {"Dockerfile"}
    assert not others
    assert not {f for f in files if "engines/" in f or "host/" in f or f.endswith(".pyc")}


@pytest.mark.engine
def test_a_real_engine_and_a_digest_that_is_gone(
    docker_client: Any, builder: image.Builder, empty_registry: str, tmp_path: Path
) -> None:
    if not docker_client.api.base_url.startswith("http+docker://"):
        pytest.skip("the engine is on another host and cannot reach this one's loopback")
    base = f"{empty_registry}/cuda@{DIGEST}"
    (tmp_path / "Dockerfile").write_text("ARG BASE_IMAGE=x\nFROM ${BASE_IMAGE}\n", "utf-8")
    spec = image.ImageSpec(
        "llavakit-test-gone", tmp_path, tmp_path / "Dockerfile", {"BASE_IMAGE": base}
    )
    with pytest.raises(EngineError) as caught:
        image.build(docker_client, spec, ignore, builder=builder)
    assert caught.value.name == "base-gone", caught.value.why
    assert caught.value.params == {"base": base}
