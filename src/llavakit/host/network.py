"""What a job gets of the caller's environment: with a network the way out, without one its absence.

The same for every engine. Values may be secrets, so they go into jobs and nowhere else: not into a
record, a log, an image, nor onto the screen (:mod:`llavakit.redact`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llavakit.engines.base import Mount
from llavakit.errors import ConfigurationError
from llavakit.phrases import phrase
from llavakit.workspace import INPUTS

NO_TRACKING = {"DO_NOT_TRACK": "1"}
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    **NO_TRACKING,
}
"""Libraries of a job without a network then fail at once instead of trying."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
PASSED = (
    *PROXIES,
    *(name.lower() for name in PROXIES),
    *("HF_ENDPOINT", "HF_TOKEN", "MODELSCOPE_DOMAIN", "MODELSCOPE_API_TOKEN"),
)
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
"""Any of them names the certificates of a proxy that opens TLS; the first one counts."""
CA_PLACE = f"{INPUTS}/ca-certificates.pem"
CA_READERS = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "GIT_SSL_CAINFO")
"""What requests, Python's ssl and git read."""


@dataclass(frozen=True)
class Access:
    """Environment variables and mounts of a job."""

    env: Mapping[str, str]
    mounts: tuple[Mount, ...] = ()


def without() -> Access:
    """Of a job that has no network."""
    return Access(OFFLINE)


def access(environ: Mapping[str, str]) -> Access:
    """Of a job that has one.

    Raises ConfigurationError ``bad-value`` when the certificates that are named are no file.
    """
    env = {name: environ[name] for name in PASSED if environ.get(name)}
    name = next((name for name in CA_VARIABLES if environ.get(name)), None)
    if name is None:
        return Access(NO_TRACKING | env)
    bundle = Path(environ[name]).expanduser()
    if not bundle.is_file():
        allowed = phrase("allowed.certificates")
        raise ConfigurationError("bad-value", key=name, value=bundle, allowed=allowed)
    env |= dict.fromkeys(CA_READERS, CA_PLACE)
    return Access(NO_TRACKING | env, (Mount(bundle.absolute(), CA_PLACE),))
