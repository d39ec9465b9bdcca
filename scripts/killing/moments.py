"""Kills: when and whom, decided by a seed, and how such a moment is met."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llavakit.events import EventReader

ITERATIONS, EVERY = 24, 3
VICTIMS = ("client", "job", "both")
PATIENCE = 240.0


@dataclass
class Kill:
    """One kill: when, and whom. ``at`` is an iteration, or a share of an undisturbed run's time."""

    moment: str
    victim: str
    at: float
    seen: str = ""
    """The moment that the files prove."""

    @property
    def task(self) -> str:
        return "convert" if self.moment == "anywhere" else "train"


def plan(kills: int, seed: int) -> list[Kill]:
    """The kills, in a random order that ``seed`` decides."""
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    made = []
    for number in range(kills):
        share = number / kills
        moment = "training" if share < 0.5 else "checkpoint" if share < 0.7 else "anywhere"
        victim = dice.choice(VICTIMS[1:] if moment == "checkpoint" else VICTIMS)
        last = ITERATIONS // EVERY
        at = {"training": dice.randint(1, ITERATIONS - 2), "anywhere": dice.random(),
              "checkpoint": EVERY * dice.randint(1, last)}[moment]  # fmt: skip
        made.append(Kill(moment, victim, at))
    dice.shuffle(made)
    return made


def jobs(root: Path, client: int = 0) -> list[int]:
    """The processes that work in ``root``, in a container or not, as this host numbers them."""
    found, here = [], root.stat()
    for name in os.listdir("/proc"):  # noqa: PTH208 - names of processes, not of files
        try:
            if name.isdigit() and os.path.samestat(here, Path("/proc", name, "cwd").stat()):
                found.append(int(name))
        except OSError:
            continue
    return [pid for pid in found if pid not in (os.getpid(), client)]


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def caught(root: Path, iteration: int, victims: list[int]) -> bool:
    """Hold the job in the middle of writing that checkpoint, or let it go where it was too late."""
    if not is_being_written(root, iteration):
        return False
    send(victims, signal.SIGSTOP)
    if is_being_written(root, iteration):
        return True
    send(victims, signal.SIGCONT)
    return False


def strike(kill: Kill, victims: list[int], client: subprocess.Popen[str]) -> None:
    if kill.victim != "client":
        send(victims, signal.SIGKILL)
    if kill.victim != "job":
        client.kill()


def run_folder(root: Path) -> Path | None:
    return next(iter(root.glob("runs/*")), None)


def iterations(root: Path) -> int:
    folder = run_folder(root)
    events = EventReader(folder, from_start=True).read() if folder else []
    return max((int(event.fields["n"]) for event in events if event.kind == "iteration"), default=0)


def torn(root: Path) -> bool:
    """Whether a checkpoint lies there whose end is missing."""
    files = list(root.glob("runs/*/train/iter_*.pth"))
    return any(path.stat().st_size and not zipfile.is_zipfile(path) for path in files)


def is_being_written(root: Path, iteration: int) -> bool:
    """Whether that checkpoint, or a later one, has bytes and no end yet."""
    for path in root.glob("runs/*/train/iter_*.pth"):
        number = int(re.sub(r"\D", "", path.name) or 0)
        if number >= iteration and path.stat().st_size and not zipfile.is_zipfile(path):
            return True
    return False


def wait_until(is_time: Callable[[], bool], client: subprocess.Popen[str], pause: float) -> None:
    deadline = time.monotonic() + PATIENCE
    while client.poll() is None and time.monotonic() < deadline:
        try:
            if is_time():
                return
        except FileNotFoundError:  # it was removed between two looks
            pass
        time.sleep(pause)


def hit(kill: Kill, client: subprocess.Popen[str], root: Path, seconds: float) -> None:
    """Wait for the moment, strike, and see what moment it was. ``seconds``: of a calm run."""
    victims = list[int]()
    if kill.moment == "anywhere":
        until = time.monotonic() + kill.at * seconds
        wait_until(lambda: time.monotonic() >= until, client, 0.01)
    elif kill.moment == "training":
        wait_until(lambda: iterations(root) >= kill.at, client, 0.005)
    else:
        wait_until(lambda: iterations(root) >= kill.at - EVERY, client, 0.005)
        victims = jobs(root)  # found before: the writing takes some milliseconds
        wait_until(lambda: caught(root, int(kill.at), victims), client, 0)
    strike(kill, victims or jobs(root), client)
    done = iterations(root)
    wait_for_end(kill, root, client)
    if kill.victim != "client" and torn(root):
        kill.seen = "checkpoint"
    elif 0 < done < ITERATIONS:
        kill.seen = "training"
    else:
        kill.seen = "before training" if done == 0 else "after training"


def wait_for_end(kill: Kill, root: Path, client: subprocess.Popen[str]) -> None:
    """A client whose job is dead says so; a job whose client is dead goes on for a while."""
    client.communicate(timeout=PATIENCE)
    deadline = time.monotonic() + 10
    while kill.victim == "both" and jobs(root) and time.monotonic() < deadline:
        time.sleep(0.02)
