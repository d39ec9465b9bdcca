"""The grade step: one model kept warm, the submissions' adapters swapped into it, their answers.

It says ``{"ready": true}``, then for every line ``{"submission": SHA256}`` on standard input it
answers all questions with the clean adapters in ``--clean``/SHA256, adds a line to ``--out`` (see
:class:`llavakit.submission.Answered`) and says ``{"done": SHA256}``. References are not here.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from llavakit import recipe as recipes
from llavakit.recipe import Recipe
from llavakit.steps import adapters, chat, common, device, likeness, llava, machine
from llavakit.submission import Answered, Questions

if TYPE_CHECKING:
    from PIL.Image import Image

ADAPTERS = (adapters.LLM_ADAPTER, adapters.VISION_ADAPTER)
MOST_TEXT = 20_000


class Warm:
    """The base model, loaded with the first submission, that wears one submission at a time."""

    def __init__(self, recipe: Recipe, models: Path) -> None:
        self._recipe = recipe
        self._models = models
        self._model: llava.LLaVA | None = None

    def wear(self, folder: Path) -> tuple[llava.LLaVA, list[float]]:
        """The model with the adapters and the projector of ``folder``, and their likeness.

        Every number that a submission brings takes the place of the one before it. Raises
        WeightsError.
        """
        if self._model is None:
            how = self._recipe.ask.quantization
            self._model = llava.load(self._recipe, self._models, folder, quantization=how)
        model = self._model
        lora: dict[str, Any] = {}
        for part, wrapped in zip(ADAPTERS, (model.llm, model.vision), strict=True):
            tensors = adapters.tensors_of(folder / part / "adapter_model.safetensors")
            adapters.fill(wrapped, tensors, folder / part)
            lora |= {f"{part}.{name}": tensor for name, tensor in tensors.items()}
        projector = adapters.tensors_of(folder / adapters.PROJECTOR / "model.safetensors")
        model.projector.load_state_dict(projector, strict=True)
        return model, likeness.sketch(lora)


def answer(model: llava.LLaVA, questions: Questions, pictures: dict[str, Image]) -> list[str]:
    """All answers in the order of the questions, each picture looked at once."""
    features = {name: model.look(image) for name, image in pictures.items()}
    most = questions.max_new_tokens
    return [
        model.answer(features[each.picture], each.question, [], most)[:MOST_TEXT]
        for each in questions.asked
    ]


def serve(args: argparse.Namespace, lines: Iterable[str], out: TextIO) -> None:
    """Answer for every submission that a line names, until the input ends."""
    recipe = recipes.load(args.recipe)
    questions = Questions.model_validate_json(args.questions.read_bytes())
    pictures = {each.picture: chat.picture(args.pictures / each.picture)
                for each in questions.asked}  # fmt: skip
    warm = Warm(recipe, args.weights)
    _say(out, {"ready": True})
    for line in lines:
        name = str(json.loads(line)["submission"])
        if not re.fullmatch(r"[0-9a-f]{64}", name):
            raise ValueError("not a submission's name")
        began = time.monotonic()
        model, likeness_ = warm.wear(args.clean / name)
        found = Answered(
            submission=name,
            answers=tuple(answer(model, questions, pictures)),
            sketch=tuple(likeness_),
            seconds=round(time.monotonic() - began, 3),
            machine=machine.describe(),
        )
        with args.out.open("a", encoding="utf-8") as results:
            results.write(found.model_dump_json() + "\n")
        _say(out, {"done": name})


def _say(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


def main() -> int:
    """Run the step and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m llavakit.steps.grade")
    parser.add_argument("--recipe", type=Path, required=True, help="the resolved recipe, as JSON")
    parser.add_argument("--weights", type=Path, required=True, help="the folder models/NAME")
    parser.add_argument("--questions", type=Path, required=True, help="what to ask, as JSON")
    parser.add_argument("--pictures", type=Path, required=True, help="the folder of the pictures")
    parser.add_argument("--clean", type=Path, required=True, help="what sanitize wrote")
    parser.add_argument("--out", type=Path, required=True, help="the file to add results to")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, common.stop)
    device.prepare()
    if device.has_gpu():
        device.compute_deterministically()
    try:
        with chat.lines_only() as out:
            serve(args, sys.stdin, out)
    except BrokenPipeError:
        return 0
    except (Exception, KeyboardInterrupt) as error:
        return common.say_last(common.translate(error, "grade", args.recipe.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
