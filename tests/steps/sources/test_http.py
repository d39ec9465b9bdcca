"""Downloads from a server that misbehaves, over real sockets."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import requests
from servers.faulty import Fault, FaultyServer
from urllib3 import exceptions as urllib3_errors

from llavakit.errors import SourceError
from llavakit.phrases import phrase
from llavakit.steps.sources import http
from llavakit.steps.sources.answers import FOREIGN
from llavakit.steps.sources.base import RemoteFile

KIT = Path(__file__).resolve().parents[3]


def chance(seed: object) -> random.Random:
    return random.Random(str(seed))  # noqa: S311 - the same in every run


CONTENT = chance(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize 9\n" % (b"0" * 64)
PAGE = b"<!DOCTYPE html>\n<title>Log in</title>"
QUICK = http.Patience(
    connect=5, read=0.5, window=0.4, least=500, tries=3, most=40, backoff=0.002, longest=0.2
)


@dataclass
class Count:
    """A meter that remembers."""

    fetched: int = 0
    had: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, count: int) -> None:
        self.fetched += count

    def have(self, count: int) -> None:
        self.had.append(count)

    def note(self, name: str, /, **params: object) -> None:
        self.notes.append(str(phrase(name, **params)))

    @property
    def done(self) -> int:
        return self.fetched + sum(self.had)


@dataclass
class Bench:
    """One file on a server, and the part it is brought into."""

    server: FaultyServer
    part: Path
    meter: Count = field(default_factory=Count)
    patience: http.Patience = QUICK
    file: RemoteFile = field(default_factory=lambda: RemoteFile("w.bin", len(CONTENT)))

    def __post_init__(self) -> None:
        self.server.files["/w.bin"] = CONTENT
        self.file = replace(self.file, address=f"{self.server.url}/w.bin")

    def of(self, **known: Any) -> Bench:
        """The file as another source would describe it."""
        self.file = replace(self.file, **known)
        return self

    def serve(self, content: bytes) -> Bench:
        self.server.files["/w.bin"] = content
        return self

    def fault(self, *faults: Fault, times: int = 1) -> Bench:
        self.server.fault("/w.bin", *faults, times=times)
        return self

    def had(self, content: bytes) -> Bench:
        self.part.write_bytes(content)
        return self

    def fetch(self) -> str:
        return http.Http("Hub", patience=self.patience).fetch(self.file, self.part, self.meter)

    def right(self, content: bytes = CONTENT) -> None:
        """All of the file comes, and the meter counted it."""
        assert self.fetch() == hashlib.sha256(content).hexdigest()
        assert self.part.read_bytes() == content
        assert self.meter.done == len(content)

    def fails(self, name: str, kept: bytes | None) -> SourceError:
        """It fails like this, and leaves this."""
        with pytest.raises(SourceError) as caught:
            self.fetch()
        error = caught.value
        assert error.name == name, error.why
        assert error.remedy()
        assert (self.part.read_bytes() if self.part.exists() else None) == kept
        assert self.meter.done == len(kept or b"")
        return error

    @property
    def asked(self) -> list[str | None]:
        """The ranges that were asked for."""
        return [seen.headers.get("Range") for seen in self.server.requests("/w.bin")]

    @property
    def sent(self) -> int:
        return sum(seen.sent for seen in self.server.requests("/w.bin"))


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


@pytest.fixture
def bench(server: FaultyServer, tmp_path: Path) -> Bench:
    return Bench(server, tmp_path / "w.part")


# Whole files


def test_one_request_brings_a_file(bench: Bench) -> None:
    bench.right()
    (seen,) = bench.server.requests("/w.bin")
    assert seen.headers["Accept-Encoding"] == "identity"
    assert "Range" not in seen.headers
    assert bench.meter.had == [0]
    assert bench.meter.notes == []


@pytest.mark.parametrize("known", [{}, {"bytes": None}, {"bytes": None, "sha256": SHA256}])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_any_framing_whatever_is_known(bench: Bench, known: dict[str, Any], framing: str) -> None:
    bench.of(**known).fault(Fault(framing=framing), Fault(framing=framing)).right()
    unknown = known == {"bytes": None} and framing == "close"
    assert len(bench.asked) == (2 if unknown else 1)


def test_a_folder_of_the_file_is_made(bench: Bench) -> None:
    bench.part = bench.part.parent / "sub" / "w.part"
    bench.right()


def test_a_whole_part_needs_no_server(bench: Bench) -> None:
    bench.had(CONTENT).right()
    assert bench.asked == []


def test_a_whole_part_is_known_by_its_hash_too(bench: Bench) -> None:
    bench.of(bytes=None, sha256=SHA256).had(CONTENT).right()
    assert bench.asked == []


def test_a_whole_part_of_unknown_size_is_accepted_by_the_server(bench: Bench) -> None:
    bench.of(bytes=None).had(CONTENT).right()
    assert bench.asked == [f"bytes={len(CONTENT)}-"]


def test_a_part_that_is_too_long_is_begun_anew(bench: Bench) -> None:
    bench.had(CONTENT + b"x").right()
    assert bench.asked == [None]


# Broken off


def test_goes_on_from_what_is_there(bench: Bench) -> None:
    bench.had(CONTENT[:100_001]).right()
    assert bench.asked == ["bytes=100001-"]
    assert bench.meter.had == [100_001]
    assert bench.sent == len(CONTENT) - 100_001


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_dropped_at_twenty_random_bytes(bench: Bench, framing: str) -> None:
    seeded = chance(framing)
    lengths = [seeded.randrange(1, 14_000) for _ in range(20)]
    bench.fault(*(Fault(drop_after=length, framing=framing) for length in lengths)).right()
    starts = list(itertools.accumulate(lengths))
    assert bench.asked == [None, *(f"bytes={start}-" for start in starts)]
    assert bench.sent == len(CONTENT)  # not one byte twice
    assert len(bench.meter.notes) == 20


def test_a_connection_that_breaks_without_a_byte(bench: Bench) -> None:
    bench.had(CONTENT[:1000]).fault(Fault(drop_after=0), times=3)
    bench.fails("broken", kept=CONTENT[:1000])
    assert len(bench.asked) == 3


def test_every_new_byte_gives_new_tries(bench: Bench) -> None:
    bench.fault(Fault(drop_after=0), Fault(drop_after=0), Fault(drop_after=1), times=5).right()


def test_tries_are_bounded_however_many_bytes_come(bench: Bench) -> None:
    bench.fault(Fault(drop_after=1), times=100)
    bench.fails("broken", kept=CONTENT[:40])
    assert len(bench.asked) == 40


def test_a_stall_is_left_and_gone_on_from(bench: Bench) -> None:
    bench.fault(Fault(stall_after=70_000)).right()
    assert bench.asked == [None, "bytes=70000-"]


def test_a_stall_for_good_keeps_what_came(bench: Bench) -> None:
    bench.fault(Fault(stall_after=70_000), *[Fault(stall_after=0)] * 3)
    error = bench.fails("stalled", kept=CONTENT[:70_000])
    assert error.params["source"] == "Hub"


def test_a_trickle_is_a_stall(bench: Bench) -> None:
    bench.fault(Fault(piece=10, pace=0.02), times=3)
    with pytest.raises(SourceError, match="stopped sending"):
        bench.fetch()
    assert CONTENT.startswith(bench.part.read_bytes())
    assert len(bench.asked) == 3


def test_slow_but_steady_is_no_stall(bench: Bench) -> None:
    bench.serve(CONTENT[:20_000]).of(bytes=20_000).fault(Fault(piece=1000, pace=0.04))
    bench.right(CONTENT[:20_000])
    assert len(bench.asked) == 1


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_what_is_slow_but_steady_is_a_stall_of_a_large_file(bench: Bench, known: bool) -> None:
    bench.patience = replace(QUICK, large=5000, least_of_large=20_000)
    bench.of(bytes=len(CONTENT) if known else None)
    bench.fault(*[Fault(piece=1000, pace=0.04, framing="chunked")] * 3)
    with pytest.raises(SourceError, match="stopped sending"):
        bench.fetch()
    assert len(bench.asked) == 3


def test_a_large_file_comes_at_ten_kilobytes_a_second_at_least() -> None:
    usual = http.Patience()
    assert usual.large == 10_000_000
    assert usual.least_of_large / usual.window == 10_000


def test_a_server_that_is_not_there(bench: Bench) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        bench.of(address=f"http://127.0.0.1:{taken.getsockname()[1]}/w.bin")
        bench.had(CONTENT[:9]).fails("unreachable", kept=CONTENT[:9])
    assert len(bench.meter.notes) == 2


@pytest.mark.parametrize("address", ["http://no.such.host.invalid/w", "nonsense", "http://[/w"])
def test_an_address_that_cannot_be(bench: Bench, address: str) -> None:
    bench.of(address=address).fails("unreachable", kept=None)


# Statuses


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(bench: Bench, status: int) -> None:
    bench.fault(Fault(status=status), times=2).right()


@pytest.mark.parametrize(
    ("status", "name", "requests_made"),
    [(401, "gated", 1), (403, "gated", 1), (404, "missing", 1), (410, "missing", 1),
     (400, "server", 1), (416, "server", 1), (451, "server", 1), (304, "server", 1),
     (429, "server", 3), (500, "server", 3), (503, "server", 3)],
)  # fmt: skip
def test_statuses_for_good(bench: Bench, status: int, name: str, requests_made: int) -> None:
    bench.fault(Fault(status=status), times=9)
    bench.fails(name, kept=None)
    assert len(bench.asked) == requests_made


def test_what_was_there_survives_an_error(bench: Bench) -> None:
    bench.had(CONTENT[:50]).fault(Fault(status=503), times=3).fails("server", kept=CONTENT[:50])


@pytest.mark.parametrize(
    ("after", "at_least", "at_most"),
    [("60", 0.2, 10), ("0", 0, 10), ("soon", 0, 10), ("date", 0.2, 10)],
)
def test_retry_after_is_heeded_up_to_a_limit(
    bench: Bench, after: str, at_least: float, at_most: float
) -> None:
    value = formatdate(time.time() + 60, usegmt=True) if after == "date" else after
    bench.fault(Fault(status=429, headers={"Retry-After": value}))
    started = time.monotonic()
    bench.right()
    assert at_least <= time.monotonic() - started <= at_most


# Ranges


def test_a_server_without_ranges_is_begun_anew(bench: Bench) -> None:
    bench.had(CONTENT[:100_000]).fault(Fault(ignore_range=True)).right()
    assert bench.meter.had == [100_000, -100_000]
    assert any("first byte" in note for note in bench.meter.notes)


def test_beginning_anew_is_no_progress(bench: Bench) -> None:
    bench.fault(Fault(drop_after=100_000, ignore_range=True), times=9)
    bench.fails("broken", kept=CONTENT[:100_000])
    assert len(bench.asked) == 4


@pytest.mark.parametrize(
    "lie",
    [f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}", "bytes 1000-1999/2000", "pages 1-2/3", ""],
)
def test_another_range_than_asked_for_is_not_believed(bench: Bench, lie: str) -> None:
    bench.had(CONTENT[:1000]).fault(Fault(headers={"Content-Range": lie})).right()
    assert bench.asked == ["bytes=1000-", None]


def test_another_range_twice_is_refused(bench: Bench) -> None:
    lie = Fault(headers={"Content-Range": "bytes 0-9/10"})
    bench.had(CONTENT[:1000]).fault(lie, Fault(drop_after=2000), lie)
    error = bench.fails("server", kept=CONTENT[:2000])
    assert "bytes 0-9/10" in error.why


def test_a_server_may_send_less_than_asked_for(bench: Bench) -> None:
    said = f"bytes 1000-1999/{len(CONTENT)}"
    bench.had(CONTENT[:1000])
    bench.fault(Fault(status=206, body=CONTENT[1000:2000], headers={"Content-Range": said}))
    bench.right()
    assert bench.asked == ["bytes=1000-", "bytes=2000-"]


def test_beyond_the_end_of_another_file(bench: Bench) -> None:
    bench.of(bytes=None).had(b"x" * (len(CONTENT) + 7)).right()
    assert bench.asked == [f"bytes={len(CONTENT) + 7}-", None]


def test_416_twice_is_refused(bench: Bench) -> None:
    no = Fault(status=416)
    bench.had(CONTENT[:1000]).fault(no, Fault(drop_after=2000), no)
    bench.fails("server", kept=CONTENT[:2000])


def test_content_that_changed_between_two_tries(bench: Bench) -> None:
    new = CONTENT[::-1]
    bench.fault(Fault(drop_after=100_000))
    bench.meter.note = lambda *_, **__: bench.server.files.update({"/w.bin": new})  # type: ignore[method-assign]
    bench.right(new)
    second = bench.server.requests("/w.bin")[1]
    assert second.headers["If-Range"].startswith('"')
    assert second.status == 200


def test_content_that_changed_since_an_earlier_process(bench: Bench) -> None:
    bench.of(version='"of then"').had(b"x" * 1000).right()
    (seen,) = bench.server.requests("/w.bin")
    assert seen.headers["If-Range"] == '"of then"'


def test_a_server_that_overlooks_if_range_is_found_out(bench: Bench) -> None:
    bench.of(version='"of then"').had(b"x" * 1000)
    said = f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}"
    bench.fault(Fault(status=206, body=CONTENT[1000:], headers={"Content-Range": said}))
    bench.right()
    assert bench.asked == ["bytes=1000-", None]


@pytest.mark.parametrize("version", ["", 'W/"weak"', "0123456789abcdef"])
def test_only_a_strong_etag_goes_into_if_range(bench: Bench, version: str) -> None:
    bench.of(version=version).had(CONTENT[:1000]).right()
    (seen,) = bench.server.requests("/w.bin")
    assert "If-Range" not in seen.headers


# Lengths


@pytest.mark.parametrize("lie", [-1000, 1000])
def test_right_bytes_under_a_wrong_length(bench: Bench, lie: int) -> None:
    bench.of(sha256=SHA256).fault(Fault(length=len(CONTENT) + lie)).right()


@pytest.mark.parametrize("size", [20, len(CONTENT)])
def test_right_bytes_whose_announced_rest_never_comes(bench: Bench, size: int) -> None:
    content = CONTENT[:size]
    known = hashlib.sha256(content).hexdigest()
    bench.serve(content).of(bytes=None, sha256=known)
    bench.fault(Fault(length=size + 1000), times=9).right(content)
    assert len(bench.asked) == 1


@pytest.mark.parametrize("lie", [-1000, 1000])
def test_right_bytes_in_a_listing_with_a_wrong_length(bench: Bench, lie: int) -> None:
    bench.of(sha256=SHA256, bytes=len(CONTENT) + lie).right()


@pytest.mark.parametrize("lie", [-1000, 1000])
def test_an_announced_length_that_is_wrong(bench: Bench, lie: int) -> None:
    bench.fault(Fault(length=len(CONTENT) + lie))
    error = bench.fails("wrong-length", kept=None)
    assert error.params["found"] == str(len(CONTENT) + lie)
    assert error.params["wanted"] == str(len(CONTENT))


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_file_of_another_length(bench: Bench, size: int, framing: str) -> None:
    bench.serve((CONTENT + b"x")[:size]).fault(Fault(framing=framing))
    bench.fails("wrong-length", kept=None)


@pytest.mark.parametrize("size", [len(CONTENT) - 1000, len(CONTENT) + 1000])
def test_a_hash_does_not_excuse_other_bytes(bench: Bench, size: int) -> None:
    bench.serve((CONTENT + CONTENT)[:size]).of(sha256=SHA256)
    bench.fails("wrong-length", kept=None)


CUT = Fault(framing="close", drop_after=100_000)
UNSAID = Fault(framing="close")


@pytest.mark.parametrize("faults", [(CUT, UNSAID), (UNSAID, CUT)])
def test_an_end_that_nothing_vouches_for_is_compared(bench: Bench, faults: Any) -> None:
    error = bench.of(bytes=None).fault(*faults).fails("broken", kept=None)
    assert "100000" in error.why and "300000" in error.why
    assert bench.asked == [None, None]
    assert any("compare" in note for note in bench.meter.notes)


def test_the_same_length_of_other_bytes_is_not_the_same(bench: Bench) -> None:
    other = Fault(framing="close", body=CONTENT[::-1])
    bench.of(bytes=None).fault(other, UNSAID).fails("broken", kept=None)


def test_a_length_the_second_time_is_enough(bench: Bench) -> None:
    bench.of(bytes=None).fault(CUT).right()
    assert bench.asked == [None, None]


def test_a_second_transfer_may_break_off(bench: Bench) -> None:
    bench.of(bytes=None).fault(UNSAID, Fault(framing="chunked", drop_after=5000)).right()
    assert bench.asked == [None, None, "bytes=5000-"]


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_range_of_an_unknown_whole_does_not_vouch_for_its_end(bench: Bench, framing: str) -> None:
    said = {"Content-Range": "bytes 1000-99999/*"}
    part = Fault(status=206, body=CONTENT[1000:100_000], headers=said, framing=framing)
    bench.of(bytes=None).had(CONTENT[:1000]).fault(part).right()
    assert bench.asked == ["bytes=1000-", None]


def test_more_announced_than_there_is_and_nobody_knows(bench: Bench) -> None:
    bench.of(bytes=None).fault(Fault(length=len(CONTENT) + 1000)).right()
    assert bench.asked == [None, f"bytes={len(CONTENT)}-"]


# Other things than the file


@pytest.mark.parametrize(
    "page", [PAGE, b"\xef\xbb\xbf \n<HTML>", b"<html lang='en'>" + b" " * 9000]
)
def test_a_web_page_by_its_look(bench: Bench, page: bytes) -> None:
    bench.fault(Fault(body=page)).fails("html", kept=None)
    assert len(bench.asked) == 1


def test_a_web_page_by_its_type(bench: Bench) -> None:
    bench.fault(Fault(headers={"Content-Type": "text/html; charset=utf-8"}))
    bench.fails("html", kept=None)


def test_a_web_page_leaves_what_was_there(bench: Bench) -> None:
    page = Fault(body=PAGE, ignore_range=True)
    bench.had(CONTENT[:1000]).fault(page).fails("html", kept=CONTENT[:1000])


def test_a_web_page_that_was_asked_for(bench: Bench) -> None:
    bench.of(name="terms.HTML", bytes=len(PAGE)).serve(PAGE).right(PAGE)


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_pointer_instead_of_the_file(bench: Bench, size: int | None) -> None:
    bench.of(bytes=size).fault(Fault(body=POINTER)).fails("pointer", kept=None)


def test_a_pointer_of_the_known_size_is_the_file(bench: Bench) -> None:
    bench.of(bytes=len(POINTER)).serve(POINTER).right(POINTER)


@pytest.mark.parametrize("size", [None, len(CONTENT)])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_an_empty_answer(bench: Bench, size: int | None, framing: str) -> None:
    bench.of(bytes=size).fault(Fault(body=b"", framing=framing)).fails("empty", kept=None)


def test_an_empty_file_that_is_meant_to_be(bench: Bench) -> None:
    bench.of(bytes=0).serve(b"").right(b"")


# Redirects, tokens, proxies, certificates


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


# Stopped from outside


class Stop(Count):
    """A meter of whoever presses Ctrl-C, or whose disk is full."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def add(self, count: int) -> None:
        super().add(count)
        if self.fetched > 1000:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_stops_from_outside_passes_and_the_part_is_good(
    bench: Bench, error: BaseException
) -> None:
    bench.meter = Stop(error)
    with pytest.raises(type(error)) as caught:
        bench.fetch()
    assert caught.value is error
    kept = bench.part.read_bytes()
    assert len(kept) > 1000 and CONTENT.startswith(kept)
    bench.meter = Count()
    bench.right()


