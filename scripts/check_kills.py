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
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from killing.moments import hit, plan
from killing.runs import begin, command, finish, judge, undisturbed

from llavakit.host.settings import KIT


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
            client = begin(command(kill.task, args.engine, root))
            hit(kill, client, root, calm[kill.task].seconds)
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
