"""The ask step: greedy answers of one model to the recipe's questions.

The file it writes: ``{"version": 1, "answers": [{"image", "question", "references", "answer",
"swapped_image"?, "swapped_answer"?}]}``. A swapped answer is that to the same question about the
next picture: where it is as good as the right one, the picture was not looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from llavakit.errors import DataError
from llavakit.recipe import Ask
from llavakit.steps import common, machine, outputs
from llavakit.steps.common import Job
from llavakit.steps.data import PICTURES, QUESTIONS

Row = dict[str, Any]


def rows(ask: Ask, table: dict[str, Any]) -> list[Row]:
    """What to ask: image, question, references and, where wanted and possible, another image.

    ``table`` is questions.json. With given questions each is asked about every picture; its
    references are the answers that the data has for that pair, perhaps none.
    """
    pictures: list[str] = table["pictures"]
    known = {(row["image"], row["question"]): row for row in table["questions"]}
    if ask.questions == "data":
        pairs = [pair for pair, row in known.items() if row["opens"]]
    else:
        pairs = [(image, question) for image in pictures for question in ask.questions]
    result: list[Row] = []
    for image, question in pairs:
        references = known.get((image, question), {"references": []})["references"]
        row: Row = {"image": image, "question": question, "references": references}
        if ask.swapped and len(pictures) > 1:
            row["swapped_image"] = pictures[(pictures.index(image) + 1) % len(pictures)]
        result.append(row)
    return result


def make(job: Job) -> None:
    """Write ``--out``. Raises WeightsError and DataError ``no-file``."""
    table = table_of(job.args.data)
    asked = rows(job.recipe.ask, table)
    from PIL import Image

    from llavakit.steps import llava

    how = job.recipe.ask.quantization
    model = llava.load(job.recipe, job.args.weights, job.args.tuned, quantization=how)
    job.events.emit("machine", **machine.describe())
    features = {}
    for name in table["pictures"]:
        with Image.open(job.args.data / PICTURES / name) as picture:
            features[name] = model.look(picture)
    most = job.recipe.ask.max_new_tokens
    for done, row in enumerate(asked, start=1):
        row["answer"] = model.answer(features[row["image"]], row["question"], [], most)
        if other := row.get("swapped_image"):
            row["swapped_answer"] = model.answer(features[other], row["question"], [], most)
        job.events.emit("progress", done=done, total=len(asked), unit="questions")
    outputs.file(job.args.out, {"version": 1, "answers": asked}, job)


def table_of(data: Path) -> dict[str, Any]:
    """The content of questions.json. Raises DataError ``no-file``."""
    try:
        table = json.loads((data / QUESTIONS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no-file", file=QUESTIONS) from None
    return dict(table)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="the folder models/NAME")
    parser.add_argument("--data", type=Path, required=True, help="the folder data/NAME")
    parser.add_argument("--tuned", type=Path, required=True, help="what convert made")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")


if __name__ == "__main__":
    sys.exit(common.run("ask", make, _arguments))