def test_a_write_that_fails_half_way_leaves_a_beginning(bench: Bench) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (123_456, hard))  # stands in for a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            bench.fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert bench.part.read_bytes() == CONTENT[:123_456]
    assert bench.meter.done == 123_456
    bench.meter = Count()
    bench.right()


CHILD = """
import sys
from pathlib import Path
from llavakit.steps.sources.base import RemoteFile
from llavakit.steps.sources.http import Http

class Quiet:
    def add(self, *_, **__): pass
    have = note = add

name, size, address, part = sys.argv[1:]
print(Http("Hub").fetch(RemoteFile(name, int(size), address=address), Path(part), Quiet()))
"""


def test_killed_in_mid_transfer_and_gone_on_by_another_process(
    server: FaultyServer, tmp_path: Path
) -> None:
    content = chance(2).randbytes(64_000_000)
    server.files["/big"] = content
    server.fault("/big", Fault(pace=0.005))
    part = tmp_path / "big.part"
    words = [sys.executable, "-c", CHILD, "big", str(len(content)), f"{server.url}/big", str(part)]
    env = {**os.environ, "PYTHONPATH": str(KIT / "src")}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE) as first:
        _until(lambda: part.exists() and part.stat().st_size > 9_000_000)
        first.kill()
    on_disk = part.stat().st_size
    done = subprocess.run(words, env=env, check=True, text=True, capture_output=True)
    assert done.stdout.strip() == hashlib.sha256(content).hexdigest()
    assert part.read_bytes() == content
    before, after = server.requests("/big")
    assert 9_000_000 < on_disk < len(content)
    assert (after.status, after.start) == (206, on_disk)
    assert after.headers["Range"] == f"bytes={on_disk}-"
    assert after.sent == len(content) - on_disk
    assert before.sent >= on_disk  # the rest of it died with the process, on its way to the disk
    assert before.sent + after.sent - len(content) == before.sent - on_disk < 9_000_000


