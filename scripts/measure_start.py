"""How long until training starts: the kit's step beside plain XTuner, in turn, in one image.

    .venv/bin/python scripts/measure_start.py [--times 5]

Both train the same rendered config of the recipe `tiny` (with a log line for every iteration) in
the same hardened container. Measured from the `docker run` line to XTuner's first `Iter(train)`
line, and for the kit also what `invoke train` takes beyond the step. Needs a Docker Engine and the
image; prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml

from llavakit import recipe as recipes
from llavakit import record
from llavakit.engines import docker as docker_engine
from llavakit.host import environment, plan, settings
from llavakit.host.console import Screen
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import KIT
from llavakit.workspace import Workspace

FIRST = "Iter(train)"
PLAIN = """
import sys
from xtuner.entry_point import cli
sys.argv = ["xtuner", "train", {config!r}, "--work-dir", {work_dir!r}]
cli()
"""
OVERRIDE = "train.log_every=1"


def prepared(root: Path) -> Pipeline:
    """A workspace with weights, data and a rendered config, by one whole training."""
    configured = yaml.safe_load((KIT / "invoke.yaml").read_text())["llavakit"]
    merged = settings.resolve(configured, {"workspace": str(root), "engine": "docker"})
    recipe = recipes.load(merged.recipe_path(), [OVERRIDE])
    made = plan.make(recipe, kit=KIT, lock_sha256=environment.lock_sha256())
    screen = Screen()
    open_engine = partial(environment.open_engine, merged, screen)
    pipeline = Pipeline(merged, screen, made, Workspace(root), open_engine)
    pipeline.bring_up_to_date(["train"])
    return pipeline


def seconds_to_first(line: str) -> float:
    """Run a shell line to its end; seconds until its output has the first iteration."""
    started = time.monotonic()
    with subprocess.Popen(
        ["bash", "-euc", line], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        seen = [time.monotonic() for text in process.stdout or () if FIRST in text]
    if not seen:
        raise SystemExit(f"no iteration was seen: {line}")
    return seen[0] - started


def whole(words: list[str], **env: str) -> float:
    started = time.monotonic()
    subprocess.run(words, cwd=KIT, env={**os.environ, **env}, check=True, capture_output=True)
    return time.monotonic() - started


def measure(pipeline: Pipeline, times: int) -> dict[str, list[float]]:
    engine = docker_engine.for_commands(pipeline.settings.image_tag)
    job = pipeline.job(pipeline.plan.stage("train"))
    train = pipeline.run_dir / "train"
    kept = pipeline.workspace.cache / "config.py"
    shutil.copy(train / "config.py", kept)
    code = PLAIN.format(config="cache/config.py", work_dir="cache/plain")
    plain = engine.command(replace(job, argv=("-c", code)))
    kit = engine.command(job)
    invoke = [str(Path(sys.executable).with_name("invoke")), "train", "--set", OVERRIDE,
              "--engine", "docker", "--workspace", str(pipeline.workspace.root)]  # fmt: skip
    found: dict[str, list[float]] = {name: [] for name in ("plain", "kit", "step", "invoke")}
    for _ in range(times):
        shutil.rmtree(pipeline.workspace.cache / "plain", ignore_errors=True)
        found["plain"].append(seconds_to_first(plain))
        shutil.rmtree(train)
        found["kit"].append(seconds_to_first(kit))
        shutil.rmtree(train)
        found["step"].append(whole(["bash", "-euc", kit]))
        shutil.rmtree(train)
        found["invoke"].append(whole(invoke))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        pipeline = prepared(Path(folder) / "w")
        found = measure(pipeline, times)
    medians = {name: round(statistics.median(values), 1) for name, values in found.items()}
    body = {
        "date": record.now(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "seconds": {name: [round(value, 1) for value in values] for name, values in found.items()},
        "medians": medians,
        "to first iteration, kit / plain": round(medians["kit"] / medians["plain"], 2),
        "what invoke adds": round(medians["invoke"] - medians["step"], 1),
    }
    sys.stdout.write(json.dumps(body, indent=2) + "\n")


if __name__ == "__main__":
    main()
