"""Git repositories: revisions, folders, plain files, and what must not get in their way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers.faulty import Fault, FaultyServer
from servers.hubs import GitHost, sha256

from llavakit import artefact
from llavakit.errors import SourceError
from llavakit.steps.sources import git_errors
from llavakit.steps.sources.git import Git
from llavakit.steps.sources.git_place import Patience

KIT = Path(__file__).resolve().parents[3]
LARGE = bytes(range(256)) * 4000
PLAIN = {
    "m/config.json": b'{"a": 1}',
    "m/tokenizer.json": b"t" * 50_000,
    "m/empty.txt": b"",
    "m/sub/vocabulary.txt": b"v",
    "README.md": b"text",
}
QUICK = Patience(answer=5, read=1, tries=2, backoff=0.01)


class Counter:
    def __init__(self) -> None:
        self.came = self.there = 0

    def add(self, count: int) -> None:
        self.came += count

    def have(self, count: int) -> None:
        self.there += count

    def note(self, name: str, /, **params: object) -> None: ...


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    if shutil.which("git-lfs") is None:
        if os.environ.get("LLAVAKIT_TEST_REQUIRE_DOCKER"):
            pytest.fail("git-lfs is not installed here, and this run must have it")
        pytest.skip("git-lfs is not installed here")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHost]:
    (tmp_path / "host").mkdir()
    with FaultyServer() as server:
        yield GitHost(server, tmp_path / "host", {"m/w.bin": LARGE}, dict(PLAIN))


Client = Callable[..., Git]


@pytest.fixture
def client(host: GitHost) -> Client:
    def make(revision: str = "main", folder: str = "m", address: str = host.url) -> Git:
        source = artefact.Git(hub="git", address=address, revision=revision, folder=folder)
        return Git(source, QUICK)

    return make


def refused(act: Callable[[], object]) -> SourceError:
    with pytest.raises(SourceError) as caught:
        act()
    assert caught.value.remedy()
    return caught.value


def test_names_are_relative_to_the_folder(host: GitHost, client: Client) -> None:
    listing = client().list(["*", "sub/*"])
    known = {file.name: (file.bytes, file.sha256) for file in listing.files}
    assert listing.revision == host.head
    assert known == {
        "config.json": (8, None),
        "empty.txt": (0, None),
        "sub/vocabulary.txt": (1, None),
        "tokenizer.json": (None, None),  # not fetched for a size
        "w.bin": (len(LARGE), sha256(LARGE)),
    }


@pytest.mark.parametrize("filters", [True, False], ids=["partial", "whole"])
def test_every_file_can_be_had(
    host: GitHost, client: Client, tmp_path: Path, filters: bool
) -> None:
    host._git("config", "uploadpack.allowFilter", str(filters).lower())
    git = client()
    for file in git.list(["*", "sub/*"]).files:
        part, meter = tmp_path / "part", Counter()
        part.write_bytes(b"")
        data = LARGE if file.sha256 else PLAIN[f"m/{file.name}"]
        assert git.fetch(file, part, meter) == sha256(data)
        assert part.read_bytes() == data
        assert (meter.came, meter.there) == (len(data), 0)
        part.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["host"]


def test_a_listing_of_yesterday_is_enough(host: GitHost, client: Client, tmp_path: Path) -> None:
    (file,) = client().list(["tokenizer.json"]).files
    host.move({}, {"m/tokenizer.json": b"newer"})
    assert client().fetch(file, tmp_path / "p", Counter()) == sha256(b"t" * 50_000)


@pytest.mark.parametrize("revision", ["v1", "refs/tags/v1", "main", "HEAD", "side/v1"])
def test_revisions(host: GitHost, client: Client, revision: str) -> None:
    host._git("branch", "side/v1")
    host.tag("v1")
    first = host.head
    if revision in ("main", "HEAD"):
        first = host.move({}, {"m/config.json": b"{}"})
    else:
        host.move({}, {"m/config.json": b"{}"})
    listing = client(revision).list(["config.json"])
    if revision == "refs/tags/v1":  # a name in full stands for the tag itself
        first = host._git("rev-parse", "refs/tags/v1").strip()
    assert listing.revision == first


def test_a_whole_commit_is_not_looked_up(host: GitHost, client: Client) -> None:
    first = host.head
    host.move({}, {"m/config.json": b"{}"})
    assert client(first).list(["config.json"]).revision == first


@pytest.mark.parametrize("revision", ["0" * 40, "v9", "in"])
def test_revisions_that_are_not_there(host: GitHost, client: Client, revision: str) -> None:
    assert refused(lambda: client(revision).list(["*"])).name == "missing"


def test_a_folder_that_is_not_there(client: Client) -> None:
    error = refused(lambda: client(folder="nowhere").list(["*"]))
    assert error.name == "missing" and "nowhere" in error.params["what"]


def test_a_file_system_is_no_source(host: GitHost, client: Client) -> None:
    git = client()
    object.__setattr__(git._source, "address", str(host.work))
    assert refused(lambda: git.list(["*"])).name == "unreachable"


def test_certificates_are_those_of_the_other_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    (tmp_path / "secure").mkdir()
    with FaultyServer(tls=tmp_path) as server:
        host = GitHost(server, tmp_path / "secure", {"w.bin": LARGE})
        git = Git(artefact.Git(hub="git", address=host.url, revision="main"), QUICK)
        assert refused(lambda: git.list(["*"])).name == "unreachable"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.certificate))
        (file,) = git.list(["*"]).files
        assert git.fetch(file, tmp_path / "p", Counter()) == sha256(LARGE)


def test_certificates_by_a_path_from_where_the_job_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secure").mkdir()
    (tmp_path / "inputs").mkdir()
    monkeypatch.chdir(tmp_path)
    with FaultyServer(tls=tmp_path) as server:
        assert server.certificate is not None
        server.certificate.rename("inputs/ca.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "inputs/ca.pem")
        host = GitHost(server, tmp_path / "secure", {"w.bin": LARGE}, {"a.json": b"a" * 5000})
        git = Git(artefact.Git(hub="git", address=host.url, revision="main"), QUICK)
        for file in git.list(["*"]).files:
            data = LARGE if file.sha256 else b"a" * 5000
            assert git.fetch(file, Path("p"), Counter()) == sha256(data)


def test_no_configuration_of_the_users_counts(
    host: GitHost, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "home"
    trap.mkdir()
    settings = f'[url "http://localhost:9/"]\n insteadOf = {host.server.url}/\n'
    (trap / ".gitconfig").write_text(settings)
    monkeypatch.setenv("HOME", str(trap))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    (file,) = client().list(["w.bin"]).files
    assert client().fetch(file, tmp_path / "p", Counter()) == sha256(LARGE)
    assert [path.name for path in trap.iterdir()] == [".gitconfig"]


def test_a_repository_cannot_send_git_lfs_to_a_shell_or_a_file(
    host: GitHost, client: Client, tmp_path: Path
) -> None:
    host.move({}, {".lfsconfig": b"[lfs]\n url = ssh://localhost/x\n"})
    (file,) = client().list(["w.bin"]).files
    began = time.monotonic()
    assert refused(lambda: client().fetch(file, tmp_path / "p", Counter())).name in (
        "broken",
        "unreachable",
        "gated",
        "missing",
    )
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "said", ["fetchexclude = *", "fetchinclude = nothing", "skipdownloaderrors = true"]
)
def test_a_repository_cannot_tell_git_lfs_to_bring_nothing(
    host: GitHost, client: Client, tmp_path: Path, said: str
) -> None:
    host.move({}, {".lfsconfig": f"[lfs]\n\t{said}\n".encode()})
    (file,) = client().list(["w.bin"]).files
    assert client().fetch(file, tmp_path / "p", Counter()) == sha256(LARGE)


def test_errors_of_the_large_files_server_are_errors_whatever_a_repository_says(
    host: GitHost, client: Client, tmp_path: Path
) -> None:
    host.move({}, {".lfsconfig": b"[lfs]\n\tskipdownloaderrors = true\n"})
    host.missing_objects = True
    (file,) = client().list(["w.bin"]).files
    assert refused(lambda: client().fetch(file, tmp_path / "p", Counter())).name == "missing"


def test_a_git_lfs_that_succeeds_without_a_file(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = client().list(["w.bin"]).files
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git-lfs").write_text("#!/bin/sh\ncat > /dev/null\n")
    (tmp_path / "bin" / "git-lfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    error = refused(lambda: client().fetch(file, tmp_path / "p", Counter()))
    assert error.name == "broken" and "brought nothing" in error.why


def test_passwords_are_in_no_message(host: GitHost, client: Client) -> None:
    git = client()
    address = host.url.replace("://", "://me:secret@")
    object.__setattr__(git._source, "address", address)
    host.server.fault(host.refs_path, Fault(status=503), times=4)
    error = refused(lambda: git.list(["*"]))
    assert error.name == "server" and "secret" not in error.why


@pytest.mark.parametrize("tool", ["git", "git-lfs"])
def test_a_program_that_is_not_there(
    client: Client, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    known = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, *rest: None if name == tool else known(name, *rest)
    )
    error = refused(lambda: client().list(["w.bin"]))
    assert (error.name, error.params["tool"]) == ("no-tool", tool)


def test_objects_that_the_large_files_server_has_lost(
    host: GitHost, client: Client, tmp_path: Path
) -> None:
    host.missing_objects = True
    (file,) = client().list(["w.bin"]).files
    assert refused(lambda: client().fetch(file, tmp_path / "p", Counter())).name == "missing"


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (Fault(status=503), "server"),
        (Fault(status=401), "gated"),
        (Fault(status=403), "gated"),
        (Fault(status=404), "missing"),
        (Fault(status=429), "server"),
        (Fault(body=b"<html>", headers={"Content-Type": "text/html"}), "html"),
        (Fault(drop_after=3), "broken"),
        (Fault(stall_after=0), "stalled"),
    ],
    ids=["503", "401", "403", "404", "429", "page", "drop", "stall"],
)
def test_the_large_files_server_fails(
    host: GitHost, client: Client, tmp_path: Path, fault: Fault, name: str
) -> None:
    (file,) = client().list(["w.bin"]).files
    host.server.fault(host.batch_path, fault, times=10)
    assert refused(lambda: client().fetch(file, tmp_path / "p", Counter())).name == name


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (Fault(status=503), "server"),
        (Fault(status=403), "gated"),
        (Fault(drop_after=60), "broken"),
        (Fault(stall_after=60), "stalled"),
    ],
    ids=["503", "403", "drop", "stall"],
)
def test_a_plain_file_fails(
    host: GitHost, client: Client, tmp_path: Path, fault: Fault, name: str
) -> None:
    git, part = client(), tmp_path / "p"
    (file,) = git.list(["tokenizer.json"]).files
    asked = "/team/model.git/git-upload-pack"
    host.server.fault(asked, fault, times=10)
    assert refused(lambda: git.fetch(file, part, Counter())).name == name
    assert not [path for path in tmp_path.iterdir() if path.name != "host"]
    host.server._faults.clear()
    host.server.fault(asked, Fault(status=503))
    assert git.fetch(file, part, Counter()) == sha256(b"t" * 50_000)


def test_a_beginning_of_something_else_is_thrown_away(client: Client, tmp_path: Path) -> None:
    (file,) = client().list(["w.bin"]).files
    part, meter = tmp_path / "p", Counter()
    part.write_bytes(b"x" * 1000)
    assert client().fetch(file, part, meter) == sha256(LARGE)
    assert meter.came + meter.there == len(LARGE)


FETCH = """
import sys
from pathlib import Path
from llavakit import artefact
from llavakit.steps.sources.git import Git
class Silent:
    def add(self, *_, **__): pass
    have = note = add
