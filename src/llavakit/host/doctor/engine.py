"""The Docker Engine: where it is looked for, whether this user may, whether it is new enough."""

from __future__ import annotations

import os
import shutil

from llavakit.engines import docker_facts, mounts
from llavakit.engines.docker_facts import Address, EngineFacts
from llavakit.errors import EngineError
from llavakit.host.doctor.findings import Check, Finding, Host, Status


def context(host: Host) -> Finding:
    """Which engine the kit asks; one on another machine has not this host's folders."""
    if host.settings.engine == "local":
        return host.skipped("engine.unused")
    address = docker_facts.named(host.environ)
    if address.ignored:
        return host.lacks("warn", "engine.context-ignored", context=address.ignored)
    if address.socket is None and not _is_here(address):
        return host.lacks("warn", "engine.elsewhere", address=address.value)
    return host.passed("engine.context", address=address.value, how=address.how)


def socket(host: Host) -> Finding:
    """Whether the socket is there and this user may use it."""
    if host.settings.engine == "local":
        return host.skipped("engine.unused")
    path = docker_facts.named(host.environ).socket
    if path is None:
        return host.skipped("engine.no-socket")
    state = docker_facts.socket_state(path)
    if state == "ok":
        return host.passed("engine.socket", path=path)
    if others := docker_facts.other_sockets(path, host.environ):
        return host.lacks(_status(host), "engine.other-socket", path=path, other=others[0])
    if state == "denied":
        late = docker_facts.joins_at_next_login()
        return host.lacks(_status(host), "engine.late" if late else "engine.denied", path=path)
    if shutil.which("dockerd") is None:
        return host.lacks(_status(host), "engine.not-installed", path=path)
    return host.lacks(_status(host), "engine.no-such-socket", path=path)


def answers(host: Host) -> Finding:
    """Whether an engine answers."""
    if host.settings.engine == "local":
        return host.skipped("engine.unused")
    found = host.docker()
    if isinstance(found, EngineError):
        return host.refused(_status(host), found)
    return host.passed("engine.answers", version=found.version, api=_dotted(found.api))


def version(host: Host) -> Finding:
    """Whether it is one that the kit was run with, or newer."""
    facts = _facts(host)
    if isinstance(facts, Finding):
        return facts
    if facts.api < docker_facts.OLDEST_API:
        params = {"found": facts.version, "needed": docker_facts.OLDEST_ENGINE}
        return host.lacks("fail", "engine.old", **params)
    return host.passed("engine.new", found=facts.version, needed=docker_facts.OLDEST_ENGINE)


def user(host: Host) -> Finding:
    """Who jobs are: it decides who owns what they write."""
    facts = _facts(host)
    if isinstance(facts, Finding):
        return facts
    if facts.rootless:
        return host.passed("engine.rootless")
    if os.getuid() == 0:
        key = "engine.remaps-for-root" if facts.remaps_users else "engine.rootful-for-root"
        return host.passed(key, uid=mounts.job_user(host.workspace.root)[0])
    return host.passed("engine.remaps" if facts.remaps_users else "engine.rootful")


def limits(host: Host) -> Finding:
    """Whether a job that wants too much is stopped, and not its host."""
    facts = _facts(host)
    if isinstance(facts, Finding):
        return facts
    if facts.limits:
        return host.passed("engine.limits")
    rootless = facts.rootless
    return host.lacks("warn", "engine.no-delegation" if rootless else "engine.no-limits")


def _facts(host: Host) -> EngineFacts | Finding:
    facts = host.facts()
    if facts is not None:
        return facts
    return host.skipped("engine.unused" if host.settings.engine == "local" else "engine.none")


def _status(host: Host) -> Status:
    """Without an engine `auto` goes on with the local one."""
    return "fail" if host.settings.engine == "docker" else "warn"


def _is_here(address: Address) -> bool:
    place = address.value.partition("://")[2]
    return place.rpartition("@")[2].startswith(("localhost", "127.", "[::1]"))


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


CHECKS = (
    Check("engine.context", context),
    Check("engine.socket", socket),
    Check("engine.docker", answers),
    Check("engine.version", version),
    Check("engine.user", user),
    Check("engine.limits", limits, needed=False),
)
