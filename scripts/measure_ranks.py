#!/usr/bin/env python3
"""How time and memory a rank grow with the ranks on a CPU, and what their sums differ in.

    PYTHONPATH=src ENVIRONMENT/bin/python scripts/measure_ranks.py [--most 4] [--folder FOLDER]

Trains `tiny` by ZeRO-2 with three samples a rank, 40 iterations each, then one rank with the six
samples of two in one batch, and prints two tables in Markdown. ENVIRONMENT is the local engine's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from llavakit import recipe
from llavakit.locks import write_json

KIT = Path(__file__).resolve().parents[1]
BATCH, ITERATIONS, SAMPLES = 3, 40, 6
KEPT = ("--key", "0a1b")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=4, help="the most ranks")
    parser.add_argument("--folder", type=Path, help="where to work; without it a temporary one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        runs = {ranks: measure(Path(name), ranks, BATCH) for ranks in range(1, args.most + 1)}
        big = measure(Path(name), 1, 2 * BATCH)
    lines = [
        "| ranks | s an iteration | samples/s | resident memory a rank, MiB |",
        "|---|---|---|---|",
    ]
    for ranks, run in runs.items():
        rate = BATCH * ranks / run["seconds"]
        memory = " ".join(str(each) for each in run["memory"])
        lines.append(f"| {ranks} | {run['seconds']:.3f} | {rate:.1f} | {memory} |")
    lines += ["", "| iteration | two ranks | one batch of both | gap |", "|---|---|---|---|"]
    for n in (1, 3, 5, 10, 20, 40):
        two, one = runs[2]["losses"][n - 1], big["losses"][n - 1]
        lines.append(f"| {n} | {two:.6f} | {one:.6f} | {two - one:+.6f} |")
    sys.stdout.write("\n".join(lines) + "\n")


def measure(root: Path, ranks: int, batch: int) -> dict[str, Any]:
    """Train once: median seconds of an iteration, peaks by rank, losses."""
    root = root / f"{ranks}x{batch}"
    (root / "runs/r").mkdir(parents=True)
    (root / "inputs").mkdir()
    (root / "inputs/data").symlink_to(KIT / "data/sample")
    times = ranks * batch * ITERATIONS // SAMPLES
    values = ("train.deepspeed=zero2", f"train.ranks={ranks}", f"train.batch_size={batch}",
              f"data.repeat={times}", "train.checkpoints.every=1000")  # fmt: skip
    made = recipe.load(KIT / "configs/recipes/tiny.yaml", values)
    write_json(root / "runs/r/recipe.json", made.resolved())
    step(root, "models", "--out", "models/m", "--text", "inputs/data")
    step(root, "data", "--source", "inputs/data", "--out", "data/d")
    step(root, "train", "--weights", "models/m", "--data", "data/d")
    lines = (root / "runs/r/events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    at = [event["time"] for event in events if event["kind"] == "iteration"]
    told = [
        rank["usage"] for event in events if event["kind"] == "ranks" for rank in event["ranks"]
    ]
    told = told or [event for event in events if event["kind"] == "usage"][-1:]
    return {
        "seconds": statistics.median(b - a for a, b in pairwise(at[4:])),
        "memory": [usage["host_mib"] for usage in told],
        "losses": [event["loss"] for event in events if event["kind"] == "iteration"],
    }


def step(root: Path, name: str, *args: str) -> None:
    words = ["--recipe", "runs/r/recipe.json", "--run", "runs/r", *KEPT, *args]
    command = [sys.executable, "-m", f"llavakit.steps.{name}", *words]
    env = {**os.environ, "PYTHONPATH": str(KIT / "src"), "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, cwd=root, env=env, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip


if __name__ == "__main__":
    main()
