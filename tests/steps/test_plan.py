"""From a recipe to XTuner's config."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest

from llavakit import recipe
from llavakit.errors import StepError, WeightsError
from llavakit.steps import plan
from llavakit.steps.plan import Machine

CPU, GPU = Machine(gpu=False), Machine(gpu=True)
TUTORIAL = {
    "max_length": 1472, "batch_size": 1, "learning_rate": 2e-4, "warmup_ratio": 0.03,
    "sampler": "length-grouped", "llm_dtype": "float16", "llm_quantization": "nf4",
    "llm_lora": {"rank": 512, "alpha": 256, "dropout": 0.05},
    "vision_lora": {"rank": 64, "alpha": 16, "dropout": 0.05},
    "deepspeed": "zero2", "checkpoints": {"every": 500, "keep": 2},
    "evaluation": {"every": 500, "image": "images/fish.png",
                   "questions": ["Please describe this picture", "It's \"什么\"?\\n'''"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, chain, new_bench):
    """Weights and data whose paths hold quotes, a backslash and Chinese."""
    here = new_bench(tmp_path_factory.mktemp("plan") / "w").prepare("data.repeat=2")
    here.must("data", "--source", "inputs/data", "--out", "data/d")
    odd = here.root / 'it\'s "数据" \\n'
    odd.mkdir()
    shutil.copytree(chain.root / "models/m", odd / "m")
    (here.root / "data/d").rename(odd / "d")
    return here, odd / "m", odd / "d"


def planned(inputs, machine=CPU, **changes):
    bench, models, data = inputs
    raw = bench.json("runs/r/recipe.json")
    raw["train"].update(changes)
    return plan.make(recipe.parse(raw, origin="test"), models, data, machine)


def config(made, tmp_path):
    from mmengine.config import Config

    path = tmp_path / "config.py"
    path.write_text(plan.render(made), encoding="utf-8")
    return Config.fromfile(path)


def test_the_tiny_config_is_read_back_as_it_was_meant(inputs, tmp_path):
    read = config(planned(inputs, batch_size=6), tmp_path)
    assert read.llm_name_or_path == (inputs[1] / "llm").as_posix()
    assert read.data_path == (inputs[2] / "conversations.json").as_posix()
    assert read.train_dataloader.sampler.shuffle is False
    assert read.optim_wrapper.type.__name__ == "OptimWrapper"
    assert "dtype" not in read.optim_wrapper
    assert read.model.llm.pretrained_model_name_or_path == read.llm_name_or_path
    assert read.randomness.seed == 0


def test_the_tutorials_values_reach_the_config(inputs, tmp_path):
    made = planned(inputs, GPU, **TUTORIAL)
    assert made.deepspeed
    read = config(made, tmp_path)
    assert read.max_length == 1472
    assert read.lr == 2e-4
    assert (read.model.llm_lora.r, read.model.llm_lora.lora_alpha) == (512, 256)
    assert (read.model.visual_encoder_lora.r, read.model.visual_encoder_lora.lora_dropout) == (
        64, 0.05)  # fmt: skip
    assert read.model.llm.quantization_config.bnb_4bit_quant_type == "nf4"
    assert read.model.llm.quantization_config.bnb_4bit_use_double_quant is True
    assert read.optim_wrapper.type.__name__ == "AmpOptimWrapper"
    assert (read.optim_wrapper.dtype, read.optim_wrapper.loss_scale) == ("float16", "dynamic")
    assert read.train_dataloader.sampler.length_property == "modality_length"
    assert read.train_dataloader.sampler.per_device_batch_size == 1
    look = read.custom_hooks[1]
    assert look.every_n_iters == 500
    assert list(look.evaluation_inputs) == TUTORIAL["evaluation"]["questions"]
    assert look.evaluation_images == (inputs[2] / "pictures/images/fish.png").as_posix()
    assert read.default_hooks.checkpoint.interval == 500
    assert read.env_cfg.dist_cfg.backend == "nccl"


def test_the_tutorials_schedule_is_the_one_of_its_own_config():
    notes = []
    assert plan._warmup(0.03, 1200, notes) == 36
    assert notes == []


@pytest.mark.parametrize(
    ("ratio", "iterations", "warmup", "noted"),
    [(0.03, 20, 2, True), (0.03, 40, 2, True), (0.03, 80, 2, False), (0.1, 2, 0, True),
     (0.0, 10, 0, False), (1.0, 10, 9, False), (1.0, 2, 0, True),
     (0.5, 1, 0, True), (1.0, 1, 0, True)],
)  # fmt: skip
def test_warm_up_survives_short_trainings(ratio, iterations, warmup, noted):
    notes = []
    assert plan._warmup(ratio, iterations, notes) == warmup
    assert bool(notes) is noted


@pytest.mark.parametrize("iterations", [1, 2, 3, 4, 34, 80])
@pytest.mark.parametrize("ratio", [0.0, 0.03, 0.5, 1.0])
def test_the_schedulers_take_every_plan_and_reach_the_full_rate(ratio, iterations):
    import torch
    from mmengine.optim import CosineAnnealingLR, LinearLR

    warmup = plan._warmup(ratio, iterations, [])
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = [CosineAnnealingLR(optimizer, eta_min=0.0, by_epoch=False, begin=warmup,
                                    end=iterations)]  # fmt: skip
    if warmup:
        schedulers.insert(0, LinearLR(optimizer, start_factor=1e-5, by_epoch=False, begin=0,
                                      end=warmup))  # fmt: skip
    rates = []
    for _ in range(iterations):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert max(rates) > 0.5


def test_iterations_follow_from_samples_batch_and_gpus(inputs):
    assert planned(inputs, batch_size=5).iterations == 3
    assert planned(inputs, Machine(True, 4), batch_size=1).iterations == 3
    assert planned(inputs, batch_size=6, epochs=2).iterations == 4


def test_four_bits_need_a_gpu(inputs):
    with pytest.raises(StepError) as caught:
        planned(inputs, CPU, llm_quantization="nf4")
    assert caught.value.name == "needs-gpu"


def test_without_a_gpu_training_is_in_fp32_and_says_so(inputs):
    made = planned(inputs, CPU, llm_dtype="bfloat16", deepspeed="zero2")
    assert made.deepspeed["bf16"]["enabled"] is made.deepspeed["fp16"]["enabled"] is False
    assert planned(inputs, CPU).deepspeed is None
    assert made.values["optim_wrapper"] == "OptimWrapper"
    assert any("float32" in str(note) for note in made.notes)


@pytest.mark.parametrize("bf16", [True, False])
def test_deepspeed_computes_in_what_the_gpu_can(inputs, bf16):
    """As XTuner decides 'auto'."""
    made = planned(inputs, Machine(True, bf16=bf16), deepspeed="zero2").deepspeed
    assert (made["bf16"]["enabled"], made["fp16"]["enabled"]) == (bf16, not bf16)


def test_a_picture_that_is_not_in_the_data_is_refused(inputs):
    looks = {"every": 5, "image": "no.png", "questions": ["?"]}
    with pytest.raises(StepError) as caught:
        planned(inputs, evaluation=looks)
    assert caught.value.name == "no-evaluation-picture"


def test_the_projectors_depth_must_be_the_recipes(inputs):
    bench, models, data = inputs
    raw = bench.json("runs/r/recipe.json")
    raw["weights"]["projector"]["depth"] = 3
    with pytest.raises(WeightsError) as caught:
        plan.make(recipe.parse(raw, origin="test"), models, data, CPU)
    assert caught.value.name == "projector-depth"


def test_the_config_is_python_that_a_person_can_read(inputs):
    text = plan.render(planned(inputs, GPU, **TUTORIAL))
    ast.parse(text)
    assert max(map(len, text.splitlines())) < 160
    assert "\n\n\n" not in text


def test_the_deepspeed_config_is_what_the_tutorial_names(inputs):
    value = json.loads(plan.ZERO2.read_text())
    from xtuner.configs import cfgs_name_path

    with Path(cfgs_name_path["deepspeed_zero2"]).open() as file:
        assert value == json.load(file)
