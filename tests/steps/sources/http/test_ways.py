"""On the way to a file: redirects, tokens, proxies, certificates."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from servers.faulty import Fault, FaultyServer
from steps.sources.http.transfers import CONTENT, Bench


def test_redirects_in_circles(bench: Bench) -> None:
    bench.fault(Fault(redirect="/w.bin"), times=50).fails("redirects", kept=None)
    assert len(bench.asked) == 11


def test_a_redirect_keeps_range_and_comes_back_at_every_try(bench: Bench) -> None:
    bench.server.files["/cdn"] = CONTENT
    bench.fault(Fault(redirect="/cdn"), times=2)
    bench.server.fault("/cdn", Fault(drop_after=1000))
    bench.right()
    asked = [seen.headers.get("Range") for seen in bench.server.requests("/cdn")]
    assert asked == [None, "bytes=1000-"]


TOKENS = {"Authorization": "Bearer secret", "X-Token": "secret", "Cookie": "m_session=secret"}


def test_tokens_stay_with_their_host(bench: Bench) -> None:
    with FaultyServer() as other:
        other.files["/cdn"] = CONTENT
        other.fault("/cdn", Fault(redirect=f"{bench.server.url}/back"))
        bench.server.files["/back"] = CONTENT
        bench.of(headers=TOKENS).fault(Fault(redirect=f"{other.url}/cdn")).right()
        (first,) = bench.server.requests("/w.bin")
        assert TOKENS.items() <= first.headers.items()
        (elsewhere,) = other.requests("/cdn")
        assert "secret" not in str(elsewhere.headers)
        (back,) = bench.server.requests("/back")  # nor is anything put on again
        assert "secret" not in str(back.headers)


def test_tokens_go_along_on_the_same_host(bench: Bench) -> None:
    bench.server.files["/there"] = CONTENT
    own = {"Authorization": "Bearer secret", "X-Token": "secret"}
    bench.of(headers=own).fault(Fault(redirect="/there")).right()
    (seen,) = bench.server.requests("/there")
    assert own.items() <= seen.headers.items()


def test_a_token_goes_before_netrc(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine localhost login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    bench.of(headers={"Authorization": "Bearer secret"}).right()
    (seen,) = bench.server.requests("/w.bin")
    assert seen.headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("token", ["Bearer secret\n", "Bearer sécret…"])
def test_a_token_that_cannot_be_sent_is_not_shown(bench: Bench, token: str) -> None:
    error = bench.of(headers={"Authorization": token}).fails("unreachable", kept=None)
    assert "cret" not in error.to_wire()


def test_a_proxy_is_used(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", bench.server.url)
    bench.of(address="http://hub.example/w.bin").right()
    (seen,) = bench.server.requests("/w.bin")
    assert seen.target == "http://hub.example/w.bin"
    assert seen.headers["Host"] == "hub.example"


def test_a_proxy_that_is_not_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{taken.getsockname()[1]}")
        bench.fails("unreachable", kept=None)


def test_certificates_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyServer(tls=tmp_path) as server:
        bench = Bench(server, tmp_path / "w.part")
        error = bench.fails("unreachable", kept=None)
        assert "CERTIFICATE_VERIFY_FAILED" in error.why
        assert bench.meter.notes == []  # another try would end alike
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.certificate))
        bench.fault(Fault(drop_after=5000)).right()
