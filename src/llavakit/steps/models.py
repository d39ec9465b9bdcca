"""The models step: the language model, the vision tower and the projector, in one folder.

``models/NAME`` then holds ``llm/`` and ``vision/`` as Hugging Face writes them, and
``projector.pth`` in the form of XTuner's pretraining. Each part has a ``source`` in the recipe; a
source is one function in :data:`LLM_SOURCES`, :data:`VISION_SOURCES` or :data:`PROJECTOR_SOURCES`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from llavakit.steps import common, conversations, drawn, outputs, weights
from llavakit.steps.common import Job

Source = Callable[[Job, Path], None]
"""Makes one part inside the folder it is given."""


def _drawn_llm(job: Job, folder: Path) -> None:
    spec = job.recipe.weights.llm
    drawn.make_llm(spec, job.recipe.seed, _texts(job), folder / weights.LLM)


def _drawn_vision(job: Job, folder: Path) -> None:
    drawn.make_vision(job.recipe.weights.vision, job.recipe.seed, folder / weights.VISION)


def _drawn_projector(job: Job, folder: Path) -> None:
    llm, vision = weights.sizes(folder)
    spec = job.recipe.weights.projector
    drawn.make_projector(spec, job.recipe.seed, vision, llm, folder / weights.PROJECTOR)


LLM_SOURCES: dict[str, Source] = {"drawn": _drawn_llm}
VISION_SOURCES: dict[str, Source] = {"drawn": _drawn_vision}
PROJECTOR_SOURCES: dict[str, Source] = {"drawn": _drawn_projector}


def make(job: Job) -> None:
    """Make ``--out``. Raises WeightsError, and DataError for text that no tokenizer can be
    trained on.
    """
    wanted = job.recipe.weights
    parts = (
        ("language model", LLM_SOURCES[wanted.llm.source]),
        ("vision tower", VISION_SOURCES[wanted.vision.source]),
        ("projector", PROJECTOR_SOURCES[wanted.projector.source]),
    )
    sources = {
        "llm": wanted.llm.source,
        "vision": wanted.vision.source,
        "projector": wanted.projector.source,
    }
    with outputs.folder(job.args.out, job, sources=sources) as folder:
        for done, (name, source) in enumerate(parts, start=1):
            source(job, folder)
            job.events.emit("progress", done=done, total=len(parts), unit="parts", item=name)
        weights.check_projector(folder)


def _texts(job: Job) -> list[str]:
    """All that is said in the data, for the tokenizer."""
    _, items = conversations.read(job.args.text, job.recipe.data.file)
    return [turn.value for item in items for turn in item.conversations]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--text", type=Path, required=True, help="the folder of the data")


if __name__ == "__main__":
    sys.exit(common.run("models", make, _arguments))
