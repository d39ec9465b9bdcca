"""A file comes whole, however often its transfer breaks off, and whatever a server announces."""

from __future__ import annotations

import hashlib
import itertools
import socket
from dataclasses import replace
from typing import Any

import pytest
from servers.faulty import Fault
from steps.sources.http.transfers import CONTENT, QUICK, SHA256, Bench, chance

from llavakit.errors import SourceError
from llavakit.steps.sources import http


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
