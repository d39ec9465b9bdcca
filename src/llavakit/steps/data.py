"""The data step: validate the conversations, repeat them, keep what is trained on in one folder.

``data/NAME`` then holds

* ``conversations.json``: the items repeated N times in order, byte for byte what the tutorial's
  repeat.py writes (``json.dump(items, file, ensure_ascii=False, indent=4)``);
* ``questions.json``: every (picture, question) once, with all the answers that the data has for it;
* ``pictures/``: the pictures, under the names that the items use.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from llavakit.errors import DataError
from llavakit.locks import write_json
from llavakit.recipe import Data
from llavakit.steps import common, conversations, outputs
from llavakit.steps.common import Job
from llavakit.steps.conversations import Conversation

CONVERSATIONS = "conversations.json"
QUESTIONS = "questions.json"
PICTURES = "pictures"


def repeated_text(items: list[dict[str, Any]], times: int) -> str:
    """The text of ``conversations.json``."""
    return json.dumps(items * times, ensure_ascii=False, indent=4)


def questions(items: list[Conversation], pictures: list[str]) -> dict[str, Any]:
    """The content of ``questions.json``: pictures in order, and their questions in order.

    ``opens`` is true for a question that begins a conversation.
    """
    table: dict[tuple[str, str], dict[str, Any]] = {}
    for item in items:
        for turn, (question, answer) in enumerate(item.pairs()):
            row = table.setdefault(
                (item.image, question),
                {"image": item.image, "question": question, "opens": False, "references": []},
            )
            row["opens"] = row["opens"] or turn == 0
            if answer not in row["references"]:
                row["references"].append(answer)
    return {"version": 1, "pictures": pictures, "questions": list(table.values())}


def make(job: Job) -> None:
    """Make ``--out`` from ``--source``. Raises DataError for anything wrong with the data."""
    source: Path = job.args.source
    wanted = job.recipe.data
    raw, items = conversations.read(source, wanted.file)
    pictures = conversations.check_pictures(source, items)
    samples = len(raw) * wanted.repeat
    with outputs.folder(job.args.out, job, samples=samples, pictures=len(pictures)) as folder:
        for done, name in enumerate(pictures, start=1):
            target = folder / PICTURES / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target)
            job.events.emit("progress", done=done, total=len(pictures), unit="pictures")
        text = repeated_text(raw, wanted.repeat)
        _check_repeated(text, wanted)
        (folder / CONVERSATIONS).write_text(text, encoding="utf-8")
        write_json(folder / QUESTIONS, questions(items, pictures))
    job.events.note("note.samples", samples=samples, pictures=len(pictures))


def _check_repeated(text: str, data: Data) -> None:
    """Whether the repeated file has the bytes that the recipe's author got."""
    known = data.repeated
    if known is None or known.times != data.repeat:
        return
    found = hashlib.sha256(text.encode("utf-8")).hexdigest()
    if found != known.sha256:
        raise DataError(
            "other-repetition",
            file=data.file, times=known.times, found=found[:12], wanted=known.sha256[:12],
        )  # fmt: skip


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", type=Path, required=True, help="the folder of the data")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")


if __name__ == "__main__":
    sys.exit(common.run("data", make, _arguments))