git = Git(artefact.Git(hub="git", address=sys.argv[1], revision="main", folder="m"))
git.fetch(git.list(["w.bin"]).files[0], Path(sys.argv[2]), Silent())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_what_came_before_the_end_is_kept(
    host: GitHost, client: Client, tmp_path: Path, number: signal.Signals
) -> None:
    (file,) = client().list(["w.bin"]).files
    part = tmp_path / "out" / "p"
    path = host.object_path(LARGE)
    host.server.fault(path, Fault(stall_after=600_000), times=3)
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, host.url, str(part)],
        env={**os.environ, "PYTHONPATH": str(KIT / "src")}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: any(seen.sent >= 600_000 for seen in host.server.requests(path)))
    time.sleep(0.5)
    process.send_signal(number)
    process.wait(10)
    wait_for(lambda: not running(str(part)))
    host.server._faults.clear()
    assert client().fetch(file, part, meter := Counter()) == sha256(LARGE)
    assert meter.there >= 500_000
    assert meter.came <= len(LARGE) - 500_000
    assert [path.name for path in part.parent.iterdir()] == ["p"]


def running(text: str) -> bool:
    """Whether a program works in a folder of that name."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if text in str(link.readlink()):
                return True
        except OSError:
            continue
    return False


def wait_for(what: Callable[[], bool]) -> None:
    ends = time.monotonic() + 15
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_threads_share_one_client(client: Client, tmp_path: Path) -> None:
    git, found = client(), []
    files = git.list(["*"]).files

    def fetch(number: int) -> None:
        found.append(git.fetch(files[number], tmp_path / str(number), Counter()))

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(len(files))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(files)


def test_a_full_disk_is_no_fault_of_the_source() -> None:
    said = "cannot write data to temporary file: write /x: no space left on device"
    with pytest.raises(OSError, match="No space left"):
        git_errors.explain(said, "git", "w.bin", "w.bin", 1)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("fatal: unable to access 'http://h/': Could not resolve host: h", "unreachable"),
        ("fatal: unable to access 'https://h/': gnutls_handshake() failed", "unreachable"),
        ('batch response: Post "http://h/": dial tcp: lookup h: no such host', "unreachable"),
        ("fatal: remote error: upload-pack: not our ref 111", "missing"),
        ("fatal: unable to access 'h': Operation too slow. Less than 1 bytes/sec", "stalled"),
        ("error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503", "server"),
        ("error: RPC failed; curl 18 transfer closed with 390 bytes remaining to read", "broken"),
        ("fatal: remote-curl: bad line length character: <!do", "html"),
    ],
)
def test_texts_of_the_programs(said: str, name: str) -> None:
    assert git_errors.explain(said, "git", "w.bin", "w.bin", 1).name == name


def test_what_is_told_of_a_text() -> None:
    said = (
        "Downloading w.bin (3.0 MB)\nError downloading object: w.bin (cc1e6ac): Smudge error: "
        f"Error downloading w.bin ({'c' * 64}): Fatal error: Server error "
        "&{%!!(string=http) %!!(string=)}s(MISSING) from HTTP 503\n\n"
        "Errors logged to '/x/y.log'.\nUse `git lfs logs last` to view the log.\n"
        "fatal: unable to access 'https://me:secret@h/x?sig=1'"
    )
    assert git_errors.tell(said).splitlines() == [
        "Fatal error: Server error from HTTP 503",
        "fatal: unable to access 'https://h/x'",
    ]
