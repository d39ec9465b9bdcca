"""Any answer counts; no answer is said within the time, and why."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from host.doctor.machine import Machine

from llavakit.artefact import Git, HuggingFace, ModelScope, Web
from llavakit.host.doctor import network
from llavakit.locks import StepLock

REACH = network.reach


class Server(http.server.ThreadingHTTPServer):
    """Answers every question with ``status``."""

    status = 200

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.logins: list[str | None] = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        assert isinstance(self.server, Server)
        self.server.logins.append(self.headers["Authorization"])
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.mark.parametrize("status", [200, 302, 401, 404, 503])
def test_any_answer_counts(server: Server, status: int) -> None:
    server.status = status
    assert network.reach(f"http://127.0.0.1:{server.server_port}/x", {}) == ""


def test_nobody_there_and_a_silent_one_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        assert network.reach(f"http://127.0.0.1:{port}/", {}, 0.3) == "network.why.time"
        assert time.monotonic() - began < 2
    assert network.reach(f"http://127.0.0.1:{port}/", {}) == "network.why.refused"


def test_a_name_that_nobody_knows_is_said_in_the_reader_s_language(machine: Machine) -> None:
    assert REACH("http://no.such.host.invalid/", {}, 2) in ("network.why.name", "network.why.time")
    machine.silent["modelscope"], machine.lang = "network.why.name", "zh"
    assert machine.look("network.llm").found == "没有响应:www.modelscope.cn: 域名无法解析"
    machine.silent["modelscope"] = "[Errno 113] No route to host"
    assert machine.look("network.llm").found.endswith("[Errno 113] No route to host")


def test_a_login_is_neither_sent_nor_shown(
    server: Server, machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.patch.setattr(network, "reach", REACH)
    machine.labels = None
    for place, found in (
        (f"http://me:s3cret-word@127.0.0.1:{server.server_port}/simple", "answers: 127.0.0.1"),
        ("http://me:s3cret-word@127.0.0.1:1/", "no answer: 127.0.0.1: refused"),
        ("http://me:s3cret-word@127.0.0.1:port/", "nonnumeric port: 'port'"),
        ("http://me:s3cret-word@[127.0.0.1/", "no answer: ?: "),
        ("me:s3cret-word@127.0.0.1/", "no answer: ?: "),
        ("s3cret-word@127.0.0.1/", "no answer: ?: "),
    ):
        machine.environ["UV_DEFAULT_INDEX"] = place
        said = machine.look("network.packages").found
        assert found in said
        assert "s3cret" not in said
    assert server.logins == [None]
    assert "s3cret" not in "".join(capfd.readouterr())


def test_what_nobody_foresaw_is_said_without_its_address(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(place: str, *_: object) -> str:
        raise RuntimeError(place)

    machine.patch.setattr(network, "reach", broken)
    assert machine.look("network.data").found.endswith("github.com: RuntimeError")
    assert "".join(capfd.readouterr()) == ""


def test_an_answer_in_another_language_than_http_counts() -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        assert REACH(f"http://127.0.0.1:{listener.getsockname()[1]}/", {}) == ""
        thread.join()


def test_proxies_are_those_of_the_host_that_is_looked_at(server: Server, machine: Machine) -> None:
    proxy = {"HTTP_PROXY": f"http://127.0.0.1:{server.server_port}"}
    assert REACH("http://no.such.host.invalid/", proxy) == ""
    here = proxy | {"NO_PROXY": "127.0.0.1"}
    assert REACH("http://127.0.0.1:1/", here) == "network.why.refused"
    machine.patch.setattr(network, "reach", REACH)
    machine.labels = None
    machine.environ |= {"UV_DEFAULT_INDEX": "http://no.such.host.invalid/", **proxy}
    assert machine.look("network.packages").status == "pass"


def test_a_certificate_s_file_that_is_missing_is_said() -> None:
    why = network.reach("https://127.0.0.1:1/", {"SSL_CERT_FILE": "/nowhere.pem"})
    assert "No such file" in why


def test_certificates_are_those_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str | None] = []

    def context(cafile: str | None = None) -> None:
        named.append(cafile)
        raise ssl.SSLError("enough")

    monkeypatch.setattr(ssl, "create_default_context", context)
    network.reach("https://x.invalid/", {"REQUESTS_CA_BUNDLE": "/a.pem", "SSL_CERT_FILE": "/b.pem"})
    assert named == ["/a.pem"]


def test_where_a_source_is_asked() -> None:
    modelscope = ModelScope(hub="modelscope", repository="a/b")
    hub = HuggingFace(hub="huggingface", repository="a/b")
    assert network.address(modelscope, {}) == "https://www.modelscope.cn"
    assert network.address(modelscope, {"MODELSCOPE_DOMAIN": "m.x"}) == "https://m.x"
    assert network.address(hub, {}) == "https://huggingface.co"
    assert network.address(hub, {"HF_ENDPOINT": "https://h.x"}) == "https://h.x"
    assert network.address(Web(hub="https", address="https://w.x/y"), {}) == "https://w.x/y"
    assert network.address(Git(hub="git", address="https://g.x/y.git"), {}) == "https://g.x/y.git"


def test_sources_are_asked_at_once_and_left_when_they_hang(machine: Machine) -> None:
    machine.patch.setattr(network, "reach", lambda *_: time.sleep(20))
    machine.patch.setattr(network, "SECONDS", 0.3)
    began = time.monotonic()
    finding = machine.look("network.vision")
    assert time.monotonic() - began < 2
    assert finding.status == "fail"
    assert finding.found.count("time-out") == 2


def test_what_was_fetched_needs_no_source(machine: Machine) -> None:
    machine.silent["github"] = "refused"
    assert machine.look("network.data").status == "fail"
    stage = machine.host().plan.stage("fetch-data")
    lock = machine.root / stage.lock
    lock.parent.mkdir(parents=True)
    StepLock(lock).write("fetch", stage.key, [])
    assert machine.look("network.data").status == "skip"


def test_nothing_is_asked_for_what_is_here_or_drawn(machine: Machine) -> None:
    machine.patch.setattr(network, "reach", lambda *_: pytest.fail("asked"))
    machine.recipe, machine.overrides = "tiny", []
    for part in ("llm", "vision", "projector", "data", "packages", "base"):
        assert machine.look(f"network.{part}").status == "skip"
