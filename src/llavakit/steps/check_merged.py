"""The check-merged step: is the merged model the one that was trained?

The recipe's questions of the comparison, the swapped ones too, are asked of the kit's own model
(base and adapters apart) and of the merged folder, as a stranger would with plain Transformers: see
:mod:`llavakit.steps.merged_use`. One after the other: two of 16 GB are never in memory together.

``--out``: ``{"version": 1, "transformers", "torch", "device", "dtype", "pixels", "logits",
"tolerance", "same_texts", "rows"}``; ``pixels`` and ``logits`` are the largest absolute differences
over all rows. A row has the picture, the question, whether the prompts' tokens are equal, its own
differences, and both texts.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llavakit.errors import StepError
from llavakit.locks import write_json
from llavakit.recipe import Recipe
from llavakit.steps import ask, common, outputs
from llavakit.steps.common import Job
from llavakit.steps.data import PICTURES
from llavakit.steps.device import has_gpu

if TYPE_CHECKING:
    from PIL.Image import Image

ROUNDING = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""The largest relative error of rounding one number."""
ROUNDINGS = 256
"""How many of these, of the merged model's own format, times the spread (standard deviation) of the
logits, they may differ by.

Merging rounds base + learned once, where apart each of the two products is rounded; in fp32 only
the order of the sums differs. Seen: 46 with the recipe `tiny` in fp32, 20 with 32 layers of random
weights in bf16. A wrong merge is far off: without what the vision tower learned, the logits of
`tiny` move by half their spread, 1100 roundings of fp16.
"""


@dataclass(frozen=True)
class Seen:
    """What one model makes of a picture and a question."""

    pixels: Any
    """fp32: [1, 3, side, side]."""
    ids: list[int]
    """The prompt's tokens; :data:`PICTURE` in the picture's place."""
    logits: Any
    """Of the answer's first token, fp32: [vocabulary]."""
    text: str
    added: tuple[int, ...] = ()
    """Tokens that the other model does not have."""


PICTURE = -1
Pair = tuple[str, str]
"""A picture's name and a question."""


def make(job: Job) -> None:
    """Write ``--out``. Raises StepError ``merged-differs``, WeightsError and DataError."""
    args, recipe = job.args, job.recipe
    pairs = asked(recipe, args.data)
    pictures = args.data / PICTURES
    total = 2 * len(pairs)
    seen: list[list[Seen]] = []
    for looks in (
        by_the_kit(recipe, args.weights, args.tuned, pictures, pairs),
        by_a_stranger(recipe, args.merged, pictures, pairs),
    ):
        seen.append([])
        for look in looks:
            seen[-1].append(look)
            done = sum(map(len, seen))
            job.events.emit("progress", done=done, total=total, unit="questions")
        forget()
    ours, theirs = seen
    result = compared(pairs, ours, theirs, recipe)
    wrong = problems(result)
    if wrong:
        write_json(args.out, result)  # to look at, and without a lock: it is no result
        raise StepError("merged-differs", what="; ".join(wrong), file=args.out)
    outputs.file(args.out, result, job)


def asked(recipe: Recipe, data: Path) -> list[Pair]:
    """Every picture with every question that the comparison asks about it, each once."""
    rows = ask.rows(recipe.ask, ask.table_of(data))
    pairs = [(row["image"], row["question"]) for row in rows]
    pairs += [(row["swapped_image"], row["question"]) for row in rows if "swapped_image" in row]
    return list(dict.fromkeys(pairs))


def by_the_kit(
    recipe: Recipe, models: Path, tuned: Path, pictures: Path, pairs: list[Pair]
) -> Iterator[Seen]:
    """As ``ask`` answers."""
    from llavakit.steps import llava

    model = llava.load(recipe, models, tuned)
    for name, question in pairs:
        picture = _opened(pictures / name)
        features = model.look(picture)
        before, after = model.prompt(question, [])
        yield Seen(
            pixels=model.pixels(picture),
            ids=[*before, PICTURE, *after],
            logits=model.first_logits(features, question),
            text=model.answer(features, question, [], recipe.ask.max_new_tokens),
        )


