"""What is not merged: adapters of another base, a projector that LLaVA cannot hold."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from steps.merge.folders import MODELS, TUNED, refused


def test_an_adapter_of_another_base_is_refused(chain, tuned, tmp_path):
    models = shutil.copytree(chain.root / MODELS, tmp_path / "m")
    path = models / "llm/model.safetensors"
    state = load_file(path)
    wide = {"model.layers.1.mlp.up_proj.weight": torch.zeros(512, 128)}
    save_file({**state, **wide}, path, metadata={"format": "pt"})
    error = refused(chain, tuned, models)
    assert error.name == "other-base"
    assert "layers.1.mlp.up_proj.lora_B.weight [256, 64] is not in the base" in error.why


@pytest.mark.parametrize("change", ["lost", "more", "rank"])
def test_an_adapter_that_is_not_whole_is_refused(chain, tuned, change):
    folder = tuned / "visual_encoder_adapter"
    path = folder / "adapter_model.safetensors"
    state = {name: value.clone() for name, value in load_file(path).items()}
    if change == "lost":
        del state[sorted(state)[0]]
    elif change == "more":
        state["base_model.model.vision_model.post.lora_A.weight"] = torch.zeros(1, 1)
    else:
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, "r": 8}))
    save_file(state, path)
    assert refused(chain, tuned).name == "other-base"


@pytest.mark.parametrize(
    "name", ["llm_adapter", "visual_encoder_adapter", "projector/model.safetensors"]
)
def test_what_was_not_converted_is_said(chain, tuned, name):
    path = tuned / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert refused(chain, tuned).name == "not-converted"


def test_a_projector_that_llava_cannot_hold_is_refused(chain, tuned):
    from xtuner.model.modules import ProjectorConfig, ProjectorModel

    three = ProjectorModel(ProjectorConfig(visual_hidden_size=64, llm_hidden_size=128, depth=3))
    three.save_pretrained(tuned / "projector", safe_serialization=True)
    error = refused(chain, tuned)
    assert error.name == "not-llava"
    assert "model.4.weight" in error.what()


def test_a_projector_of_other_widths_is_refused(chain, tuned):
    path = tuned / "projector/model.safetensors"
    state = {**load_file(path), "model.0.weight": torch.zeros(128, 32)}
    save_file(state, path, metadata={"format": "pt"})
    assert refused(chain, tuned).name == "projector-shape"


def test_a_base_without_a_tensor_is_refused_and_nothing_stays(chain, request):
    models = shutil.copytree(chain.root / MODELS, chain.root / "models/torn")
    request.addfinalizer(lambda: shutil.rmtree(models))
    path = models / "llm/model.safetensors"
    state = load_file(path)
    del state["model.norm.weight"]
    save_file(state, path, metadata={"format": "pt"})
    done = chain.step("merge", "--weights", "models/torn", "--tuned", TUNED, "--out", "runs/r/no")
    assert done.error.id == "weights.missing"
    assert "model.norm.weight" in done.error.why
    assert not list((chain.root / "runs/r").glob("*no*"))
    assert not list((chain.root / "runs/r").glob(".no*"))
