"""Five seeds of the recipe `tiny` in both engines: scores, and that a seed decides everything.

    .venv/bin/python scripts/check_seeds.py [--seeds 5] [--engines docker,local]

Each run has a workspace of its own. Prints one JSON document: the mean ROUGE-L before, after and
with the next picture shown, and a hash over the losses and over the trained weights, which are
equal for one seed whatever the engine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from llavakit import record
from llavakit.host.settings import KIT
from llavakit.locks import digest

INVOKE = Path(sys.executable).with_name("invoke")


def invoke(*words: str) -> Any:
    """The JSON that a task prints; its progress goes to standard error."""
    done = subprocess.run([INVOKE, *words, "--json"], cwd=KIT, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def run(seed: int, engine: str, workspace: str) -> dict[str, Any]:
    words = ("--set", f"seed={seed}", "--engine", engine, "--workspace", workspace)
    started = time.monotonic()
    means = invoke("demo", *words)["means"]
    seconds = time.monotonic() - started
    results = invoke("convert", *words)["results"]
    return {
        "seed": seed,
        "engine": engine,
        "seconds": round(seconds, 1),
        **{name: round(scores["rouge_l"], 3) for name, scores in means.items()},
        "losses": digest(results["losses"])[:16],
        "weights": digest(results["artefacts"]["convert"])[:16],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--engines", default="docker,local")
    args = parser.parse_args()
    os.environ.setdefault(
        "INVOKE_LLAVAKIT_ENVIRONMENTS", str(KIT / "workspace" / "cache" / "environments")
    )
    rows = []
    for seed in range(args.seeds):
        for engine in args.engines.split(","):
            with tempfile.TemporaryDirectory() as folder:
                rows.append(run(seed, engine, folder))
    same = all(
        len({(row["losses"], row["weights"]) for row in rows if row["seed"] == seed}) == 1
        for seed in range(args.seeds)
    )
    body = {"date": record.now(), "rows": rows, "a seed decides losses and weights": same}
    sys.stdout.write(json.dumps(body, indent=2) + "\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
