"""The fetch step: bring one artefact of the recipe from elsewhere, and check every byte of it.

The only step with a network. It looks at sizes and hashes and never inside a file: reading what
was fetched is for the models and data steps, which have no network.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llavakit.artefact import Artefact
from llavakit.recipe import Recipe
from llavakit.steps import common, downloads
from llavakit.steps.common import Job

PARTS = ("llm", "vision", "projector", "data")


def artefact(recipe: Recipe, part: str) -> Artefact:
    """The artefact that the recipe names for ``part``. Raises KeyError when it names none."""
    if part != "data":
        return recipe.weights.remote()[part]
    if recipe.data.download is None:
        raise KeyError(part)
    return recipe.data.download


def make(job: Job) -> None:
    """Bring ``--part`` into ``--out``. Raises SourceError ``none-left`` and WorkspaceError."""
    downloads.bring(artefact(job.recipe, job.args.part), job.args.out, job)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", choices=PARTS, required=True, help="which artefact")
    parser.add_argument("--out", type=Path, required=True, help="the folder to fill")


if __name__ == "__main__":
    sys.exit(common.run("fetch", make, _arguments))
