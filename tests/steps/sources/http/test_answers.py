"""What a server answers instead of the file."""

from __future__ import annotations

import socket
import time
from email.utils import formatdate

import pytest
import requests
from servers.faulty import Fault
from steps.sources.http.transfers import CONTENT, PAGE, POINTER, Bench
from urllib3 import exceptions as urllib3_errors

from llavakit.steps.sources import http
from llavakit.steps.sources.answers import FOREIGN


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
