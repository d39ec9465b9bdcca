"""Plan and render one training: ``python -m llavakit.steps.bench.render``.

A process of its own: planning asks CUDA what the GPU can do, and the one that watches must not hold
any of it. ``--warm`` reads what all trainings read, so that the first finds it no colder.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from llavakit import recipe as recipes
from llavakit.locks import write_atomic, write_json
from llavakit.recipe import Recipe
from llavakit.steps import common, device, plan
from llavakit.steps.bench import toolkit
from llavakit.training import Checkpoints

CONFIG, DEEPSPEED, PLANNED = "config.py", "deepspeed.json", "planned.json"
RECIPE = "recipe.json"
TOOLKIT = "cuda"
NEVER = 10**9


def measurable(recipe: Recipe) -> Recipe:
    """``recipe`` with a log line for every iteration, and no checkpoint but the last."""
    more = {"log_every": 1, "checkpoints": Checkpoints(every=NEVER, keep=1)}
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=more)})


def plain(recipe: Recipe) -> Recipe:
    """``recipe`` as XTuner alone trains it: a memory profile stands in the place of ZeRO-2."""
    if recipe.train.memory is None:
        return recipe
    more = {"memory": None, "deepspeed": "zero2"}
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=more)})


def render(recipe: Recipe, args: argparse.Namespace) -> None:
    """Write the recipe, XTuner's config, DeepSpeed's, and how many iterations are planned.

    For plain XTuner on a GPU also what it needs of a CUDA toolkit.
    """
    machine = plan.Machine(device.has_gpu(), 1, device.has_bf16())
    recipe = measurable(plain(recipe) if args.kind == "plain" else recipe)
    planned = plan.make(recipe, args.weights, args.data, machine)
    write_json(args.out / RECIPE, recipe.resolved())
    write_atomic(args.out / CONFIG, plan.render(planned))
    if planned.deepspeed:
        write_json(args.out / DEEPSPEED, planned.deepspeed)
    if args.kind == "plain" and machine.gpu:
        toolkit.stand_in(args.out / TOOLKIT)
    notes = [note.to_json() for note in planned.notes]
    write_json(args.out / PLANNED, {"iterations": planned.iterations, "notes": notes})


def warm(folder: Path) -> None:
    """Bring weights and packages into the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass
    device.prepare()
    importlib.import_module("xtuner.tools.train")


def main() -> int:
    """Exit status 0, or a last line that says what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("recipe", "weights", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--kind", choices=("kit", "plain"), required=True)
    parser.add_argument("--warm", action="store_true")
    args = parser.parse_args()
    try:
        render(recipes.load(args.recipe), args)
        if args.warm:
            warm(args.weights)
    except Exception as error:
        return common.say_last(common.translate(error, "bench", args.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