def _until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.002)


# What is at an address


def describe(server: FaultyServer, path: str = "/w.bin") -> RemoteFile:
    return http.Http("Hub", patience=QUICK).describe(f"{server.url}{path}", {"X-Token": "t"})


def test_describes_by_its_head(bench: Bench) -> None:
    found = describe(bench.server)
    assert (found.name, found.bytes, found.sha256) == ("w.bin", len(CONTENT), None)
    assert found.version.startswith('"')
    assert found.headers == {"X-Token": "t"}
    (seen,) = bench.server.requests("/w.bin")
    assert (seen.method, seen.headers["X-Token"]) == ("HEAD", "t")


def test_the_name_is_the_addresss_last_part(server: FaultyServer) -> None:
    server.files["/a/b%20c"] = CONTENT
    assert describe(server, "/a/b%20c").name == "b c"


@pytest.mark.parametrize(
    "head", [Fault(status=403), Fault(status=405), Fault(status=501), Fault(framing="close"),
             Fault(length=0)],
)  # fmt: skip
def test_describes_by_one_byte_where_a_head_says_nothing(bench: Bench, head: Fault) -> None:
    bench.fault(head)
    assert describe(bench.server).bytes == len(CONTENT)
    assert bench.asked == [None, "bytes=0-0"]


