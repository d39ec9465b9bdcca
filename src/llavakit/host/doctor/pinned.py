"""The pinned environment: the image and its labels, or the local one and its Python."""

from __future__ import annotations

from llavakit.engines import venv
from llavakit.errors import EnvironmentFailure
from llavakit.host import environment
from llavakit.host.doctor.findings import Check, Finding, Host
from llavakit.host.environment import LABEL_ENVIRONMENT, LABEL_LOCK, LABEL_SOURCE

NOT_BUILT = "image.missing"


def present(host: Host) -> Finding:
    """Whether the image is there."""
    labels = _labels(host)
    if isinstance(labels, Finding):
        return labels
    return host.passed("image.present", tag=host.settings.image_tag)


def lock(host: Host) -> Finding:
    """Whether it was made from this clone's pins."""
    labels = _labels(host)
    if isinstance(labels, Finding):
        return labels if labels.status == "skip" else host.skipped("image.none")
    same = labels.get(LABEL_LOCK) == environment.lock_sha256()
    if same and labels.get(LABEL_ENVIRONMENT) == environment.environment_sha256():
        return host.passed("image.lock", lock=environment.lock_sha256()[:12])
    found = labels.get(LABEL_LOCK, "-")[:12]
    return host.lacks("warn", "image.other-lock", found=found)


def source(host: Host) -> Finding:
    """Whether its last layer is this clone's code."""
    labels = _labels(host)
    if isinstance(labels, Finding):
        return labels if labels.status == "skip" else host.skipped("image.none")
    if labels.get(LABEL_SOURCE) == environment.source_sha256():
        return host.passed("image.source")
    return host.lacks("warn", "image.other-source")


def _labels(host: Host) -> dict[str, str] | Finding:
    """The image's labels, or why there are none."""
    facts = host.facts()
    if facts is None:
        return host.skipped("image.unused" if host.engine() == "local" else "engine.none")
    labels = facts.image_labels(host.settings.image_tag)
    if labels is None:
        return host.lacks("warn", NOT_BUILT, tag=host.settings.image_tag)
    return labels


def python(host: Host) -> Finding:
    """A Python 3.10 for the local engine: one that is there, or uv that can get one."""
    if host.engine() != "local":
        return host.skipped("local.unused")
    if environment.has_local(host.settings):
        return host.passed("local.python-kept")
    try:
        found = venv.find_python(host.settings.python or None, download=False)
    except EnvironmentFailure as error:
        if error.name == "no-python":
            return host.refused("warn", EnvironmentFailure("python-later"))
        return host.refused("fail", error)
    return host.passed("local.python", how=found.how, path=found.path)


def local(host: Host) -> Finding:
    """Whether the local engine's environment is there and made from this clone's lock."""
    if host.engine() != "local":
        return host.skipped("local.unused")
    folder = environment.local_folder(host.settings)
    if environment.has_local(host.settings):
        return host.passed("local.ready", folder=folder)
    return host.lacks("warn", "local.missing", folder=folder)


CHECKS = (
    Check("image.present", present),
    Check("image.lock", lock, needed=False),
    Check("image.source", source, needed=False),
    Check("local.python", python),
    Check("local.environment", local, needed=False),
)
