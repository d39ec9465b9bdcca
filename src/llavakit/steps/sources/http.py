"""Files over HTTP(S): gone on from where they broke off, written and hashed as they arrive.

Proxies, certificates and ``.netrc`` are requests' affair and follow its environment variables.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

import requests
from requests.auth import AuthBase
from requests.exceptions import InvalidHeader

from llavakit.errors import SourceError
from llavakit.steps.sources.answers import FOREIGN, check_status, explain, refuse_page, span
from llavakit.steps.sources.base import Meter, RemoteFile
from llavakit.steps.sources.part import Part
from llavakit.steps.sources.transfer import Again, Patience, Transfer

__all__ = ["Http", "Patience", "check_status", "explain"]

MOST_REDIRECTS = 10
PASSING = frozenset({"unreachable", "stalled", "broken", "server"})
"""What may go away by itself."""
DEFAULT = Patience()
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"


class Http:
    """Brings files from addresses; safe for threads."""

    def __init__(
        self,
        title: str,
        session: requests.Session | None = None,
        patience: Patience = DEFAULT,
    ) -> None:
        self.title = title
        self._session = session or requests.Session()
        self._session.max_redirects = MOST_REDIRECTS
        self._patience = patience

    def describe(self, address: str, headers: Mapping[str, str] | None = None) -> RemoteFile:
        """Size and ETag of what is at ``address``; its name is the address's last part.

        Raises SourceError as :meth:`llavakit.steps.sources.base.Remote.list` does.
        """
        name = unquote(PurePosixPath(urlsplit(address).path).name)
        file = RemoteFile(name, address=address, headers=headers or {})
        try:
            return self._described(file)
        except SourceError as error:
            if error.name not in PASSING:
                raise
        time.sleep(self._patience.backoff)
        return self._described(file)

    def fetch(self, file: RemoteFile, part: Path, meter: Meter) -> str:
        """Bring ``file`` into ``part`` and return its sha256.

        Raises SourceError as :meth:`llavakit.steps.sources.base.Remote.fetch` says, OSError as the
        disk does.
        """
        with Part(part, file, meter) as kept:
            try:
                self._bring(Transfer(self.title, file, kept, meter, self._patience))
            except SourceError as error:
                if error.name == "wrong-length":
                    kept.start_over()
                raise
            return kept.sha256

    def _described(self, file: RemoteFile) -> RemoteFile:
        try:
            with self._ask("HEAD", file) as response:
                if response.status_code == 200 and span(response)[1]:
                    return self._as_file(file, response)
            # Not every server answers HEAD, and some announce nothing, or zero, to it.
            with self._ask("GET", file, {"Range": "bytes=0-0"}) as response:
                if response.status_code != 416:  # an empty file has no first byte
                    check_status(response.status_code, self.title, file.name)
                return self._as_file(file, response)
        except FOREIGN as error:
            raise explain(error, self.title, file.name, self._patience.read) from error

    def _as_file(self, file: RemoteFile, response: requests.Response) -> RemoteFile:
        refuse_page(response, self.title, file)
        tag = response.headers.get("ETag", "")
        return RemoteFile(file.name, span(response)[1], None, file.address, file.headers, tag)

    def _bring(self, transfer: Transfer) -> None:
        """Ask again and again until all of the file is there."""
        part, patience = transfer.part, self._patience
        fruitless, farthest = 0, part.size
        for count in range(1, patience.most + 1):
            try:
                if part.is_whole() or self._try(transfer):
                    return
            except Again as again:
                if part.is_whole():  # it broke off after the last byte
                    return
                better = part.size > farthest and not again.slow
                fruitless, farthest = 0 if better else fruitless + 1, max(farthest, part.size)
                if fruitless >= patience.tries or count == patience.most:
                    raise again.error from again
                transfer.meter.note(
                    "note.again-at",
                    file=transfer.file.name, what=again.error.as_phrase(), byte=part.size,
                )  # fmt: skip
                time.sleep(max(again.wait, self._pause(fruitless)))

    def _pause(self, fruitless: int) -> float:
        longest = self._patience.backoff * 2.0 ** max(0, fruitless - 1)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - that not all come back at once

    def _try(self, transfer: Transfer) -> bool:
        """One request; whether the file is whole now. Raises Again, SourceError, OSError."""
        file, part = transfer.file, transfer.part
        wanted = {"Range": f"bytes={part.size}-"} if part.size else {}
        if part.size and part.tag:
            wanted["If-Range"] = part.tag
        try:
            with self._ask("GET", file, wanted) as response:
                return transfer.take(response)
        except FOREIGN as error:
            known = explain(error, self.title, file.name, self._patience.read)
            if isinstance(error, ValueError) or known.name == "redirects" or UNTRUSTED in known.why:
                raise known from error  # asking again would not mend it
            raise Again(known) from error

    def _ask(
        self, method: str, file: RemoteFile, more: Mapping[str, str] | None = None
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                file.address,
                headers={"Accept-Encoding": "identity", **(more or {})},
                auth=_Own(file.headers, self._session) if file.headers else None,
                timeout=(self._patience.connect, self._patience.read),
                allow_redirects=True,
                stream=True,
            )
        except FOREIGN:
            raise
        except ValueError:  # from below requests, with the header's value in its text
            raise InvalidHeader from None


class _Own(AuthBase):
    """Headers for one host, taken off before a redirect leads to another; they go before .netrc."""

    def __init__(self, headers: Mapping[str, str], session: requests.Session) -> None:
        self._headers, self._session = headers, session

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        request.register_hook("response", self._at_the_border)  # type: ignore[no-untyped-call]
        return request

    def _at_the_border(self, response: requests.Response, **_: object) -> None:
        target = self._session.get_redirect_target(response)
        here = response.request.url or ""
        there = urljoin(here, target or "")
        if target and self._session.should_strip_auth(here, there):  # type: ignore[no-untyped-call]
            for name in self._headers:
                response.request.headers.pop(name, None)
