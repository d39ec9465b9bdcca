#!/usr/bin/env python3
"""Does a current Transformers read a merged model as the kit does? Run by hand, never by CI.

    scripts/check_merged_current.py --workspace W --pinned ENVIRONMENT/bin/python

Makes a virtual environment with the torch, torchvision and transformers that PyPI gives today (6 GB
on the disk, removed at the end), and compares with the kit's own answers in the pinned environment:
tensors found, token ids, pixel values (of pictures in three shapes, by PIL and by torchvision), the
first token's logits, greedy texts. `invoke merge` comes first.

The recipe `tiny` has Llama's default rope_theta; since newer versions read that value from another
place in config.json, a copy with Llama 3's 500000 is asked in both too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from itertools import pairwise
from pathlib import Path
from typing import Any

KIT = Path(__file__).resolve().parents[1]
USE = KIT / "src" / "llavakit" / "steps" / "merged_use_current.py"
SHAPES = ((576, 300), (300, 576), (97, 96))
ROPE_THETA = 500000.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--run", help="its id; without it the newest that was merged")
    parser.add_argument("--pinned", type=Path, required=True, help="Python of the environment")
    parser.add_argument("--venv", type=Path, help="a virtual environment to use and to keep")
    parser.add_argument("--role", choices=("kit", "current"), help=argparse.SUPPRESS)
    parser.add_argument("--reference", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role:
        return {"kit": _kit, "current": _current}[args.role](args)
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="merged-current-") as folder:
        reference = Path(folder, "reference")
        reference.mkdir()
        current = _environment(args.venv or Path(folder, "venv"))
        for role, python in (("kit", args.pinned), ("current", current)):
            words = [str(python.absolute()), __file__, *sys.argv[1:], "--role", role]
            env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(KIT / "src")}
            if role == "current":
                del env["PYTHONPATH"]
            subprocess.run([*words, "--reference", str(reference)], env=env, check=True)
    return 0


def _environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        packages = ("torch", "torchvision", "transformers", "accelerate", "pillow")
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return python


def _kit(args: argparse.Namespace) -> int:
    """In the pinned environment: what the kit's own model makes of everything."""
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    from llavakit import recipe as recipes
    from llavakit.steps import check_merged, llava

    os.chdir(args.workspace)
    run = _run(args.run)
    words = _words(json.loads((run / "run.json").read_text()))
    models, data, tuned, merged = (Path(words[f"--{name}"]) for name in
                                   ("weights", "data", "tuned", "merged"))  # fmt: skip
    recipe = recipes.load(run / "recipe.json")
    pictures, pairs = data / check_merged.PICTURES, check_merged.asked(recipe, data)
    other = args.reference / "other-rope"
    shutil.copytree(merged, other)
    config = json.loads((other / "config.json").read_text())
    config["text_config"]["rope_theta"] = ROPE_THETA
    (other / "config.json").write_text(json.dumps(config))
    ours = list(check_merged.by_the_kit(recipe, models, tuned, pictures, pairs))
    turned = list(check_merged.by_a_stranger(recipe, other, pictures, pairs))
    tensors = {f"pixels.{n}": one.pixels for n, one in enumerate(ours)}
    tensors |= {f"logits.{n}": one.logits for n, one in enumerate(ours)}
    tensors |= {f"turned.{n}": one.logits for n, one in enumerate(turned)}
    model = llava.load(recipe, models, tuned)
    for wide, high in SHAPES:
        noise = torch.Generator().manual_seed(wide)
        values = torch.randint(0, 256, (high, wide, 3), dtype=torch.uint8, generator=noise)
        shape = Image.fromarray(values.numpy()).resize((wide // 3, high // 3)).resize((wide, high))
        shape.save(args.reference / f"{wide}x{high}.png")
        tensors[f"shape.{wide}x{high}"] = model.pixels(shape)
    save_file({name: value.contiguous() for name, value in tensors.items()},
              args.reference / "reference.safetensors")  # fmt: skip
    body = {
        "merged": str(merged.absolute()),
        "most": recipe.ask.max_new_tokens,
        "spread": min(float(one.logits.std()) for one in ours),
        "rows": [
            {"picture": str((pictures / name).absolute()), "question": question,
             "ids": one.ids, "text": one.text, "turned": two.text}
            for (name, question), one, two in zip(pairs, ours, turned, strict=True)
        ],
    }  # fmt: skip
    (args.reference / "reference.json").write_text(json.dumps(body))
    return 0


def _current(args: argparse.Namespace) -> int:
    """In the environment of today: the same, as the merged folder's README says it."""
    import torch
    import torchvision
    import transformers
    from PIL import Image
    from safetensors.torch import load_file

    spec = importlib.util.spec_from_file_location("use", USE)
    use = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(use)
    known = json.loads((args.reference / "reference.json").read_text())
    tensors = load_file(args.reference / "reference.safetensors")
    _, info = transformers.LlavaForConditionalGeneration.from_pretrained(
        known["merged"], output_loading_info=True
    )
    model, processor = use.load(known["merged"])
    fast = transformers.AutoProcessor.from_pretrained(known["merged"])
    turned, _ = use.load(str(args.reference / "other-rope"))
    added = {model.config.image_token_id, processor.tokenizer.pad_token_id}
    worst: dict[str, float] = {}

    def note(name: str, one: Any, other: Any) -> None:
        worst[name] = max(worst.get(name, 0.0), float((one.float() - other.float()).abs().max()))

    count = {"prompts": 0, "texts": 0, "texts by torchvision": 0, "texts, rope_theta 500000": 0}
    for n, row in enumerate(known["rows"]):
        with Image.open(row["picture"]) as file:
            picture = file.convert("RGB")
        asked = (picture, row["question"])
        given, by_torchvision = (use.inputs(*asked, model, each) for each in (processor, fast))
        count["prompts"] += _same_ids(given["input_ids"][0].tolist(), row["ids"], added)
        note("pixels", given["pixel_values"], tensors[f"pixels.{n}"])
        note("pixels by torchvision", by_torchvision["pixel_values"], tensors[f"pixels.{n}"])
        logits = tensors[f"logits.{n}"]
        kept = [token for token in range(len(logits)) if token not in added]
        with torch.inference_mode():
            for name, one, inputs, wanted in (
                ("logits", model, given, logits),
                ("logits by torchvision", model, by_torchvision, logits),
                ("logits, rope_theta 500000", turned, given, tensors[f"turned.{n}"]),
            ):
                note(name, one(**inputs).logits[0, -1][kept], wanted[kept])
            count["texts"] += use.answer(*asked, model, processor, known["most"]) == row["text"]
            count["texts by torchvision"] += (
                use.answer(*asked, model, fast, known["most"]) == row["text"])  # fmt: skip
            count["texts, rope_theta 500000"] += (
                use.answer(*asked, turned, processor, known["most"]) == row["turned"])  # fmt: skip
    for wide, high in SHAPES:
        with Image.open(args.reference / f"{wide}x{high}.png") as file:
            shape = file.convert("RGB")
        for name, one in (("pil", processor), ("torchvision", fast)):
            pixels = one.image_processor(shape, return_tensors="pt")["pixel_values"]
            note(f"pixels {wide}x{high} by {name}", pixels, tensors[f"shape.{wide}x{high}"])
    body = {
        "transformers": transformers.__version__, "torch": torch.__version__,
        "torchvision": torchvision.__version__, "python": sys.version.split()[0],
        "missing": sorted(info["missing_keys"]), "unexpected": sorted(info["unexpected_keys"]),
        "image processor": type(processor.image_processor).__name__,
        "by default": type(fast.image_processor).__name__,
        "spread of the logits": known["spread"],
        "largest absolute differences": worst,
        f"equal, of {len(known['rows'])}": count,
    }  # fmt: skip
    print(json.dumps(body, indent=2))  # noqa: T201 - this is what it is for
    return 0


def _same_ids(found: list[int], wanted: list[int], added: set[int]) -> bool:
    """Whether the ids are the kit's, the picture's token as often as it has patches."""
    short: list[int] = []
    for token in (-1 if token in added else token for token in found):
        if not (token == -1 and short[-1:] == [-1]):
            short.append(token)
    return short == wanted


def _run(name: str | None) -> Path:
    found = [Path("runs", name, "merged.json")] if name else Path("runs").glob("*/merged.json")
    checks = sorted(found, key=lambda path: path.stat().st_mtime)
    if not checks:
        sys.exit("No run in this workspace was merged: run `invoke merge` first.")
    return checks[-1].parent


def _words(record: Any) -> dict[str, str]:
    """The options that the check was run with, from the newest of the record's stages."""
    if isinstance(record, list) and "--merged" in record:
        return dict(pairwise(record))
    below = record.values() if isinstance(record, dict) else record
    if not isinstance(record, dict | list):
        return {}
    return next((words for each in reversed(list(below)) if (words := _words(each))), {})


if __name__ == "__main__":
    sys.exit(main())
