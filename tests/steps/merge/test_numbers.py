"""The merged folder: plain Transformers reads from it the very model that was trained."""

from __future__ import annotations

import json
import shutil

import torch
from safetensors.torch import load_file
from steps.merge.folders import MODELS, TUNED, picture, tokens_of
from transformers import CLIPVisionModel, LlamaForCausalLM
from transformers import LlavaForConditionalGeneration as HfLlava

from llavakit.locks import StepLock
from llavakit.steps import adapters, merged_files, merged_use, merged_weights, shards

FILES = {
    "README.md", "chat_template.jinja", "config.json", "generation_config.json", "lock.json",
    "model-00001-of-00001.safetensors", "model.safetensors.index.json", "preprocessor_config.json",
    "processor_config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip


def test_the_folder_is_locked_and_holds_no_code_and_no_path_of_this_machine(chain, merged):
    assert {path.name for path in merged.iterdir()} == FILES
    assert StepLock(merged / "lock.json").check(chain.key).fresh
    for path in merged.glob("*.json"):
        assert str(chain.root.parent) not in path.read_text(), path.name
        assert "auto_map" not in path.read_text(), path.name


def test_transformers_finds_every_tensor_and_no_other(merged):
    model, info = HfLlava.from_pretrained(merged, output_loading_info=True)
    assert not any(info.values())
    assert set(model.state_dict()) == set(load_file(merged / "model-00001-of-00001.safetensors"))


def test_the_config_says_what_was_trained(chain, merged, recipe):
    config = json.loads((merged / "config.json").read_text())
    llm, vision = (
        json.loads((chain.root / MODELS / part / "config.json").read_text())
        for part in ("llm", "vision")
    )
    assert config["vision_feature_layer"] == recipe.train.visual_select_layer == -2
    assert config["projector_hidden_act"] == "gelu"
    assert config["image_seq_length"] == 16
    for key in ("rope_theta", "rms_norm_eps", "num_key_value_heads", "hidden_size"):
        assert config["text_config"][key] == llm[key], key
    for key in ("hidden_act", "image_size", "patch_size", "num_hidden_layers"):
        assert config["vision_config"][key] == vision[key], key
    assert json.loads((merged / "generation_config.json").read_text())["eos_token_id"] == [1, 4]


def test_both_towers_are_what_peft_merges(chain, merged):
    state = load_file(merged / "model-00001-of-00001.safetensors")
    for kind, part, adapter, prefix in (
        (LlamaForCausalLM, "llm", adapters.LLM_ADAPTER, merged_weights.LLM),
        (CLIPVisionModel, "vision", adapters.VISION_ADAPTER, merged_weights.VISION),
    ):
        base = kind.from_pretrained(chain.root / MODELS / part)
        before = {name: value.clone() for name, value in base.state_dict().items()}
        by_peft = adapters.add_lora(base, chain.root / TUNED / adapter).merge_and_unload()
        moved = 0
        for name, value in by_peft.state_dict().items():
            rows = slice(0, len(value))
            torch.testing.assert_close(state[prefix + name][rows], value, rtol=1e-6, atol=1e-6)
            moved += not torch.equal(value, before[name])
        # The last layer of the vision tower is not looked at, and nothing reaches it in training.
        assert moved == {"llm": 14, "vision": 12}[part]


def test_the_projector_is_renamed_and_nothing_else(chain, merged):
    state = load_file(merged / "model-00001-of-00001.safetensors")
    projector = load_file(chain.root / TUNED / "projector/model.safetensors")
    for theirs, own in merged_weights.PROJECTOR.items():
        assert torch.equal(state[theirs], projector[own])


def test_half_precision_is_rounded_once(chain, merged):
    tokens, name = tokens_of(merged), "language_model.model.layers.0.mlp.up_proj.weight"
    halves = merged_weights.opened(chain.root / MODELS, chain.root / TUNED, tokens, "float16")
    base = load_file(chain.root / MODELS / "llm/model.safetensors")
    lora = load_file(chain.root / TUNED / "llm_adapter/adapter_model.safetensors")
    first, second = (
        lora[f"base_model.model.model.layers.0.mlp.up_proj.lora_{letter}.weight"].double()
        for letter in "AB"
    )
    exact = base["model.layers.0.mlp.up_proj.weight"].half().double() + second @ first
    tensor = shards.Tensor(name, tuple(exact.shape), "float16")
    found = torch.frombuffer(bytearray(b"".join(halves.pieces(tensor))), dtype=torch.float16)
    apart = (found.reshape(exact.shape).double() - exact).abs()
    assert (apart <= exact.abs() * 2**-11 + 1e-6).all()
    assert (found.reshape(exact.shape) != exact.half()).float().mean() < 1e-3, "ties in fp32"


def test_several_files_hold_the_same_and_the_same_bytes_come_again(chain, merged, tmp_path, recipe):
    tokens = tokens_of(merged)
    settings = merged_files.config(recipe, chain.root / MODELS, tokens, "gelu")
    tensors = merged_weights.tensors(settings, "float32")
    merging = merged_weights.opened(chain.root / MODELS, chain.root / TUNED, tokens, "float32")
    hashes = shards.write(tmp_path, tensors, merging.pieces, int, most=500_000)
    assert len(hashes) > 3
    assert all((tmp_path / name).stat().st_size < 520_000 for name in hashes)
    shutil.copy(merged / "config.json", tmp_path)
    whole, parts = (HfLlava.from_pretrained(folder).state_dict() for folder in (merged, tmp_path))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    name = "model-00001-of-00001.safetensors"
    again = shards.write(tmp_path, tensors, merging.pieces, int)
    assert again[name] == StepLock(merged / "lock.json").hashes()[name]


def test_tied_matrices_are_written_once(chain, merged, recipe):
    settings = merged_files.config(recipe, chain.root / MODELS, tokens_of(merged), "gelu")
    names = {tensor.name for tensor in merged_weights.tensors(settings, "float32")}
    settings.text_config.tie_word_embeddings = True
    tied = {tensor.name for tensor in merged_weights.tensors(settings, "float32")}
    assert names - tied == {"language_model.lm_head.weight"}


def test_tokens_that_the_base_lacks_are_never_answered(merged, theirs):
    model, processor = theirs
    given = merged_use.inputs(picture(60, 40), "What?", model, processor)
    with torch.inference_mode():
        logits = model(**given).logits[0, -1]
    added = [model.config.image_token_index, *range(model.config.pad_token_id, len(logits))]
    others = torch.tensor([token for token in range(len(logits)) if token not in added])
    assert len(added) == 576 - 557
    assert logits[added].max() < logits[others].max()
    torch.testing.assert_close(logits[added], logits[others].mean().expand(len(added)))
