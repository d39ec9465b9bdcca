"""What is at an address, by its head or its first byte."""

from __future__ import annotations

import pytest
from servers.faulty import Fault, FaultyServer
from steps.sources.http.transfers import CONTENT, QUICK, Bench

from llavakit.errors import SourceError
from llavakit.steps.sources import http
from llavakit.steps.sources.base import RemoteFile


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