def by_a_stranger(
    recipe: Recipe, merged: Path, pictures: Path, pairs: list[Pair]
) -> Iterator[Seen]:
    """As the merged folder's README says."""
    import torch

    from llavakit.steps import merged_use

    place = {"device_map": {"": "cuda" if has_gpu() else "cpu"}}
    model, processor = merged_use.load(
        merged.as_posix(), **place, torch_dtype=getattr(torch, _dtype(recipe))
    )
    most = recipe.ask.max_new_tokens
    image, pad = model.config.image_token_index, model.config.pad_token_id
    for name, question in pairs:
        picture = _opened(pictures / name)
        given = merged_use.inputs(picture, question, model, processor)
        shown = merged_use.padded(picture, processor)
        with torch.inference_mode():
            logits = model(**given, use_cache=False).logits[0, -1].float().cpu()
            text = merged_use.answer(picture, question, model, processor, most)
        yield Seen(
            pixels=processor.image_processor(shown, return_tensors="pt")["pixel_values"],
            ids=[PICTURE if token == image else token for token in given["input_ids"][0].tolist()],
            logits=logits,
            text=text,
            added=(image, pad),
        )


def compared(
    pairs: list[Pair], ours: list[Seen], theirs: list[Seen], recipe: Recipe
) -> dict[str, Any]:
    """The content of ``--out``."""
    import torch
    import transformers

    rows = [_row(*each) for each in zip(pairs, ours, theirs, strict=True)]
    spread = min(float(one.logits.std()) for one in ours)
    return {
        "version": 1,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if has_gpu() else "cpu",
        "dtype": _dtype(recipe),
        "pixels": max(row["pixels"] for row in rows),
        "logits": max(row["logits"] for row in rows),
        "tolerance": ROUNDINGS * ROUNDING[recipe.train.llm_dtype] * spread,
        "spread": spread,
        "same_texts": all(row["same_text"] for row in rows),
        "rows": rows,
    }


def problems(result: dict[str, Any]) -> list[str]:
    """What is not as it must be. Texts are not among it: where two tokens are as likely, a rounding
    decides between them, and all that follows is different.
    """
    found = []
    if result["pixels"] != 0:
        found.append(f"pixel values differ by up to {result['pixels']:.3g}")
    prompts = sum(not row["same_prompt"] for row in result["rows"])
    if prompts:
        found.append(f"the token ids of {prompts} prompts differ")
    if result["logits"] > result["tolerance"]:
        found.append(
            f"the first token's logits differ by up to {result['logits']:.3g}, "
            f"more than roundings explain ({result['tolerance']:.3g})"
        )
    return found


def forget() -> None:
    """Give back the memory of a model that nobody holds any more."""
    import torch

    gc.collect()
    if has_gpu():
        torch.cuda.empty_cache()


def _row(pair: Pair, ours: Seen, theirs: Seen) -> dict[str, Any]:
    known = [token for token in range(len(ours.logits)) if token not in theirs.added]
    return {
        "image": pair[0],
        "question": pair[1],
        "same_prompt": ours.ids == theirs.ids,
        "pixels": _difference(ours.pixels, theirs.pixels),
        "logits": _difference(ours.logits[known], theirs.logits[known]),
        "same_text": ours.text == theirs.text,
        "kit": ours.text,
        "merged": theirs.text,
    }


def _difference(one: Any, other: Any) -> float:
    """The largest absolute difference; infinite where the shapes differ or one is no number."""
    if one.shape != other.shape:
        return math.inf
    largest = float((one - other).abs().max())
    return math.inf if math.isnan(largest) else largest


def _dtype(recipe: Recipe) -> str:
    """What the kit asks in: see :func:`llavakit.steps.llava.load`."""
    return recipe.train.llm_dtype if has_gpu() else "float32"


def _opened(path: Path) -> Image:
    from PIL import Image as ImageModule

    with ImageModule.open(path) as picture:
        return picture.convert("RGB")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="the folder models/NAME")
    parser.add_argument("--data", type=Path, required=True, help="the folder data/NAME")
    parser.add_argument("--tuned", type=Path, required=True, help="what convert made")
    parser.add_argument("--merged", type=Path, required=True, help="what merge made")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")


if __name__ == "__main__":
    sys.exit(common.run("check-merged", make, _arguments))
