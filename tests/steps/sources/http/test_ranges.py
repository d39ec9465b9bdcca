"""Going on in the middle: ranges that lie, and content that changed meanwhile."""

from __future__ import annotations

import pytest
from servers.faulty import Fault
from steps.sources.http.transfers import CONTENT, Bench


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
