"""ModelScope, or a mirror of it: its own client lists, our transfer brings the bytes.

The client's own transfer starts anew after a kill and hashes in a second pass.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import get_cookie_header
from urllib3.util.retry import Retry

from llavakit import artefact
from llavakit.errors import SourceError
from llavakit.steps.sources import http
from llavakit.steps.sources.base import Listing, Meter, RemoteFile, matches

NO_SUCH = "such repository or revision"
WHAT = "its list of files"
Entries = list[dict[str, Any]]
LOG = logging.getLogger("llavakit.modelscope")
_ONE = threading.Lock()
"""The client keeps its credentials' folder in a class, and its import looks at HOME."""


class ModelScope:
    """A model. ``MODELSCOPE_DOMAIN`` names a mirror, ``MODELSCOPE_API_TOKEN`` who asks."""

    answer = 6.0
    """Seconds to wait for an answer, twice: the client asks again once."""

    def __init__(self, source: artefact.ModelScope, patience: http.Patience = http.DEFAULT) -> None:
        self._source = source
        self.title = artefact.title(source)
        self._http = http.Http(self.title, patience=patience)

    def list(self, patterns: Sequence[str]) -> Listing:
        """See :meth:`base.Remote.list`; the hub states every file's sha256. Raises SourceError.

        The hub gives files by the branch's name, not by its commit: ``revision`` stays empty, and
        ``version`` is the commit that last changed the file.
        """
        load()
        from modelscope.hub.file_download import get_file_download_url

        api, cookies = self._enter()
        entries = self._ask(api, cookies)
        files = []
        for entry in entries:
            if entry["Type"] != "blob" or not matches(entry["Path"], patterns):
                continue
            address = get_file_download_url(
                self._source.repository, entry["Path"], self._source.revision
            )
            headers = {"User-Agent": api.headers["user-agent"]}
            asked = requests.Request("GET", address)
            cookie = get_cookie_header(cookies, asked)  # type: ignore[no-untyped-call]
            if cookie:
                headers["Cookie"] = cookie
            files.append(
                RemoteFile(
                    name=entry["Path"],
                    bytes=entry["Size"],
                    sha256=entry.get("Sha256") or None,
                    address=address,
                    headers=headers,
                    version=entry.get("Revision") or "",
                )
            )
        if not files:
            raise SourceError("no-files", source=self.title, wanted=", ".join(patterns))
        return Listing(tuple(files))

    def fetch(self, file: RemoteFile, part: Path, meter: Meter) -> str:
        """See :meth:`base.Remote.fetch`."""
        return self._http.fetch(file, part, meter)

    def _enter(self) -> tuple[Any, CookieJar]:
        """The client and, with a token, the cookies that it got for it; no trace on the disk."""
        from modelscope.hub.errors import RequestError

        token = os.environ.get("MODELSCOPE_API_TOKEN")
        with _ONE, _nothing_kept():
            api = _client(self.answer)
            if not token:
                return api, requests.cookies.RequestsCookieJar()
            with self._explained(secret=token):
                try:
                    return api, api.login(token)[1]
                except RequestError as error:
                    raise SourceError("gated", source=self.title, why=str(error)) from None

    def _ask(self, api: Any, cookies: CookieJar) -> Entries:
        from modelscope.hub.errors import RequestError

        repository, revision = self._source.repository, self._source.revision
        with self._explained():
            try:
                # Not the default of ``headers``: one dictionary for all threads.
                files: Entries = api.get_model_files(
                    repository, revision, recursive=True, use_cookies=cookies, headers=None
                )
            except RequestError as error:
                raise SourceError(
                    "missing", source=self.title, what=NO_SUCH, why=str(error)
                ) from None
        return files

    @contextlib.contextmanager
    def _explained(self, secret: str = "") -> Iterator[None]:
        try:
            yield
        except requests.exceptions.JSONDecodeError as error:
            raise SourceError("html", source=self.title, file=WHAT, why=str(error)) from None
        except requests.HTTPError as error:
            why = str(error).replace(secret, "***") if secret else str(error)
            raise self._refused(_status(error), why) from None
        except requests.RequestException as error:
            raise http.explain(error, self.title, WHAT) from None
        except (KeyError, TypeError, ValueError) as error:  # JSON, but not the hub's
            raise SourceError(
                "server", source=self.title, file=WHAT, status=200, why=repr(error)
            ) from None

    def _refused(self, status: int, why: str) -> SourceError:
        if status in (401, 403):
            return SourceError("gated", source=self.title, why=why)
        if status == 404:
            return SourceError("missing", source=self.title, what=NO_SUCH, why=why)
        return SourceError("server", source=self.title, file=WHAT, status=status, why=why)


def load() -> None:
    """Import the client, which takes seconds, in silence and without a file in HOME."""
    with _ONE:
        logging.getLogger("modelscope").addFilter(_aside)
        with (
            tempfile.TemporaryDirectory() as home,
            _environment("HOME", home),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            import modelscope.hub.api
            import modelscope.hub.file_download  # noqa: F401


def _aside(record: logging.LogRecord) -> bool:
    """The client speaks on standard error; what it says goes to our log, for who wants it."""
    LOG.debug("%s", record.getMessage())
    return False


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})


@contextlib.contextmanager
def _nothing_kept() -> Iterator[None]:
    """What the client writes about who asks goes to a folder that is gone at once."""
    from modelscope.hub.api import ModelScopeConfig

    before = ModelScopeConfig.path_credential
    with tempfile.TemporaryDirectory() as folder:
        ModelScopeConfig.path_credential = folder
        try:
            yield
        finally:
            ModelScopeConfig.path_credential = before


def _client(patience: float) -> Any:
    """The hub's client; its own patience is three times 60 s."""
    from modelscope.hub.api import HubApi

    api = HubApi()
    again = Retry(
        total=1, backoff_factor=0.1, status_forcelist=(500, 502, 503, 504), raise_on_status=False
    )
    for scheme in ("http://", "https://"):
        api.session.mount(scheme, HTTPAdapter(max_retries=again))
    for method in ("get", "post"):
        call = getattr(requests.Session, method)
        setattr(api.session, method, functools.partial(call, api.session, timeout=patience))
    return api


def _status(error: requests.HTTPError) -> int:
    """The client wraps the error that has the answer in one that has none."""
    for found in (error, error.__cause__):
        response = getattr(found, "response", None)
        if response is not None:
            return int(response.status_code)
    return 0