def test_describes_without_ranges(bench: Bench) -> None:
    bench.fault(Fault(status=405), Fault(ignore_range=True))
    assert describe(bench.server).bytes == len(CONTENT)


def test_describes_an_empty_file(bench: Bench) -> None:
    bench.serve(b"")
    assert describe(bench.server).bytes == 0


def test_describes_what_does_not_tell_its_length(bench: Bench) -> None:
    bench.fault(Fault(framing="close"), Fault(framing="chunked", ignore_range=True))
    assert describe(bench.server).bytes is None


def test_describes_after_a_passing_error(bench: Bench) -> None:
    bench.fault(Fault(status=503), Fault(status=503))
    assert describe(bench.server).bytes == len(CONTENT)


@pytest.mark.parametrize(
    ("fault", "name"),
    [(Fault(status=404), "missing"), (Fault(status=403), "gated"), (Fault(status=500), "server"),
     (Fault(redirect="/w.bin"), "redirects"), (Fault(seconds=0.7), "stalled"),
     (Fault(headers={"Content-Type": "text/html"}), "html")],
)  # fmt: skip
def test_describes_no_file(bench: Bench, fault: Fault, name: str) -> None:
    bench.fault(fault, times=50)
    with pytest.raises(SourceError) as caught:
        describe(bench.server)
    assert caught.value.name == name


