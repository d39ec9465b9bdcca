"""Which engine: the one asked for, or for ``auto`` docker if a daemon answers, else local."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llavakit import messages
from llavakit.errors import ConfigurationError, EngineError

if TYPE_CHECKING:
    import docker

PREFERENCES = ("auto", "docker", "local")
PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class Choice:
    name: str
    """``docker`` or ``local``."""
    why: str
    """A sentence for the user."""
    client: docker.DockerClient | None = None
    """The connection, for ``docker``."""


def choose(
    preference: str,
    *,
    lang: str = "en",
    connect: Callable[[float], docker.DockerClient] | None = None,
) -> Choice:
    """The engine for ``preference`` (``auto``, ``docker`` or ``local``).

    Raises ConfigurationError ``bad-value`` for another word; for ``docker`` what
    :func:`llavakit.engines.docker.connect` raises, and EngineError ``no-sdk``.
    """
    if preference not in PREFERENCES:
        allowed = ", ".join(PREFERENCES)
        raise ConfigurationError("bad-value", key="engine", value=preference, allowed=allowed)
    if preference == "local":
        return Choice("local", _say("chosen", lang, engine="local"))
    probe = connect or _connect
    if preference == "docker":
        return Choice("docker", _say("chosen", lang, engine="docker"), probe(PROBE_SECONDS * 5))
    try:
        client = probe(PROBE_SECONDS)
    except EngineError as error:
        return Choice("local", _say("auto-local", lang, reason=error.what(lang)))
    return Choice("docker", _say("auto-docker", lang, address=client.api.base_url), client)


def _connect(timeout: float) -> docker.DockerClient:
    # The SDK takes a while to import, and nothing of it is needed for the local engine. Without
    # it, `import docker` may still find the project's folder of that name.
    try:
        from llavakit.engines.docker import connect
    except ImportError as error:
        raise EngineError("no-sdk", why=str(error)) from None
    return connect(timeout)


def _say(name: str, lang: str, **params: object) -> str:
    return messages.text(f"engine.{name}", lang).what.format(**params)
