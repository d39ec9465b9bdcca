"""`invoke verify --environment`: what is installed against the lock, and the image's labels.

Every package and every file hash that its RECORD keeps. What is missing or changed on purpose
stands in committed lists; whatever else differs is named. :mod:`llavakit.installed` says what that
cannot see.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from docker import DockerClient
from rich.console import Group
from rich.table import Table

from llavakit import installed
from llavakit.engines import choose, image, venv
from llavakit.engines.base import Job
from llavakit.engines.docker import DockerEngine
from llavakit.errors import RecordError, StepError
from llavakit.host import environment, words
from llavakit.host.console import Screen, table
from llavakit.host.results import read_json
from llavakit.host.settings import KIT, Settings
from llavakit.installed import Installed
from llavakit.phrases import phrase

REMOVALS = KIT / "docker" / "removals.txt"
CHANGES = KIT / "docker" / "changes.txt"
LABELS = (environment.LABEL_LOCK, environment.LABEL_ENVIRONMENT, environment.LABEL_SOURCE)
NAMED, LISTED = 3, 20


@dataclass(frozen=True)
class Judged:
    """An environment held against the lock. Empty lists are as they should be."""

    engine: str
    where: str
    """The folder, or the image's tag."""
    found: Installed
    versions: list[str]
    """Packages that are not those of the lock."""
    removed: list[str]
    changed: list[str]
    missing: list[str]
    modified: list[str]
    labels: list[str]
    """Labels of the image that are not what this clone would write."""

    @property
    def drifted(self) -> list[str]:
        return [*self.labels, *self.versions, *self.modified, *self.missing, *self.found.strangers]


def verify(settings: Settings, screen: Screen) -> int:
    """Check each environment of the engine that was asked for; of ``auto``, each that is here.

    Raises RecordError ``environment-drifted`` and ``no-environment``.
    """
    checked = list(_all(settings, screen))
    if not checked:
        raise RecordError("no-environment", engine=settings.engine)
    body = [as_json(each) for each in checked]
    drifted = [each for each in checked if each.drifted]
    screen.result(
        {"environments": body}, table=Group(*(_table(each, screen.lang) for each in checked))
    )
    if drifted:
        names = "; ".join(_some(each.drifted, screen.lang) for each in drifted)
        where = ", ".join(each.where for each in drifted)
        why = "\n".join(name for each in drifted for name in each.drifted[:LISTED])
        raise RecordError("environment-drifted", names=names, where=where, why=why)
    return 0


def as_json(judged: Judged) -> dict[str, Any]:
    """For a program."""
    return {**asdict(judged), "drifted": judged.drifted}


def _all(settings: Settings, screen: Screen) -> Iterator[Judged]:
    local = environment.local_folder(settings)
    if settings.engine != "docker" and venv.is_ready(local, environment.LOCK):
        screen.say("local", words.text("packages.hashing", screen.lang))
        yield judge("local", str(local), installed.look(site_packages(local)), [], [], [])
    if settings.engine == "local":
        return
    client = choose.choose(settings.engine, lang=settings.lang).client
    labels = image.inspect_labels(client, settings.image_tag) if client else None
    if client is not None and labels is not None:
        screen.say("docker", words.text("packages.hashing", screen.lang))
        yield judge("docker", settings.image_tag, in_image(client, settings.image_tag),
                    patterns(REMOVALS), patterns(CHANGES), other_labels(labels))  # fmt: skip


def site_packages(folder: Path) -> Path:
    """Where a virtual environment of Python 3.10 has its packages."""
    return folder / "lib" / "python3.10" / "site-packages"


def in_image(client: DockerClient, tag: str) -> Installed:
    """Look inside a container of the image, hardened and without a network as every job, with this
    clone's shared modules, which come before its own: an image does not vouch for itself.

    Raises StepError ``failed``, and EngineErrors.
    """
    with tempfile.TemporaryDirectory(prefix="llavakit-verify-") as place:
        code = Path(place) / "llavakit"
        code.mkdir()
        for file in (environment.SOURCE / "llavakit").glob("*.py"):
            shutil.copyfile(file, code / file.name)
        job = Job("verify", ("-m", "llavakit.installed", "--out", "found.json"), Path(place))
        running = DockerEngine(client, tag).start(job)
        lines = list(running.lines())
        outcome = running.wait()
        body = read_json(Path(place) / "found.json")
    if not isinstance(body, dict):
        how = outcome.detail or phrase("ended.status", status=outcome.exit_code)
        raise StepError("failed", step="verify", how=how, log="-", why="\n".join(lines[-15:]))
    del body["python"]
    return Installed(**body)


