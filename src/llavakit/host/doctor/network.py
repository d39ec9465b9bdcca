"""The places that a recipe still needs something of: does anything answer there at all?

Any answer counts, a refusal too: what a source has to give, `invoke models --check` tells.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from llavakit import redact
from llavakit.artefact import HuggingFace, ModelScope, Source
from llavakit.engines import venv
from llavakit.host import environment
from llavakit.host.doctor.findings import Check, Finding, Host
from llavakit.host.network import CA_VARIABLES, PROXIES

SECONDS = 2.5
MODELSCOPE = "https://www.modelscope.cn"
HUGGINGFACE = "https://huggingface.co"
PACKAGES = "https://pypi.org/simple/"
REGISTRY = "https://registry-1.docker.io/v2/"
WHY = (
    (socket.gaierror, "network.why.name"),
    (TimeoutError, "network.why.time"),
    (ConnectionRefusedError, "network.why.refused"),
    (ssl.SSLCertVerificationError, "network.why.certificate"),
)
"""What nothing answering is called, by the exception; the first that fits counts."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """That a server sends elsewhere is an answer."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def part(name: str, host: Host) -> Finding:
    """Whether one of the sources of a part answers, where it is still to be fetched."""
    wanted = {stage.label for stage in host.stages()}
    download = host.plan.downloads.get(f"fetch-{name}")
    if download is None or f"fetch-{name}" not in wanted:
        return host.skipped("network.not-needed")
    assert download.download is not None  # noqa: S101 - it is one
    places = [address(source, host.environ) for source in download.download.sources]
    return _ask(host, places)


def packages(host: Host) -> Finding:
    """Whether the package index answers, where the environment is still to be made."""
    if host.is_made():
        return host.skipped("network.made")
    return _ask(host, [venv.installer_environment(host.environ).get("UV_DEFAULT_INDEX", PACKAGES)])


def registry(host: Host) -> Finding:
    """Whether the registry of the base image answers, where the image is still to be built."""
    if host.engine() == "local" or host.is_made():
        return host.skipped("network.made")
    dockerfile = environment.DOCKERFILE.read_text(encoding="utf-8")
    base = environment.base_args(host.settings.base, dockerfile)["BASE_IMAGE"]
    first = base.partition("/")[0]
    named = "/" in base and ("." in first or ":" in first)
    return _ask(host, [f"https://{first}/v2/" if named else REGISTRY])


def address(source: Source, environ: Mapping[str, str]) -> str:
    """Where a source is asked, its mirror where one is named."""
    if isinstance(source, ModelScope):
        domain = environ.get("MODELSCOPE_DOMAIN")
        return f"https://{domain}" if domain else MODELSCOPE
    if isinstance(source, HuggingFace):
        return environ.get("HF_ENDPOINT") or HUGGINGFACE
    return source.address


def reach(place: str, environ: Mapping[str, str], seconds: float = SECONDS) -> str:
    """Why nothing answers at ``place``; empty when something does, in HTTP or not.

    Proxies and certificates are those of ``environ``. A login in the address is not sent: that it
    is asked for is an answer. No secret is in what is returned.
    """
    bundle = next((environ[name] for name in CA_VARIABLES if environ.get(name)), None)
    try:
        request = urllib.request.Request(_without_login(place), method="HEAD")  # noqa: S310 - http or https
        context = ssl.create_default_context(cafile=bundle)
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context),
            urllib.request.ProxyHandler(_proxies(request.host, environ)),
            _NoRedirect(),
        )
        with opener.open(request, timeout=seconds):
            return ""
    except urllib.error.HTTPError as answer:
        answer.close()
        return ""
    except urllib.error.URLError as error:
        return _kind(error.reason, place, environ)
    except (OSError, ValueError, http.client.InvalidURL) as error:
        return _kind(error, place, environ)
    except http.client.HTTPException:  # no words of HTTP, and somebody said them
        return ""


def _without_login(place: str) -> str:
    """Raises ValueError where ``place`` is no address."""
    parts = urlsplit(place)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _proxies(host: str, environ: Mapping[str, str]) -> dict[str, str]:
    """By scheme; empty for a host that NO_PROXY names."""
    found = {
        name.lower().removesuffix("_proxy"): value
        for name in (*PROXIES, *map(str.lower, PROXIES))
        if (value := environ.get(name))
    }
    bypassed = urllib.request.proxy_bypass_environment(host, found)  # type: ignore[attr-defined]
    return {} if bypassed else found


def _kind(reason: object, place: str, environ: Mapping[str, str]) -> str:
    """The end of a key of :data:`WHY`'s in the table of words, or the system's own words."""
    for kind, key in WHY:
        if isinstance(reason, kind):
            return key
    hidden = [place, *redact.secrets({"": place, **environ})]
    return redact.scrub(str(reason), hidden) or type(reason).__name__


def _ask(host: Host, places: Iterable[str]) -> Finding:
    """All at once: a name that nobody resolves takes as long as the resolver likes."""
    asked = list(dict.fromkeys(places))
    found: dict[str, str] = {}
    threads = [
        threading.Thread(target=_keep, daemon=True,
                         args=(found, place, partial(reach, place, host.environ)))
        for place in asked
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    reasons = {place: found.get(place, "network.why.time") for place in asked}
    silent = {_host(place): reason for place, reason in reasons.items() if reason}
    if not silent:
        return host.passed("network.answers", hosts=", ".join(map(_host, asked)))
    why = "; ".join(f"{name}: {_said(host, reason)}" for name, reason in silent.items())
    if len(silent) < len({_host(place) for place in asked}):
        others = ", ".join(_host(place) for place in asked if _host(place) not in silent)
        return host.lacks("warn", "network.some", why=why, others=others)
    tls = "network.why.certificate" in silent.values()
    return host.lacks("fail", "network.certificate" if tls else "network.none", why=why)


def _said(host: Host, reason: str) -> str:
    known = reason in (key for _, key in WHY)
    return host.say(reason) if known else reason


def _keep(found: dict[str, str], place: str, ask: Callable[[], str]) -> None:
    try:
        found[place] = ask()
    except Exception as error:  # unforeseen: a traceback would show the address and its login
        found[place] = type(error).__name__


def _host(place: str) -> str:
    """Without the login that a mirror's address may hold."""
    try:
        return urlsplit(place).hostname or "?"
    except ValueError:
        return "?"


CHECKS = (
    *(Check(f"network.{name}", partial(part, name)) for name in ("llm", "vision", "projector",
                                                                 "data")),
    Check("network.packages", packages),
    Check("network.base", registry),
)  # fmt: skip
