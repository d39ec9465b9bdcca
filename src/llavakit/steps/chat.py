"""The chat step: a conversation of several turns over one picture, one JSON object a line.

It says ``{"ready": true}`` when the model is loaded, then answers every ``{"question": TEXT}`` from
standard input with ``{"answer": TEXT}``, or with an empty answer and ``"refused": WHY`` where a
line holds no question, until the input ends. With ``--question TEXT`` it answers that one and ends.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from llavakit import recipe as recipes
from llavakit.errors import ConfigurationError
from llavakit.recipe import Recipe
from llavakit.steps import common, llava

if TYPE_CHECKING:
    from PIL.Image import Image

Answer = Callable[[str, llava.Turns], str]


def converse(
    questions: Iterable[str], answer: Answer, say: Callable[[dict[str, Any]], None]
) -> None:
    """Answer each question in the light of those before it."""
    turns: llava.Turns = []
    for question in questions:
        reply = answer(question, turns)
        turns.append((question, reply))
        say({"answer": reply})


def questions(lines: Iterable[str], refuse: Callable[[dict[str, Any]], None]) -> Iterator[str]:
    """The questions in JSON lines; what is none is refused and the conversation goes on."""
    for line in lines:
        if not line.strip():
            continue
        try:
            text = json.loads(line)["question"].strip()
        except (ValueError, TypeError, KeyError, AttributeError):
            text = ""
        if text:
            yield text
        else:
            refuse({"answer": "", "refused": 'not a line of the form {"question": TEXT}'})


def picture(path: Path) -> Image:
    """The picture at ``path``. Raises ConfigurationError ``not-an-image``."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigurationError("not-an-image", path=path, why=str(error)) from None


def talk(args: argparse.Namespace, recipe: Recipe, out: TextIO) -> None:
    """Load the model, then talk on ``out``."""
    image = picture(args.image)
    how = recipe.ask.quantization
    model = llava.load(recipe, args.weights, args.tuned, quantization=how)
    features = model.look(image)
    most = recipe.ask.max_new_tokens

    def say(message: dict[str, Any]) -> None:
        out.write(json.dumps(message, ensure_ascii=False) + "\n")
        out.flush()

    def answer(question: str, turns: llava.Turns) -> str:
        return model.answer(features, question, turns, most)

    say({"ready": True})
    asked = [args.question] if args.question else questions(sys.stdin, say)
    converse(asked, answer, say)


@contextlib.contextmanager
def lines_only() -> Iterator[TextIO]:
    """Keep standard output for our lines: what libraries print there goes to standard error."""
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(real, "w", encoding="utf-8", closefd=False) as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


def main() -> int:
    """Run the step and return its exit status; it belongs to no run and writes no file."""
    parser = argparse.ArgumentParser(prog="python -m llavakit.steps.chat")
    parser.add_argument("--recipe", type=Path, required=True, help="the resolved recipe, as JSON")
    parser.add_argument("--weights", type=Path, required=True, help="the folder models/NAME")
    parser.add_argument("--tuned", type=Path, required=True, help="what convert made")
    parser.add_argument("--image", type=Path, required=True, help="the picture to talk about")
    parser.add_argument("--question", help="answer this one and end")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, common.stop)
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        with lines_only() as out:
            talk(args, recipes.load(args.recipe), out)
    except BrokenPipeError:
        return 0  # whoever asked has left
    except (Exception, KeyboardInterrupt) as error:
        return common.say_last(common.translate(error, "chat", args.recipe.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