def judge(
    engine: str,
    where: str,
    found: Installed,
    removals: Sequence[str],
    changes: Sequence[str],
    labels: list[str],
) -> Judged:
    """Hold what is installed against the lock and the lists of patterns."""
    removed, missing = _split(found.missing, removals)
    changed, modified = _split(found.modified, changes)
    versions = other_versions(found.packages, environment.LOCK.read_text(encoding="utf-8"))
    return Judged(engine, where, found, versions, removed, changed, missing, modified, labels)


def other_versions(packages: dict[str, str], lock: str) -> list[str]:
    """Packages that are missing, too many, or of another version than the lock's."""
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", lock, re.MULTILINE))
    pins = {installed.normal(name): version for name, version in pins.items()}
    return [
        f"{name} {packages.get(name, '-')} (lock: {pins.get(name, '-')})"
        for name in sorted(pins.keys() | packages.keys())
        if packages.get(name) != pins.get(name)
    ]


def other_labels(labels: dict[str, str]) -> list[str]:
    """Labels that say that the image was made from other files than this clone's."""
    wanted = zip(LABELS, (environment.lock_sha256(), environment.environment_sha256(),
                          environment.source_sha256()), strict=True)  # fmt: skip
    return [name for name, value in wanted if labels.get(name) != value]


def patterns(listing: Path) -> list[str]:
    """The patterns of a committed list."""
    lines = (line.strip() for line in listing.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _split(names: Iterable[str], listed: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that a pattern, or one of a folder above them, names; and the rest."""
    match = re.compile("|".join(map(_regex, listed)) or r"(?!)").fullmatch
    found: tuple[list[str], list[str]] = ([], [])
    for name in names:
        found[0 if match(name) else 1].append(name)
    return found


def _regex(pattern: str) -> str:
    """As pathlib's glob reads it, and everything below what it matches."""
    parts = (
        "(?:[^/]+/)*" if part == "**" else fnmatch.translate(part).replace(".*", "[^/]*") + "/"
        for part in pattern.split("/")
    )
    return f"(?:{''.join(parts)[:-1]}(?:/.*)?)".replace(r"\Z", "")


def _table(each: Judged, lang: str) -> Table:
    say = words.text
    rows = [("packages", len(each.found.packages), each.versions, "packages.as-locked")]
    if each.engine == "docker":
        rows.insert(0, ("labels", len(LABELS), each.labels, "packages.as-locked"))
    rows += [
        ("files", each.found.hashed, [], "pin.ok"),
        ("unhashed", each.found.unhashed, [], "packages.not-looked-at"),
        ("modified", len(each.modified), each.modified, "pin.ok"),
        ("missing", len(each.missing), each.missing, "pin.ok"),
        ("strangers", len(each.found.strangers), each.found.strangers, "pin.ok"),
    ]
    shown = [(say(f"packages.{key}", lang), str(count), _some(bad, lang) or say(good, lang))
             for key, count, bad, good in rows]  # fmt: skip
    for key, names, listing in (("removed", each.removed, REMOVALS),
                                ("changed", each.changed, CHANGES)):  # fmt: skip
        if names:
            by = say("packages.list", lang, lists=listing.relative_to(KIT))
            shown.append((say(f"packages.{key}", lang), str(len(names)), by))
    columns = (say("records.what", lang), "#" + say("records.number", lang),
               say("records.state", lang))  # fmt: skip
    title = say("packages.title", lang, engine=each.engine)
    return table(f"{title}\n{each.where}", columns, shown)


def _some(names: Sequence[str], lang: str) -> str:
    """The first of them, and how many more."""
    listed = ", ".join(names[:NAMED])
    more = len(names) - NAMED
    return words.text("packages.more", lang, name=listed, count=more) if more > 0 else listed
