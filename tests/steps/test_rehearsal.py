"""Random weights of a real model's shapes: whole, loadable, the same for one seed."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
import torch

from llavakit import recipe as recipes
from llavakit.parts import RandomLLM
from llavakit.steps import rehearsal, shards

KIT = Path(__file__).resolve().parents[2]
TUTORIAL = recipes.load(KIT / "configs" / "recipes" / "tutorial.yaml")
SMALL = RandomLLM(
    source="random", hidden_size=64, intermediate_size=160, layers=3, attention_heads=4,
    key_value_heads=2, vocabulary=1024, tokenizer_entries=300, context=128, rope_theta=500000.0,
    rms_norm_eps=1e-5, dtype="float16", std=0.02,
)  # fmt: skip
TEXTS = ["What is in the picture?", "A boat.", "图中有一只船。"]
SHARD = 200_000


def make(folder, seed=0, spec=SMALL, reports=None):
    folder.mkdir()
    report = (reports if reports is not None else []).append
    return rehearsal.make_llm(spec, seed, TEXTS, folder, report, shard_bytes=SHARD)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder, the hashes and the reports of a small model in several shards."""
    folder, reports = tmp_path_factory.mktemp("r") / "llm", []
    return folder, make(folder, reports=reports), reports


def tutorial():
    assert TUTORIAL.rehearsal is not None
    llm = TUTORIAL.rehearsal.llm
    assert isinstance(llm, RandomLLM)
    return llm


def test_transformers_loads_it_whole(made):
    from transformers import AutoTokenizer, LlamaForCausalLM

    model, info = LlamaForCausalLM.from_pretrained(
        made[0], torch_dtype=torch.float32, output_loading_info=True, use_safetensors=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokenizer = AutoTokenizer.from_pretrained(made[0])
    assert len(tokenizer) <= SMALL.tokenizer_entries
    assert tokenizer.bos_token_id == model.config.bos_token_id == 0
    assert tokenizer.eos_token_id == model.generation_config.eos_token_id == 1
    ids = tokenizer("图中有一只船。", return_tensors="pt").input_ids
    assert torch.isfinite(model(ids).logits).all()


def test_its_numbers_are_normal_and_no_two_rows_are_equal(made):
    from transformers import LlamaForCausalLM

    state = LlamaForCausalLM.from_pretrained(made[0], torch_dtype=torch.float32).state_dict()
    for name, value in state.items():
        if value.dim() == 1:
            assert (value == 1).all(), name
            continue
        assert value.std() == pytest.approx(SMALL.std, rel=0.05), name
        assert abs(float(value.mean())) < 1e-3, name
        assert len(value.unique(dim=0)) == len(value), name
    rows = torch.cat([value[:, :64] for value in state.values() if value.dim() == 2])
    assert len(rows.unique(dim=0)) == len(rows)


def test_shards_are_as_small_as_asked_and_the_index_knows_them(made):
    folder, hashes, reports = made
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == set(hashes)
    assert len(hashes) > 1
    assert index["metadata"]["total_size"] == SMALL.bytes == sum(reports)
    assert all((folder / name).stat().st_size < SHARD * 1.05 for name in hashes)


def test_the_hashes_are_those_of_the_files(made):
    from llavakit.locks import file_sha256

    folder, hashes, _ = made
    assert hashes == {path.name: file_sha256(path) for path in folder.glob("*.safetensors")}


def test_one_seed_one_sequence_of_bytes(made, tmp_path):
    assert make(tmp_path / "again") == made[1]
    assert make(tmp_path / "other", seed=1) != made[1]


def test_memory_does_not_grow_with_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "BLOCK", 65_521)
    monkeypatch.setattr(rehearsal, "PIECE_BYTES", 1 << 16)
    wide = SMALL.model_copy(update={"vocabulary": 400_000})
    (tmp_path / "w").mkdir()
    tracemalloc.start()
    try:
        rehearsal.make_llm(wide, 0, TEXTS, tmp_path / "w", int, shard_bytes=10**9)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert wide.bytes > 100e6
    assert peak < 30e6


def test_the_tutorials_shapes_are_llama_3_s():
    spec = tutorial()
    shapes = {tensor.name: tensor.shape for tensor in rehearsal.tensors(spec)}
    assert len(shapes) == 291
    assert shapes["model.embed_tokens.weight"] == shapes["lm_head.weight"] == (128256, 4096)
    layer = "model.layers.31"
    assert shapes[f"{layer}.self_attn.q_proj.weight"] == (4096, 4096)
    assert shapes[f"{layer}.self_attn.k_proj.weight"] == (1024, 4096)
    assert shapes[f"{layer}.mlp.down_proj.weight"] == (4096, 14336)
    assert spec.bytes == 2 * 8_030_261_248, "what Meta's own has"
    files = shards.split(rehearsal.tensors(spec), shards.MOST_BYTES)
    sizes = [sum(tensor.bytes for tensor in file) for file in files]
    assert sum(sizes) == spec.bytes
    assert len(sizes) == 5 and max(sizes) <= 4e9


def test_the_tutorials_picture_takes_576_positions():
    vision = TUTORIAL.rehearsal.vision
    assert (vision.image_size // vision.patch_size) ** 2 == 576


def test_a_tokenizer_larger_than_the_embedding_is_refused():
    with pytest.raises(ValueError, match="tokenizer_entries"):
        RandomLLM(**{**SMALL.model_dump(), "vocabulary": 299})


def test_the_models_step_draws_it(bench):
    here = bench()
    path = here.root / here.run / "recipe.json"
    resolved = json.loads(path.read_text())
    resolved["weights"]["llm"] = SMALL.model_dump()
    path.write_text(json.dumps(resolved))
    here.must("models", "--out", "models/m", "--text", "inputs/data")
    told = [event for event in here.events() if event.get("unit") == "bytes"]
    assert told[-1]["done"] == told[-1]["total"] == SMALL.bytes
    lock = here.json("models/m/lock.json")
    assert lock["facts"]["sources"]["llm"] == "random"
    assert "llm/model-00001-of-00001.safetensors" in lock["files"]