# Foreign errors


def _made(kind: type[Exception]) -> Exception:
    """An error of a foreign class, whatever its constructor wants."""
    error = kind.__new__(kind)
    error.args = ("text",)
    vars(error).update(partial=0, expected=0, length=0, response=None)
    return error


def _kinds() -> list[type[Exception]]:
    named = [*vars(requests.exceptions).values(), *vars(urllib3_errors).values()]
    return sorted(
        {kind for kind in named if isinstance(kind, type) and issubclass(kind, FOREIGN)},
        key=lambda kind: f"{kind.__module__}.{kind.__name__}",
    )


@pytest.mark.parametrize("kind", _kinds(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_foreign_error_is_one_of_ours(kind: type[Exception]) -> None:
    error = http.explain(_made(kind), "Hub", "w.bin")
    assert error.name in {"redirects", "stalled", "unreachable", "broken"}
    assert "Hub" in error.what()
    assert error.remedy()


def test_an_error_with_an_answer_is_told_by_its_status() -> None:
    response = requests.Response()
    response.status_code = 404
    error = http.explain(requests.HTTPError("404", response=response), "Hub", "w.bin")
    assert error.name == "missing"


def test_signed_queries_are_not_shown(bench: Bench) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        bench.of(address=f"http://127.0.0.1:{taken.getsockname()[1]}/w.bin?Signature=secret")
        error = bench.fails("unreachable", kept=None)
    assert "refused" in error.why
    assert "secret" not in error.to_wire()
