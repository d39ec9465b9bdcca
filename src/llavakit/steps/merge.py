"""The merge step: one folder that plain Transformers loads, from the base and what was trained.

XTuner 0.1.18 cannot make it after QLoRA. ``--out`` holds a LlavaForConditionalGeneration as
Transformers 4.40.1 writes it, which current versions read too. The base's files are mapped, and
tensors made, written and hashed one at a time: of the tutorial's 17 GB at most 2.3 GiB are in
memory, the vocabulary's matrix as it is read and as it is written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llavakit.steps import common, merged_files, merged_readme, merged_weights, outputs, shards
from llavakit.steps.common import Job
from llavakit.steps.device import has_gpu, use_one_thread
from llavakit.steps.meter import DownloadMeter


def make(job: Job) -> None:
    """Make ``--out``. Raises WeightsError."""
    if not has_gpu():
        use_one_thread()
    recipe, models, tuned = job.recipe, job.args.weights, job.args.tuned
    dtype = recipe.train.llm_dtype
    known: dict[Path, str] = {}
    with outputs.folder(job.args.out, job, known=known, dtype=dtype) as folder:
        tokens = merged_files.write_tokenizer(models, folder)
        activation = merged_weights.projector_activation(tuned)
        settings = merged_files.config(recipe, models, tokens, activation)
        merging = merged_weights.opened(models, tuned, tokens, dtype)
        merged_files.write_config(settings, recipe, folder)
        merged_files.write_generation_config(models, tokens, folder)
        merged_files.write_processor(recipe, models, settings, folder)
        merged_readme.write(recipe, job.run.name, folder)
        tensors = merged_weights.tensors(settings, dtype)
        total = sum(tensor.bytes for tensor in tensors)
        meter = DownloadMeter(job.events, total, "merged model")
        try:
            hashes = shards.write(folder, tensors, merging.pieces, meter.add)
        finally:
            meter.close()
        known.update({folder / name: found for name, found in hashes.items()})


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="the folder models/NAME")
    parser.add_argument("--tuned", type=Path, required=True, help="what convert made")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")


if __name__ == "__main__":
    sys.exit(common.run("merge", make, _arguments))
