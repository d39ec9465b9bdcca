"""Images that a real engine builds."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from engines.image.said import DIGEST, ignore

from llavakit.engines import image
from llavakit.errors import EngineError

KIT = Path(__file__).parents[3]


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
