"""From a recipe to XTuner's config: what depends on data and machine, and the rendering."""

from __future__ import annotations

import json
import math
import pprint
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llavakit.errors import StepError, WeightsError
from llavakit.phrases import Phrase, phrase
from llavakit.recipe import DrawnProjector, Recipe, Train
from llavakit.steps import weights
from llavakit.steps.common import CONFIGS
from llavakit.steps.data import CONVERSATIONS, PICTURES
from llavakit.training import Memory

TEMPLATE = CONFIGS / "xtuner" / "llava.py.j2"
ZERO2 = CONFIGS / "deepspeed" / "zero2.json"


@dataclass(frozen=True)
class Machine:
    """What training needs to know of where it runs."""

    gpu: bool
    world_size: int = 1
    """Ranks that train together."""
    bf16: bool = False
    """Whether the GPU computes in it; those before Ampere do not."""
    hosts: int = 1


@dataclass(frozen=True)
class Plan:
    """What training will do: ``values`` fill the template, ``notes`` are for the user."""

    iterations: int
    deepspeed: dict[str, Any] | None
    """DeepSpeed's config; None without it."""
    values: dict[str, Any]
    notes: list[Phrase] = field(default_factory=list)
    memory: Memory | None = None
    """With a memory profile the kit's own optimizer trains."""
    deterministic: bool = False
    ranks: int = 1
    hosts: int = 1


def make(recipe: Recipe, models: Path, data: Path, machine: Machine) -> Plan:
    """Plan a training of ``recipe``.

    Raises StepError ``needs-gpu``, ``needs-bf16``, ``no-evaluation-picture``, and WeightsError.
    """
    train = recipe.train
    if train.llm_quantization != "none" and not machine.gpu:
        raise StepError("needs-gpu", step="train", recipe=recipe.name)
    if train.memory is not None and machine.gpu and not machine.bf16:
        raise StepError("needs-bf16", recipe=recipe.name)
    samples = len(json.loads((data / CONVERSATIONS).read_text(encoding="utf-8")))
    iterations = train.epochs * math.ceil(samples / (train.batch_size * machine.world_size))
    notes = _ranks(train, machine.world_size, samples, iterations)
    warmup = _warmup(train.warmup_ratio, iterations, notes)
    values = {
        **_paths(models, data),
        **_precision(train, machine, notes),
        **_evaluation(train, data),
        "name": recipe.name,
        "prompt_template": recipe.prompt_template,
        "projector_depth": _depth(recipe, models),
        "train": train,
        "samples": samples,
        "iterations": iterations,
        "warmup": warmup,
        "world_size": machine.world_size,
        "sampler": "DefaultSampler" if train.sampler == "in-order" else "LengthGroupedSampler",
        "seed": recipe.seed,
        "max_new_tokens": recipe.ask.max_new_tokens,
    }
    deepspeed = _deepspeed(train, machine)
    values["deepspeed"] = deepspeed is not None
    return Plan(iterations, deepspeed, values, notes, train.memory, train.deterministic,
                machine.world_size, machine.hosts)  # fmt: skip


def render(plan: Plan) -> str:
    """XTuner's config as Python source; every value is a Python literal, whatever is in it."""
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - this is Python, not HTML; the filter py quotes
    )
    environment.filters["py"] = _literal
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return str(template.render(plan.values))


def _literal(value: object) -> str:
    return pprint.pformat(value, width=10_000)


def _ranks(train: Train, ranks: int, samples: int, iterations: int) -> list[Phrase]:
    """What several ranks change, in one line: nobody may find it out from the results."""
    if ranks == 1:
        return []
    alone = train.batch_size * train.accumulation
    said = phrase(
        "note.ranks",
        ranks=ranks, batch=alone * ranks, alone=alone, rate=f"{train.learning_rate:g}",
        iterations=iterations, before=train.epochs * math.ceil(samples / train.batch_size),
    )  # fmt: skip
    return [said]


def _warmup(ratio: float, iterations: int, notes: list[Phrase]) -> int:
    """Iterations of warm-up.

    XTuner takes int(ratio * iterations); of that, 0 raises "end should be larger than begin" and
    1 leaves the learning rate at 1e-5 of its value for the whole run.
    """
    warmup = min(int(ratio * iterations), iterations - 1)
    if ratio == 0 or warmup >= 2:
        return warmup
    usable = 2 if iterations > 2 else 0
    notes.append(phrase("note.warm-up", ratio=f"{ratio:g}", iterations=iterations, usable=usable))
    return usable


def _precision(train: Train, machine: Machine, notes: list[Phrase]) -> dict[str, Any]:
    """fp32 on a CPU: torch 2.1.2 crashes there in bf16's backward, and has no fp16."""
    dtype = train.llm_dtype
    if not machine.gpu and dtype != "float32":
        notes.append(phrase("note.float32", dtype=dtype))
        dtype = "float32"
    mixed = dtype != "float32"
    return {
        "llm_dtype": dtype,
        "quantized": train.llm_quantization == "nf4",
        "optim_wrapper": _optim_wrapper(train, mixed=mixed),
        "amp_dtype": dtype,
        "backend": "nccl" if machine.gpu else "gloo",
    }


def _optim_wrapper(train: Train, *, mixed: bool) -> str:
    if train.memory is not None:
        return "MixedPrecisionOptimWrapper"
    return "AmpOptimWrapper" if mixed else "OptimWrapper"


def _deepspeed(train: Train, machine: Machine) -> dict[str, Any] | None:
    """The tutorial's ZeRO-2 with XTuner's 'auto' for the number format decided.

    XTuner asks CUDA, which has no answer without a GPU; there DeepSpeed computes in fp32.
    """
    if train.deepspeed == "none":
        return None
    config: dict[str, Any] = json.loads(ZERO2.read_text(encoding="utf-8"))
    config["bf16"]["enabled"] = machine.gpu and machine.bf16
    if machine.hosts > 1:  # each resumes from its own disk
        config["checkpoint"] = {"use_node_local_storage": True}
    config["fp16"]["enabled"] = machine.gpu and not machine.bf16
    return config


def _paths(models: Path, data: Path) -> dict[str, str]:
    paths = {
        "llm": models / weights.LLM,
        "vision": models / weights.VISION,
        "projector": models / weights.PROJECTOR,
        "data_path": data / CONVERSATIONS,
        "image_folder": data / PICTURES,
    }
    return {name: path.as_posix() for name, path in paths.items()}


def _evaluation(train: Train, data: Path) -> dict[str, Any]:
    if train.evaluation is None:
        return {"evaluation": None}
    picture = data / PICTURES / train.evaluation.image
    if not picture.is_file():
        raise StepError("no-evaluation-picture", image=train.evaluation.image)
    questions = list(train.evaluation.questions)
    return {"evaluation": {"image": picture.as_posix(), "questions": questions}}


def _depth(recipe: Recipe, models: Path) -> int:
    depth = weights.check_projector(models)
    projector = recipe.weights.projector
    wanted = projector.depth if isinstance(projector, DrawnProjector) else depth
    if depth != wanted:
        raise WeightsError("projector-depth", found=depth, wanted=wanted)
    return depth
