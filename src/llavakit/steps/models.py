"""The models step: the language model, the vision tower and the projector, in one folder.

``models/NAME`` then holds ``llm/`` and ``vision/`` as Hugging Face writes them, and
``projector.pth`` in the form of XTuner's pretraining. Each part has a ``source`` in the recipe; a
source is one function in :data:`LLM_SOURCES`, :data:`VISION_SOURCES` or :data:`PROJECTOR_SOURCES`.

This step has no network: what came from elsewhere lies in a folder that the fetch step filled, or
that the user named, and is looked at here before anything uses it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llavakit.errors import WeightsError
from llavakit.locks import StepLock, file_sha256
from llavakit.parts import DrawnLLM, DrawnProjector, DrawnVision, RandomLLM
from llavakit.steps import common, conversations, drawn, foreign, outputs, rehearsal, weights
from llavakit.steps.common import Job
from llavakit.steps.meter import DownloadMeter


@dataclass(frozen=True)
class Making:
    """Weights on their way: ``folder`` is filled now and stands at ``final`` in the end."""

    job: Job
    folder: Path
    final: Path
    linked: dict[str, str] = field(default_factory=dict)
    """sha256 by name of files that stay in a folder of the user's."""
    known: dict[Path, str] = field(default_factory=dict)
    """sha256 of files that the fetch step has hashed already."""

    def link(self, path: Path, target: Path) -> None:
        """Make ``target`` a relative link to ``path``, right once the folder is in its place."""
        place = self.final / target.relative_to(self.folder)
        target.symlink_to(os.path.relpath(path.absolute(), place.absolute().parent))


Source = Callable[[Making], None]
"""Makes one part inside the folder."""


def _drawn_llm(making: Making) -> None:
    recipe = making.job.recipe
    spec = _spec(recipe.weights.llm, DrawnLLM)
    drawn.make_llm(spec, recipe.seed, _texts(making.job), making.folder / weights.LLM)


def _random_llm(making: Making) -> None:
    """Its files are hashed as they are written: 16 GB are not read again."""
    job, folder = making.job, making.folder / weights.LLM
    spec = _spec(job.recipe.weights.llm, RandomLLM)
    meter = DownloadMeter(job.events, spec.bytes, "random language model")
    try:
        hashes = rehearsal.make_llm(spec, job.recipe.seed, _texts(job), folder, meter.add)
    finally:
        meter.close()
    making.known.update({folder / name: found for name, found in hashes.items()})


def _drawn_vision(making: Making) -> None:
    recipe = making.job.recipe
    spec = _spec(recipe.weights.vision, DrawnVision)
    drawn.make_vision(spec, recipe.seed, making.folder / weights.VISION)


def _drawn_projector(making: Making) -> None:
    recipe, folder = making.job.recipe, making.folder
    llm, vision = weights.sizes(folder)
    spec = _spec(recipe.weights.projector, DrawnProjector)
    drawn.make_projector(spec, recipe.seed, vision, llm, folder / weights.PROJECTOR)


def _fetched_llm(making: Making) -> None:
    _fetched(making, making.job.args.llm, weights.LLM, foreign.LLM_TYPES, lambda name: True)


def _fetched_vision(making: Making) -> None:
    _fetched(making, making.job.args.vision, weights.VISION, foreign.VISION_TYPES, _of_tower)


def _given_llm(making: Making) -> None:
    _given(making, making.job.args.llm, weights.LLM, foreign.LLM_TYPES, lambda name: True)


def _given_vision(making: Making) -> None:
    _given(making, making.job.args.vision, weights.VISION, foreign.VISION_TYPES, _of_tower)


def _foreign_projector(making: Making) -> None:
    """The same tensors in a file of our own: what else the original held stays behind."""
    import torch

    state = weights.tensors(making.job.args.projector)
    state = {name if name.startswith(weights.PREFIX) else weights.PREFIX + name: value
             for name, value in state.items()}  # fmt: skip
    ours = {name: value for name, value in state.items() if "projector.model." in name}
    torch.save({"state_dict": dict(sorted(ours.items()))}, making.folder / weights.PROJECTOR)


LLM_SOURCES: dict[str, Source] = {
    "drawn": _drawn_llm, "random": _random_llm, "remote": _fetched_llm, "path": _given_llm,
}  # fmt: skip
VISION_SOURCES: dict[str, Source] = {
    "drawn": _drawn_vision, "remote": _fetched_vision, "path": _given_vision,
}  # fmt: skip
PROJECTOR_SOURCES: dict[str, Source] = {
    "drawn": _drawn_projector, "remote": _foreign_projector, "path": _foreign_projector,
}  # fmt: skip


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
    linked: dict[str, str] = {}
    known: dict[Path, str] = {}
    facts = {"sources": sources, "linked": linked}
    with outputs.folder(job.args.out, job, known=known, **facts) as folder:
        making = Making(job, folder, job.args.out, linked, known)
        for done, (name, source) in enumerate(parts, start=1):
            source(making)
            job.events.emit("progress", done=done, total=len(parts), unit="parts", item=name)
        depth = weights.check_projector(folder, job.args.projector)
    shapes = weights.sizes(job.args.out)
    job.events.note("note.projector", depth=depth, vision=shapes.vision, llm=shapes.llm)


def _fetched(
    making: Making, source: Path, part: str, types: tuple[str, ...], keep: foreign.Keep
) -> None:
    """Link what was downloaded; its hashes are those of the fetch step's lock."""
    foreign.take_model(source, making.folder / part, types, keep=keep, put=making.link)
    for name, found in StepLock(source / outputs.LOCK).intact().items():
        making.known[making.folder / part / name] = found


def _given(
    making: Making, source: Path, part: str, types: tuple[str, ...], keep: foreign.Keep
) -> None:
    """Link the user's folder as a whole, or copy and convert where it holds pickles.

    What else lies in a linked folder (pickles beside safetensors, Python) is there to see and read
    by nobody: Transformers prefers the safetensors, and no config that is let in names a module.
    """
    if not foreign.is_safe(source):
        put = shutil.copyfile
        foreign.take_model(source, making.folder / part, types, keep=keep, put=put)
        return
    foreign.check_model(source, types)
    for path in foreign.taken(source):
        making.linked[f"{part}/{path.name}"] = file_sha256(path)
    making.link(source, making.folder / part)


def _of_tower(name: str) -> bool:
    """Of a whole CLIP only the image tower is used; its text tower is left behind."""
    return name.startswith(foreign.VISION_PREFIX)


def _spec(part: Any, kind: type[Any]) -> Any:
    """The recipe's part, whose ``source`` has chosen the function that asks for it."""
    if not isinstance(part, kind):
        raise WeightsError("missing", folder=kind.__name__)
    return part


def _texts(job: Job) -> list[str]:
    """All that is said in the data, for the tokenizer."""
    _, items = conversations.read(job.args.text, job.recipe.data.file)
    return [turn.value for item in items for turn in item.conversations]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--text", type=Path, help="the folder of the data, to draw a model")
    parser.add_argument("--llm", type=Path, help="a folder with the language model")
    parser.add_argument("--vision", type=Path, help="a folder with the vision tower")
    parser.add_argument("--projector", type=Path, help="the projector's file")


if __name__ == "__main__":
    sys.exit(common.run("models", make, _arguments))
