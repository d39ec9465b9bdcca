"""SIGKILL runs of the recipe `tiny` again and again; called once more, each must end as if not.

    .venv/bin/python scripts/check_kills.py [--kills 50] [--seed 0] [--engine docker]

Each kill has a workspace of its own. Half of them come inside `invoke train`'s training, a fifth
inside the writing of a checkpoint (a file that lacks its end is what proves it), the rest at any
moment of `invoke convert` in an empty workspace; the victim is the client, the job, or both. Then
the same command is called again. It must succeed with the planned number of iterations, with the
losses and weights (bit by bit) and the files of a run that nobody disturbed, and leave no
container, process, or note of a job. Prints a line a kill, a histogram, and exits 1 if any kill
was survived badly, or if too few came inside training (40 %) and writing (10 %).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llavakit.events import EventReader
from llavakit.host.settings import KIT

INVOKE = Path(sys.executable).with_name("invoke")
ITERATIONS, EVERY = 24, 3
SHORT = ("--set", f"data.repeat={ITERATIONS}", "--set", f"train.checkpoints.every={EVERY}")
VICTIMS = ("client", "job", "both")
PATIENCE = 240.0
PASSING = re.compile(r"(^|/)(\.lock|\.lock-owner|\.busy|\.writable|logs/.*)$|train/\d{8}_\d{6}/")
"""Locks, and logs that grow with every call: XTuner's have the time in their folder's name."""


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


@dataclass
class Calm:
    """A run that nobody disturbed."""

    seconds: float
    outcome: dict[str, Any]
    files: set[str]


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


def command(task: str, engine: str, root: Path) -> list[str]:
    words = [task, *SHORT, "--engine", engine, "--workspace", str(root), "--json"]
    return [str(INVOKE), *words, *(["--gpus", "none"] if task in ("train", "convert") else [])]


def begin(argv: list[str]) -> subprocess.Popen[str]:
    env = {**os.environ, "LANG": "C.UTF-8"}
    return subprocess.Popen(
        argv, cwd=KIT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(argv: list[str]) -> dict[str, Any]:
    """Run it to its end; what it says of the training. Raises RuntimeError when it fails."""
    client = begin(argv)
    out, err = client.communicate(timeout=PATIENCE)
    if client.returncode:
        raise RuntimeError(f"exit status {client.returncode}: {err[-800:]}")
    found = json.loads(out)["results"]
    if "train" not in found["artefacts"]:
        return {}
    trained = {
        name.rpartition("/")[2]: sha256
        for name, sha256 in found["artefacts"]["train"].items()
        if name.endswith(("_weights.pth", "history.json"))
    }
    return {"iterations": found["iterations"], "losses": found["losses"], "files": trained}


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


def hit(kill: Kill, engine: str, root: Path, calm: Calm) -> None:
    """Begin, wait for the moment, strike, and see what moment it was."""
    client, victims = begin(command(kill.task, engine, root)), list[int]()
    if kill.moment == "anywhere":
        until = time.monotonic() + kill.at * calm.seconds
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


def leftovers(root: Path, engine: str) -> list[str]:
    found = [f"process {pid}" for pid in jobs(root)]
    found += [str(path.relative_to(root)) for path in root.glob("cache/jobs/*")]
    if engine == "docker":
        asked = ["docker", "ps", "--all", "--quiet", "--filter", f"volume={root}"]
        found += subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    return found


def files(root: Path) -> set[str]:
    every = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return {name for name in every if not PASSING.search(name)}


def judge(kill: Kill, engine: str, root: Path, calm: Calm) -> list[str]:
    """Call the same again, and the rest of a whole run; what is not as it should be."""
    try:
        outcome = finish(command(kill.task, engine, root))
    except (RuntimeError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
        return [f"{type(error).__name__}: {error}"]
    found = [f"{key} differ" for key, value in calm.outcome.items() if outcome[key] != value]
    here = files(root)
    found += [f"left: {name}" for name in sorted(here - calm.files)]
    found += [f"missing: {name}" for name in sorted(calm.files - here)]
    return found + leftovers(root, engine)


def undisturbed(task: str, engine: str, root: Path) -> Calm:
    began = time.monotonic()
    outcome = finish(command(task, engine, root))
    return Calm(time.monotonic() - began, outcome, files(root))


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("docker", "local"), default="docker")
    args = parser.parse_args()
    os.environ.setdefault(
        "INVOKE_LLAVAKIT_ENVIRONMENTS", str(KIT / "workspace" / "cache" / "environments")
    )
    kills, bad, began = plan(args.kills, args.seed), 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        inputs = make(Path(folder) / "inputs", None)
        for task in ("models", "data"):
            finish(command(task, args.engine, inputs))
        below = {"train": inputs, "convert": None}
        calm = {task: undisturbed(task, args.engine, make(Path(folder) / task, made))
                for task, made in below.items()}  # fmt: skip
        for task, one in calm.items():
            tell(f"{task}: {one.seconds:.1f} s undisturbed, {one.outcome['iterations']} iterations")
        for number, kill in enumerate(kills, start=1):
            root = make(Path(folder) / str(number), below[kill.task])
            hit(kill, args.engine, root, calm[kill.task])
            faults = judge(kill, args.engine, root, calm[kill.task])
            bad += bool(faults)
            what = f"{number:3} {kill.victim:6} {kill.moment:10} {kill.at:5.2f} -> {kill.seen}"
            tell(f"{what}: {'; '.join(faults) or 'ended as if undisturbed'}")
            shutil.rmtree(root)
    tell(f"{args.engine}, seed {args.seed}: {len(kills) - bad} of {len(kills)} ended as if "
         f"undisturbed, in {(time.monotonic() - began) / 60:.1f} min")  # fmt: skip
    for (seen, victim), count in sorted(Counter((k.seen, k.victim) for k in kills).items()):
        tell(f"  {seen:16} {victim:7} {'#' * count} {count}")
    seen = Counter(kill.seen for kill in kills)
    few = seen["training"] < 0.4 * len(kills) or seen["checkpoint"] < 0.1 * len(kills)
    if few:
        tell("too few of them came inside training, or inside the writing of a checkpoint")
    return 1 if bad or few else 0


def make(root: Path, inputs: Path | None) -> Path:
    """A workspace, with weights and data where they are made already."""
    if inputs is None:
        root.mkdir()
    else:
        shutil.copytree(inputs, root, symlinks=True)
    return root


if __name__ == "__main__":
    sys.exit(main())
