"""The matrix: every client of a hub, against every way in which a hub can fail.

The clients are the real ones, the programs git and git-lfs included, and so are their connections.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers.faulty import Fault, FaultyServer
from servers.hubs import GitHost, HuggingFaceHub, ModelScopeHub, pointer

from llavakit import artefact
from llavakit.errors import SourceError
from llavakit.phrases import phrase
from llavakit.steps.sources import http, registry
from llavakit.steps.sources.base import Listing, Remote, RemoteFile

MODELSCOPE, HUGGINGFACE, HTTPS, GIT = CLIENTS = ("modelscope", "huggingface", "https", "git-lfs")
CHANCE = random.Random(7)  # noqa: S311 - the same in every run
CONTENT, OTHER = CHANCE.randbytes(400_000), CHANCE.randbytes(400_000)
NAME = "weights.bin"
PAGE = Fault(
    body=b"<!DOCTYPE html>\n<html>\n<title>Log in</title>\n</html>\n",
    headers={"Content-Type": "text/html"},
)
QUICK = http.Patience(connect=1, read=0.4, window=2, tries=3, backoff=0.01, longest=0.05)
ALWAYS = 300


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def need_git_lfs() -> None:
    if shutil.which("git-lfs") is None:
        if os.environ.get("LLAVAKIT_TEST_REQUIRE_DOCKER"):
            pytest.fail("git-lfs is not installed here, and this run must have it")
        pytest.skip("git-lfs is not installed here")


class Counter:
    """A meter that adds up."""

    def __init__(self) -> None:
        self.came = self.there = 0
        self.notes: list[str] = []

    def add(self, count: int) -> None:
        self.came += count

    def have(self, count: int) -> None:
        self.there += count

    def note(self, name: str, /, **params: object) -> None:
        self.notes.append(str(phrase(name, **params)))


@dataclass
class Hub:
    """A hub with one file, its client, and the paths on which faults are queued."""

    server: FaultyServer
    remote: Remote
    ask_path: str
    file_path: Callable[[], str]
    move: Callable[[bytes], object]
    without: Callable[[str], Remote]
    """The client for a ``repository`` or a ``revision`` that is not there."""
    part: Path
    client: str = ""

    def listed(self) -> RemoteFile:
        return self.remote.list([NAME]).files[0]

    def fetch(self, file: RemoteFile, *faults: Fault, times: int = 1) -> str:
        """The sha256, or what went wrong; afterwards the meter says what is in the part."""
        self.server.fault(self.file_path(), *faults, times=times)
        meter = Counter()
        try:
            found = self.remote.fetch(file, self.part, meter)
            assert found == sha256(self.part.read_bytes())
        except SourceError as error:
            found = error.name
        kept = self.part.stat().st_size if self.part.exists() else 0
        assert meter.came + meter.there == kept
        assert not [path for path in self.part.parent.iterdir() if path != self.part]
        return found


def modelscope(server: FaultyServer, folder: Path, patch: pytest.MonkeyPatch) -> Hub:
    from llavakit.steps.sources.modelscope_hub import ModelScope

    patch.setenv("MODELSCOPE_DOMAIN", server.host)
    patch.delenv("MODELSCOPE_API_TOKEN", raising=False)
    patch.setattr(ModelScope, "answer", 1.0)
    hub = ModelScopeHub(server, {NAME: CONTENT, "README.md": b"text", "a/b.json": b"{}"})

    def client(repository: str = hub.repository, revision: str = hub.revision) -> Remote:
        source = artefact.ModelScope(hub="modelscope", repository=repository, revision=revision)
        return ModelScope(source, QUICK)

    def without(what: str) -> Remote:
        return client(repository="no/model") if what == "repository" else client(revision="v9")

    def move(data: bytes) -> None:
        hub.files[NAME] = data

    return Hub(server, client(), hub.list_path, lambda: hub.file_path, move, without, folder / "p")


def huggingface(server: FaultyServer, folder: Path, patch: pytest.MonkeyPatch) -> Hub:
    from llavakit.steps.sources.huggingface import HuggingFace

    patch.setenv("HF_ENDPOINT", server.url)
    patch.delenv("HF_TOKEN", raising=False)
    patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    patch.setattr(HuggingFace, "answer", 1.0)
    hub = HuggingFaceHub(server, {NAME: CONTENT, "README.md": b"text"}, lfs=frozenset({NAME}))
    first = hub.file_path(NAME)

    def client(repository: str = hub.repository, revision: str = hub.branch) -> Remote:
        source = artefact.HuggingFace(hub="huggingface", repository=repository, revision=revision)
        return HuggingFace(source, QUICK)

    def without(what: str) -> Remote:
        return client(repository="no/model") if what == "repository" else client(revision="v9")

    def move(data: bytes) -> None:
        hub.move({NAME: data})

    return Hub(server, client(), hub.list_path, lambda: first, move, without, folder / "p")


def https(server: FaultyServer, folder: Path, patch: pytest.MonkeyPatch) -> Hub:
    from llavakit.steps.sources.web import Web

    path = f"/models/{NAME}"
    server.files[path] = CONTENT

    def client(place: str = "/models") -> Remote:
        return Web(artefact.Web(hub="https", address=server.url + place), QUICK)

    def move(data: bytes) -> None:
        server.files[path] = data

    return Hub(server, client(), path, lambda: path, move, lambda _: client("/no"), folder / "p")


def git(server: FaultyServer, folder: Path, patch: pytest.MonkeyPatch) -> Hub:
    need_git_lfs()
    from llavakit.steps.sources.git import Git
    from llavakit.steps.sources.git_place import Patience

    quick = Patience(answer=2, read=1, tries=2, backoff=0.01)
    host = GitHost(server, folder, {NAME: CONTENT}, {"README.md": b"text"})

    def client(address: str = host.url, revision: str = "main") -> Remote:
        return Git(artefact.Git(hub="git", address=address, revision=revision), quick)

    def without(what: str) -> Remote:
        if what == "repository":
            return client(address=f"{server.url}/team/none.git")
        return client(revision="v9")

    def move(data: bytes) -> None:
        host.move({NAME: data}, {})

    path = host.object_path(CONTENT)
    (folder / "out").mkdir()
    return Hub(server, client(), host.refs_path, lambda: path, move, without, folder / "out" / "p")


MAKERS = dict(zip(CLIENTS, (modelscope, huggingface, https, git), strict=True))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(params=CLIENTS)
def hub(
    request: pytest.FixtureRequest,
    certificates: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Hub]:
    # ModelScope's client speaks HTTPS only; certificates take their time.
    with FaultyServer(tls=certificates if request.param == MODELSCOPE else None) as server:
        if server.certificate:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.certificate))
        monkeypatch.setenv("NO_PROXY", "localhost")
        folder = tmp_path / "part"
        folder.mkdir()
        made = MAKERS[request.param](server, folder, monkeypatch)
        made.client = request.param
        yield made


def outcome(hub: Hub, all_: str = "", **one: str) -> str:
    """What is expected of this client: its own word, or that for all."""
    return one.get(hub.client.replace("-", "_"), all_)


def test_a_listing_says_what_the_hub_knows(hub: Hub) -> None:
    listing: Listing = hub.remote.list([NAME])
    (file,) = listing.files
    assert (file.name, file.bytes) == (NAME, len(CONTENT))
    assert file.sha256 == (outcome(hub, sha256(CONTENT), https="") or None)
    assert len(listing.revision) == int(outcome(hub, "0", huggingface="40", git_lfs="40"))
    assert hub.fetch(file) == sha256(CONTENT)


def test_dropped_twenty_times(hub: Hub) -> None:
    file = hub.listed()
    drops = [Fault(drop_after=CHANCE.randrange(1, 15_000)) for _ in range(20)]
    assert hub.fetch(file, *drops) == sha256(CONTENT)
    sent = sum(seen.sent for seen in hub.server.requests(hub.file_path()) if seen.method == "GET")
    assert sent <= len(CONTENT) * 1.05, "hardly a byte came twice"


def test_server_errors_then_success(hub: Hub) -> None:
    assert hub.fetch(hub.listed(), Fault(status=503), Fault(status=500)) == sha256(CONTENT)


def test_server_errors_for_ever(hub: Hub) -> None:
    assert hub.fetch(hub.listed(), Fault(status=503), times=ALWAYS) == "server"
    assert not hub.part.exists()


def test_range_ignored(hub: Hub) -> None:
    file = hub.listed()
    assert hub.fetch(file, Fault(drop_after=100_000), Fault(ignore_range=True)) == sha256(CONTENT)


def test_wrong_bytes_of_the_right_length(hub: Hub) -> None:
    # The one transfer tells what it found; git-lfs compares by itself.
    found = hub.fetch(hub.listed(), Fault(body=OTHER), times=ALWAYS)
    assert found == outcome(hub, sha256(OTHER), git_lfs="wrong-bytes")
    assert hub.part.exists() == (found == sha256(OTHER))


def test_more_announced_than_there_is(hub: Hub) -> None:
    found = hub.fetch(hub.listed(), Fault(length=len(CONTENT) + 10_000), times=ALWAYS)
    assert found == outcome(hub, sha256(CONTENT), https="wrong-length")


def test_less_announced_than_there_is(hub: Hub) -> None:
    found = hub.fetch(hub.listed(), Fault(length=100_000))
    assert found == outcome(hub, sha256(CONTENT), https="wrong-length", git_lfs="wrong-length")


def test_the_beginning_of_the_file_as_if_it_were_all(hub: Hub) -> None:
    found = hub.fetch(hub.listed(), Fault(body=CONTENT[:100_000]), times=ALWAYS)
    assert found == "wrong-length"
    assert not hub.part.exists()


def test_stalls(hub: Hub) -> None:
    file = hub.listed()
    began = time.monotonic()
    silent = [Fault(stall_after=0)] * 9
    assert hub.fetch(file, Fault(stall_after=50_000), *silent) == "stalled"
    assert time.monotonic() - began < 15
    assert CONTENT.startswith(hub.part.read_bytes()) and hub.part.stat().st_size >= 50_000
    hub.server._faults.clear()
    assert hub.fetch(file) == sha256(CONTENT)


def test_redirects_for_ever(hub: Hub) -> None:
    file = hub.listed()
    circle = Fault(redirect=f"{hub.server.url}{hub.file_path()}?FilePath={NAME}")
    assert hub.fetch(file, circle, times=20_000) == "redirects"


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (PAGE, "html"),
        (Fault(body=pointer(CONTENT)), "pointer"),
        (Fault(body=b""), "empty"),
        (Fault(status=401), "gated"),
        (Fault(status=403), "gated"),
        (Fault(status=404), "missing"),
    ],
    ids=["page", "pointer", "empty", "401", "403", "404"],
)
def test_something_else_than_the_file(hub: Hub, fault: Fault, name: str) -> None:
    assert hub.fetch(hub.listed(), fault, times=20_000) == name
    assert not hub.part.exists()


def test_moved_between_listing_and_fetch(hub: Hub) -> None:
    # Where a commit is in the address the old file is still there; elsewhere the hash tells.
    file = hub.listed()
    hub.move(OTHER)
    expected = sha256(OTHER), sha256(CONTENT)
    assert hub.fetch(file) == outcome(
        hub, expected[0], huggingface=expected[1], git_lfs=expected[1]
    )


def refusal(remote: Remote) -> SourceError:
    with pytest.raises(SourceError) as caught:
        remote.list([NAME])
    assert caught.value.remedy()  # its message has all that it needs
    return caught.value


@pytest.mark.parametrize("what", ["repository", "revision"])
def test_missing(hub: Hub, what: str) -> None:
    error = refusal(hub.without(what))
    assert error.name == "missing"
    assert hub.server.host not in error.params["what"]


def test_no_file_of_that_name(hub: Hub) -> None:
    with pytest.raises(SourceError) as caught:
        hub.remote.list(["*.pth"])
    assert caught.value.name == "no-files"


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        (Fault(status=401), {"gated"}),
        (Fault(status=403), {"gated"}),
        (Fault(status=503), {"server"}),
        (PAGE, {"html"}),
        (Fault(drop_after=10), {"broken", "unreachable"}),
        (Fault(seconds=3), {"stalled", "unreachable"}),
    ],
    ids=["401", "403", "503", "page", "drop", "silence"],
)
def test_listings_refused(hub: Hub, fault: Fault, names: set[str]) -> None:
    if hub.client == HTTPS and fault.drop_after > 0:
        return  # nothing but a head is asked for
    hub.server.fault(hub.ask_path, fault, times=10)
    began = time.monotonic()
    error = refusal(hub.remote)
    if (hub.client, fault.status) == (HUGGINGFACE, 401):
        names = {"missing"}  # the hub's word for a repository that it does not show to everybody
    assert error.name in names
    assert time.monotonic() - began < 5


def test_listings_sent_in_circles(hub: Hub) -> None:
    query = "?service=git-upload-pack" if hub.client == GIT else ""
    circle = Fault(redirect=f"{hub.server.url}{hub.ask_path}{query}")
    hub.server.fault(hub.ask_path, circle, times=100)
    assert refusal(hub.remote).name == "redirects"


@pytest.mark.parametrize("client", CLIENTS)
def test_nobody_answers(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSCOPE_DOMAIN", "localhost:9")
    monkeypatch.setenv("HF_ENDPOINT", "https://localhost:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    sources: dict[str, artefact.Source] = {
        MODELSCOPE: artefact.ModelScope(hub="modelscope", repository="a/b"),
        HUGGINGFACE: artefact.HuggingFace(hub="huggingface", repository="a/b"),
        HTTPS: artefact.Web(hub="https", address="https://localhost:9/x"),
        GIT: artefact.Git(hub="git", address="https://localhost:9/x.git"),
    }
    error = refusal(registry.of(sources[client]))
    assert error.name == "unreachable"
    assert error.why
