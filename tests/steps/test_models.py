"""Drawn weights: the same seed, the same bytes; parts that do not fit are refused."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from llavakit.errors import WeightsError
from llavakit.steps import weights


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, chain, new_bench):
    """Workspaces with the weights of seeds 0, 0 and 1."""
    made = [chain]
    for name, seed in (("b", 0), ("c", 1)):
        here = new_bench(tmp_path_factory.mktemp(name) / "w").prepare(f"seed={seed}")
        here.must("models", "--out", "models/m", "--text", "inputs/data")
        made.append(here)
    return made


def hashes(bench):
    return {name: entry["sha256"]
            for name, entry in bench.json("models/m/lock.json")["files"].items()}  # fmt: skip


def test_one_seed_gives_the_same_bytes(drawn):
    first, second, _ = map(hashes, drawn)
    assert first == second
    assert {"llm/model.safetensors", "llm/tokenizer.json", "vision/model.safetensors",
            "vision/preprocessor_config.json", "projector.pth"} <= set(first)  # fmt: skip


def test_another_seed_gives_other_weights_and_the_same_tokenizer(drawn):
    first, _, other = map(hashes, drawn)
    assert first["llm/tokenizer.json"] == other["llm/tokenizer.json"]
    for name in ("llm/model.safetensors", "vision/model.safetensors", "projector.pth"):
        assert first[name] != other[name]


def test_no_module_that_runs_code_is_needed_to_read_them(drawn):
    state = torch.load(drawn[0].root / "models/m/projector.pth", weights_only=True)
    shapes = {name: tuple(value.shape) for name, value in state["state_dict"].items()}
    assert shapes == {
        "projector.model.0.weight": (128, 64),
        "projector.model.0.bias": (128,),
        "projector.model.2.weight": (128, 128),
        "projector.model.2.bias": (128,),
    }


def test_the_tokenizer_knows_the_templates_words(drawn):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(drawn[0].root / "models/m/llm")
    text = "<|start_header_id|>user<|end_header_id|>\n\n一只船?<|eot_id|>"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    assert ids[0] == 2
    assert ids[-1] == 4
    assert tokenizer.encode("x")[0] == tokenizer.bos_token_id == 0


@pytest.fixture
def folder(drawn, tmp_path):
    """Weights whose projector a test replaces."""
    for part in ("llm", "vision"):
        (tmp_path / part).symlink_to(drawn[0].root / "models/m" / part)
    return tmp_path


def test_another_models_projector_is_refused_with_both_shapes(folder):
    state = {"projector.model.0.weight": torch.zeros(2048, 64),
             "projector.model.0.bias": torch.zeros(2048)}  # fmt: skip
    torch.save(state, folder / "projector.pth")
    with pytest.raises(WeightsError) as caught:
        weights.check_projector(folder)
    assert caught.value.name == "projector-shape"
    assert "[2048, 64]" in caught.value.what()
    assert "[128, 64]" in caught.value.what()


class Evil:
    def __reduce__(self):
        import os

        return os.mkdir, ("evil-was-here",)


def test_a_projector_that_holds_code_is_refused_and_not_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for write in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        write({"projector.model.0.weight": Evil()}, folder / "projector.pth")
        with pytest.raises(WeightsError) as caught:
            weights.check_projector(folder)
        assert caught.value.name == "unsafe"
    assert not (folder / "evil-was-here").exists()


@pytest.mark.parametrize("content", [None, "", "[]", "{}"])
def test_a_model_without_a_width_is_incomplete(tmp_path, content):
    for part in ("llm", "vision"):
        (tmp_path / part).mkdir()
        if content is not None:
            (tmp_path / part / "config.json").write_text(content)
    with pytest.raises(WeightsError) as caught:
        weights.sizes(tmp_path)
    assert caught.value.name == "missing"


EVIL = "open('evil-was-here', 'w').close()\n"


class Exec:
    def __reduce__(self):
        return exec, (EVIL,)


def take_given(bench, llm):
    bench.must("models", "--out", "models/m", "--text", "inputs/data", "--llm", str(llm))
    return bench.root / "models/m/llm"


@pytest.fixture
def given(chain, tmp_path, bench):
    """A workspace whose recipe names a folder of the user's, and that folder."""
    folder = tmp_path / "mine"
    shutil.copytree(chain.root / "models/m/llm", folder)
    made = bench()
    recipe = made.json("runs/r/recipe.json")
    recipe["weights"]["llm"] = {"source": "path", "path": str(folder)}
    (made.root / "runs/r/recipe.json").write_text(json.dumps(recipe))
    return made, folder


LOAD = """
from transformers import AutoTokenizer, LlamaForCausalLM
import xtuner.model.llava as llava
from llavakit.steps import xtuner_patches
xtuner_patches.never_run_foreign_code()
where = "models/m/llm"
llava.AutoConfig.from_pretrained(where, trust_remote_code=True)
AutoTokenizer.from_pretrained(where, trust_remote_code=True)
LlamaForCausalLM.from_pretrained(where, trust_remote_code=True)
LlamaForCausalLM.from_pretrained(where, use_safetensors=True)
"""


@pytest.mark.parametrize("shards", [1, 2])
def test_nothing_else_in_a_linked_folder_is_ever_run(given, shards):
    bench, folder = given
    if shards > 1:
        state = load_file(folder / "model.safetensors")
        save_file(state, folder / "model-1.safetensors", metadata={"format": "pt"})
        (folder / "model.safetensors").unlink()
        index = {"metadata": {}, "weight_map": dict.fromkeys(state, "model-1.safetensors")}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in ("modeling_llama", "configuration_llama", "tokenization_llama", "torch",
                 "sitecustomize", "conftest", "__init__"):  # fmt: skip
        (folder / f"{name}.py").write_text(EVIL)
    for name in ("pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "adapter_model.bin",
                 "training_args.bin", "vocab.pkl"):  # fmt: skip
        torch.save(Exec(), folder / name)
    where = {"metadata": {}, "weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(where))
    base = {"peft_type": "LORA", "base_model_name_or_path": str(folder)}
    (folder / "adapter_config.json").write_text(json.dumps(base))
    assert take_given(bench, folder).is_symlink()
    env = {**bench.env(), "HF_HOME": str(bench.root / "hf")}
    done = subprocess.run([sys.executable, "-c", LOAD], cwd=bench.root, env=env, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert not list(bench.root.rglob("evil-was-here"))
    assert not list(folder.rglob("evil-was-here"))


def test_a_given_folder_of_pickles_is_copied_whatever_lies_beside_them(given):
    bench, folder = given
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    (folder / "modeling_llama.py").write_text(EVIL)
    made = take_given(bench, folder)
    assert not made.is_symlink()
    names = {path.name for path in made.iterdir()}
    assert "model.safetensors" in names
    assert names.isdisjoint({"pytorch_model.bin", "consolidated.safetensors", "modeling_llama.py"})
