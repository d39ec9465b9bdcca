"""What a host lacks, case by case: the cases that its modules keep, and what they share."""

from __future__ import annotations

from collections.abc import Callable

from host.doctor.machine import Machine

from llavakit.engines.docker_facts import Leftover
from llavakit.errors import EngineError, EnvironmentFailure
from llavakit.host import environment
from llavakit.host.doctor import checks

Change = Callable[[Machine], object]


CASES: list[tuple[str, Change, str, str, str]] = []


def case(check: str, status: str, found: str, remedy: str) -> Callable[[Change], Change]:
    """A host that lacks something: the check's finding has these words."""

    def keep(change: Change) -> Change:
        CASES.append((check, change, status, found, remedy))
        return change

    return keep


def no_daemon(m: Machine, name: str = "no-daemon") -> None:
    m.error = EngineError(name, why="refused", address="unix:///x.sock")


def without_environment(m: Machine) -> None:
    m.options["engine"] = "local"
    m.options["workspace"] = str(m.root)
    m.patch.setattr(environment, "has_local", lambda _: False)


def no_python(name: str, **params: object) -> Callable[..., None]:
    def look(*_: object, **__: object) -> None:
        raise EnvironmentFailure(name, **params)

    return look


def no_folder(_: object) -> None:
    raise FileNotFoundError


def unwritable(*_: object, **__: object) -> None:
    raise OSError(30, "Read-only file system")


def leftover(m: Machine, **labels: str) -> Leftover:
    labels = labels or checks.leftovers.job_labels(m.host().workspace)
    return Leftover("llavakit-train-1", "created", labels, str(m.root), 5)
