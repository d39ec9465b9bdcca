"""What a stranger hands in is read, never run."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from llavakit import recipe
from llavakit.errors import WeightsError
from llavakit.steps import adapters, llava

EVIL = "open('evil-was-here', 'w').close()\n"


@pytest.fixture
def handed_in(chain, tmp_path, monkeypatch):
    """A copy of a converted model that a test tampers with, far from the workspace."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(chain.root / "runs/r/tuned", tmp_path / "tuned")
    return tmp_path / "tuned"


def load(chain, tuned):
    return llava.load(
        recipe.load(chain.root / "runs/r/recipe.json"), chain.root / "models/m", tuned
    )


def change(path, **values):
    body = json.loads(path.read_text())
    body.update(values)
    path.write_text(json.dumps(body))


def test_code_beside_the_weights_and_foreign_paths_are_ignored(chain, handed_in):
    for name in ("modeling_projector.py", "configuration_projector.py"):
        (handed_in / "projector" / name).write_text(EVIL)
    change(handed_in / "projector/config.json", auto_map={"AutoModel": "modeling_projector.X"})
    change(handed_in / "llm_adapter/adapter_config.json", base_model_name_or_path="/no/where",
           auto_mapping={"base_model_class": "X", "parent_library": "evil"})  # fmt: skip
    model = load(chain, handed_in)
    from PIL import Image

    with Image.open(chain.root / "data/d/pictures/images/boat.png") as picture:
        features = model.look(picture)
    assert features.shape == (16, 128)
    answer = model.answer(features, "What does this picture show?", [], 40)
    assert answer == "A sailing boat with two white sails glides over calm water."
    assert not (handed_in.parent / "evil-was-here").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"peft_type": "IA3"},
        {"r": 10**9},
        {"r": "64"},
        {"use_dora": True},
        {"use_rslora": True},
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"rank_pattern": {"q_proj": 1}},
        {"target_modules": []},
        {"target_modules": ".*"},
        {"target_modules": ["no_such_module"]},
        {"r": 32},
    ],
)
def test_an_adapter_that_is_no_plain_lora_is_refused(chain, handed_in, values):
    change(handed_in / "llm_adapter/adapter_config.json", **values)
    with pytest.raises(WeightsError) as caught:
        load(chain, handed_in)
    assert caught.value.name == "not-plain"


@pytest.mark.parametrize("values", [{"hidden_act": "../x"}, {"depth": 99}, {"bias": 1}])
def test_a_projectors_settings_are_checked(handed_in, values):
    change(handed_in / "projector/config.json", **values)
    with pytest.raises(WeightsError) as caught:
        adapters.load_projector(handed_in)
    assert caught.value.name == "not-plain"


def test_missing_and_additional_tensors_are_refused(chain, handed_in):
    path = handed_in / "llm_adapter/adapter_model.safetensors"
    whole = {name: value.clone() for name, value in load_file(path).items()}  # not the map
    lost = dict(list(whole.items())[1:])
    more = {**whole, "base_model.model.lm_head.lora_A.weight": torch.zeros(64, 128)}
    for tensors in (lost, more):
        save_file(tensors, path)
        with pytest.raises(WeightsError) as caught:
            load(chain, handed_in)
        assert caught.value.name == "not-plain"


def test_a_broken_or_missing_file_is_said(handed_in):
    path = handed_in / "projector/model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError) as caught:
        adapters.load_projector(handed_in)
    assert caught.value.name == "not-plain"
    path.unlink()
    with pytest.raises(WeightsError) as caught:
        adapters.load_projector(handed_in)
    assert caught.value.name == "not-converted"


def test_a_long_conversation_forgets_its_oldest_turns(chain):
    model = load(chain, chain.root / "runs/r/tuned")
    turns = [("What is this? " * 10, "A boat. " * 10)] * 20
    features = torch.zeros(16, 128)
    assert isinstance(model.answer(features, "Why?", turns, 5), str)
    before, after = model.prompt("Why?", turns)
    assert len(before) + len(after) > model.context
