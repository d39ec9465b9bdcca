"""What a server's answer means, and what it means when there is none."""

from __future__ import annotations

import re

import requests
from urllib3 import exceptions as urllib3_errors

from llavakit.errors import SourceError
from llavakit.steps.sources.base import RemoteFile

FOREIGN = (requests.RequestException, urllib3_errors.HTTPError)
"""What requests raises, and what it lets through while a body is read."""
NAMES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((requests.TooManyRedirects,), "redirects"),
    ((requests.ReadTimeout, urllib3_errors.ReadTimeoutError), "stalled"),
    (
        (
            requests.ConnectTimeout,
            requests.exceptions.ProxyError,
            requests.exceptions.SSLError,
            urllib3_errors.ConnectTimeoutError,
            urllib3_errors.ProxyError,
            urllib3_errors.SSLError,
            ValueError,  # an address or a header that cannot be sent
        ),
        "unreachable",
    ),
)
"""Foreign errors and ours, for the innermost error that is here; all others are ``broken``."""
POINTER = b"version https://git-lfs.github.com/spec/"
LARGEST_POINTER = 1024
PAGES = (b"<!doctype html", b"<html")
SNIFFED = 512
"""Bytes that tell a web page or a pointer from a file."""


def explain(error: Exception, title: str, file: str, seconds: float = 30.0) -> SourceError:
    """What requests or urllib3 raised, as an error of the source ``title``.

    ``seconds`` is the read time-out that was set. Queries, which may be signed, and headers, which
    may be tokens, do not get into the error's ``why``.
    """
    response = getattr(error, "response", None)
    if isinstance(error, requests.HTTPError) and response is not None:
        return of_status(response.status_code, title, file)
    why = _plain(str(error))
    if isinstance(error, requests.exceptions.InvalidHeader):
        why = "a header (the token?) or an address has characters that cannot be sent"
    for link in _links(error):
        for kinds, name in NAMES:
            if isinstance(link, kinds):
                if name == "stalled":
                    return stalled(seconds, title, file)
                return SourceError(name, source=title, file=file, why=why)
    return SourceError("broken", source=title, file=file, why=why)


def _plain(text: str) -> str:
    """What happened, without the objects that it happened to and without queries."""
    text = re.sub(r"\?[^\s'\")]*", "", text)
    text = re.sub(r"<[^<>]* object at 0x[0-9a-f]+>(: |, )?", "", text)
    inner = re.search(r"Caused by \w+\([\"']?(.*?)[\"']?\)\)", text)
    return inner[1] if inner else text


def _links(error: BaseException) -> list[BaseException]:
    """``error`` and what it was made from, innermost first."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, FOREIGN):
            return [*_links(inner), error]
    return [error]


def check_status(status: int, title: str, file: str) -> None:
    """Raise SourceError ``gated``, ``missing`` or ``server`` unless ``status`` is a success."""
    if not 200 <= status < 300:
        raise of_status(status, title, file)


def of_status(status: int, title: str, file: str) -> SourceError:
    """An HTTP status that is no success, as an error of the source ``title``."""
    if status in (401, 403, 407):
        return SourceError("gated", source=title, file=file, why=f"HTTP {status}")
    if status in (404, 410):
        return SourceError("missing", source=title, what=file, why=f"HTTP {status}")
    return SourceError("server", source=title, file=file, status=status)


def span(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte of an answer and length of the whole file; None where it does not say."""
    if response.status_code in (206, 416):
        said = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", said.strip())
        begin, total = found.groups() if found else (None, None)
        return _number(begin), _number(total)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return 0, None
    return 0, _number(response.headers.get("Content-Length"))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def judge(
    first: bytes, response: requests.Response, total: int | None, title: str, file: RemoteFile
) -> None:
    """Refuse what is not ``file`` by its first bytes and its announced length (bytes).

    Raises SourceError ``html``, ``pointer``, ``empty``, ``wrong-length``.
    """
    refuse_page(response, title, file, first)
    small = file.bytes is not None and file.bytes <= LARGEST_POINTER
    if first.startswith(POINTER) and not small:
        raise SourceError("pointer", source=title, file=file.name)
    if not first and file.bytes != 0:
        raise SourceError("empty", source=title, file=file.name)
    if file.sha256 is None and None not in (total, file.bytes) and total != file.bytes:
        raise wrong_length(total, title, file)


def refuse_page(
    response: requests.Response, title: str, file: RemoteFile, first: bytes = b""
) -> None:
    """Raise SourceError ``html`` for a web page that is not what was asked for."""
    kind = response.headers.get("Content-Type", "").lower()
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    is_page = kind.startswith(("text/html", "application/xhtml")) or text.startswith(PAGES)
    if is_page and not file.name.lower().endswith((".html", ".htm")):
        raise SourceError("html", source=title, file=file.name)


def wrong_length(found: int | None, title: str, file: RemoteFile) -> SourceError:
    return SourceError("wrong-length", source=title, file=file.name, found=found, wanted=file.bytes)


def stalled(seconds: float, title: str, file: str) -> SourceError:
    return SourceError("stalled", source=title, file=file, seconds=round(seconds))
