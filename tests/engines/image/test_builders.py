"""Which builder builds, and with what."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from docker.errors import APIError, ImageNotFound
from engines.image.said import STEP_FAILED, ignore, steps

from llavakit.engines import image
from llavakit.errors import EngineError


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
