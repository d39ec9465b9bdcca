"""The convert step: from XTuner's training format to Hugging Face's.

With ``--trained`` the newest model, through XTuner's own ``pth_to_hf``: ``llm_adapter/``,
``visual_encoder_adapter/`` and ``projector/``. Without it the pretrained projector alone, so that
the model before the training can be asked in the same way.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from llavakit.errors import StepError, WeightsError
from llavakit.locks import StepLock, file_sha256, write_json
from llavakit.phrases import phrase
from llavakit.steps import adapters, common, outputs, weights
from llavakit.steps.common import Job
from llavakit.steps.device import has_gpu, prepare
from llavakit.steps.trainer import CONFIG, argv_of


def make(job: Job) -> None:
    """Make ``--out``. Raises WeightsError ``missing``, ``changed`` and those of the projector,
    and StepError ``no-result``.
    """
    trained: Path | None = job.args.trained
    with outputs.folder(job.args.out, job, tuned=trained is not None) as folder:
        if trained is None:
            _pretrained(job.args.weights, folder)
        else:
            _finetuned(trained, folder, job)


def _pretrained(models: Path, folder: Path) -> None:
    depth = weights.check_projector(models)
    llm, vision = weights.sizes(models)
    from xtuner.model.modules import ProjectorConfig, ProjectorModel

    config = ProjectorConfig(visual_hidden_size=vision, llm_hidden_size=llm, depth=depth)
    projector = ProjectorModel(config)
    projector.load_state_dict(weights.projector_state(models), strict=True)
    projector.save_pretrained(folder / adapters.PROJECTOR, safe_serialization=True)


def _finetuned(trained: Path, folder: Path, job: Job) -> None:
    checkpoint = _verified_checkpoint(trained)
    prepare()
    from xtuner.tools.model_converters import pth_to_hf

    from llavakit.steps import xtuner_patches

    xtuner_patches.never_run_foreign_code()
    pth_to_hf.guess_load_checkpoint = lambda path: weights.tensors(Path(path))
    argv = ["pth_to_hf", (trained / CONFIG).as_posix(), checkpoint.as_posix(), folder.as_posix()]
    if not has_gpu():
        argv.append("--fp32")
    with argv_of(argv):
        pth_to_hf.main()
    for part in (adapters.LLM_ADAPTER, adapters.VISION_ADAPTER, adapters.PROJECTOR):
        if not any((folder / part).glob("*.safetensors")):
            log = (job.run / "logs" / "convert.log").as_posix()
            missing = f"XTuner did not write {part}"
            raise StepError("no-result", step="convert", missing=missing, log=log)
    for path in folder.glob("*/adapter_config.json"):
        _sort_lists(path)


def _verified_checkpoint(trained: Path) -> Path:
    """The checkpoint that the train step locked, with the bytes it had then.

    XTuner runs the config beside it, so everything that was locked is hashed again, whatever its
    size and time say.
    """
    lock = StepLock(trained / outputs.LOCK)
    body = lock.read()
    if body is None:
        raise WeightsError("changed", folder=trained, why=phrase("why.lacks", names=outputs.LOCK))
    locked = lock.hashes()
    for name, expected in locked.items():
        path = trained / name
        if not path.is_file():
            raise WeightsError("changed", folder=trained, why=phrase("stale.missing", name=name))
        if file_sha256(path) != expected:
            raise WeightsError("changed", folder=trained, why=phrase("why.other-bytes", name=name))
    checkpoint = trained / str(body["facts"]["checkpoint"])
    for name in (checkpoint.name, CONFIG):
        if name not in locked:
            raise WeightsError("changed", folder=trained, why=phrase("why.not-locked", name=name))
    return checkpoint


def _sort_lists(path: Path) -> None:
    """PEFT writes a set in the order of this process's hashes; sorted, equal runs are equal."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["target_modules"] = sorted(config["target_modules"])
    write_json(path, config)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="the folder models/NAME")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--data", type=Path, help="the folder data/NAME")
    parser.add_argument("--trained", type=Path, help="the folder of the train step")


if __name__ == "__main__":
    sys.exit(common.run("convert", make, _arguments))
