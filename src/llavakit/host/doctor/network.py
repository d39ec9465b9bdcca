"""The places that a recipe still needs something of: does anything answer there at all?

Any answer counts, a refusal too: what a source has to give, `invoke models --check` tells.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from llavakit.artefact import HuggingFace, ModelScope, Source
from llavakit.engines import venv
from llavakit.host import environment
from llavakit.host.doctor.findings import Check, Finding, Host
from llavakit.host.network import CA_VARIABLES

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


def reach(place: str, environ: Mapping[str, str] = os.environ, seconds: float = SECONDS) -> str:
    """Why nothing answers at ``place``; empty when something does. Proxies are used."""
    bundle = next((environ[name] for name in CA_VARIABLES if environ.get(name)), None)
    try:
        context = ssl.create_default_context(cafile=bundle)
        handlers = (urllib.request.HTTPSHandler(context=context), _NoRedirect())
        opener = urllib.request.build_opener(*handlers)
        request = urllib.request.Request(place, method="HEAD")  # noqa: S310 - http or https
        with opener.open(request, timeout=seconds):
            return ""
    except urllib.error.HTTPError as answer:
        answer.close()
        return ""
    except urllib.error.URLError as error:
        return _kind(error.reason)
    except (OSError, ValueError) as error:
        return _kind(error)


def _kind(reason: object) -> str:
    """The end of a key of :data:`WHY`'s in the table of words, or the system's own words."""
    for kind, key in WHY:
        if isinstance(reason, kind):
            return key
    return str(reason) or type(reason).__name__


def _ask(host: Host, places: Iterable[str]) -> Finding:
    """All at once: a name that nobody resolves takes as long as the resolver likes."""
    asked = list(dict.fromkeys(places))
    found: dict[str, str] = {}
    threads = [
        threading.Thread(target=_keep, args=(found, place, partial(reach, place)), daemon=True)
        for place in asked
    ]
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
    found[place] = ask()


def _host(place: str) -> str:
    """Without the login that a mirror's address may hold."""
    return urlsplit(place).hostname or "?"


CHECKS = (
    *(Check(f"network.{name}", partial(part, name)) for name in ("llm", "vision", "projector",
                                                                 "data")),
    Check("network.packages", packages),
    Check("network.base", registry),
)  # fmt: skip
