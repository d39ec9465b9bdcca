"""Weights that others made: taken in without running any of them, refused when they do not fit."""

from __future__ import annotations

import json
import pickle
import shutil
import tarfile
from collections import OrderedDict
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from llavakit.errors import WeightsError
from llavakit.steps import foreign, weights

copy = shutil.copyfile


@pytest.fixture
def source(chain, tmp_path):
    """A part of the drawn weights as its own folder, that a test may spoil."""

    def make(part):
        return shutil.copytree(chain.root / "models/m" / part, tmp_path / part)

    return make


def take(source, target, types=foreign.LLM_TYPES, keep=lambda name: True):
    foreign.take_model(source, target, types, keep=keep, put=copy)
    return {path.name for path in target.iterdir()}


def as_pickles(folder, shards=1):
    """The folder as PyTorch used to write it: one or more ``.bin`` files."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin")
        return state
    where = {}
    for number in range(shards):
        name = f"pytorch_model-{number + 1:05d}-of-{shards:05d}.bin"
        part = {
            key: value for at, (key, value) in enumerate(state.items()) if at % shards == number
        }
        torch.save(part, folder / name)
        where.update(dict.fromkeys(part, name))
    index = {"metadata": {}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return state


def refused(call):
    with pytest.raises(WeightsError) as caught:
        call()
    return caught.value


def test_safetensors_and_small_files_are_taken_and_code_is_not(source, tmp_path):
    folder = source("llm")
    (folder / "modeling_llama.py").write_text("raise SystemExit")
    (folder / "training_args.bin").write_bytes(pickle.dumps(1))
    assert take(folder, tmp_path / "t") == {
        "config.json", "generation_config.json", "model.safetensors", "special_tokens_map.json",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


@pytest.mark.parametrize("shards", [1, 3])
def test_pickles_become_safetensors_that_transformers_loads(source, tmp_path, shards):
    from transformers import LlamaForCausalLM

    folder = source("llm")
    state = as_pickles(folder, shards)
    taken = take(folder, tmp_path / "t")
    assert not [name for name in taken if ".bin" in name]
    model = LlamaForCausalLM.from_pretrained(tmp_path / "t", use_safetensors=True)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())


def test_of_a_whole_clip_only_the_image_tower_is_written(source, tmp_path):
    from transformers import CLIPVisionModel

    folder = source("vision")
    state = as_pickles(folder)
    whole = {**state, "text_model.embeddings.token_embedding.weight": torch.zeros(9, 9),
             "logit_scale": torch.tensor(1.0)}  # fmt: skip
    torch.save(whole, folder / "pytorch_model.bin")
    config = json.loads((folder / "config.json").read_text())
    clip = {"model_type": "clip", "vision_config": config, "text_config": {}}
    (folder / "config.json").write_text(json.dumps(clip))
    target = tmp_path / "t"
    keep = partial(str.startswith)
    take(folder, target, foreign.VISION_TYPES, keep=lambda name: keep(name, "vision_model."))
    assert set(load_file(target / "model.safetensors")) == set(state)
    model = CLIPVisionModel.from_pretrained(target, use_safetensors=True)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())


def test_another_kind_of_model_is_refused(source, tmp_path):
    error = refused(lambda: take(source("vision"), tmp_path / "t"))
    assert error.id == "weights.foreign"
    assert "clip_vision_model" in error.what()
    assert "llama" in error.what()


def test_a_config_that_names_code_is_refused(source, tmp_path):
    folder = source("llm")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    assert refused(lambda: take(folder, tmp_path / "t")).id == "weights.code"


@pytest.mark.parametrize("length", [0, 5, 5000])
def test_a_truncated_file_is_refused(source, tmp_path, length):
    folder = source("llm")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    error = refused(lambda: take(folder, tmp_path / "t"))
    assert error.id == "weights.torn"
    assert str(path) in error.what()


def test_a_missing_shard_is_named(source, tmp_path):
    folder = source("llm")
    as_pickles(folder, 3)
    (folder / "pytorch_model-00002-of-00003.bin").unlink()
    error = refused(lambda: take(folder, tmp_path / "t"))
    assert error.id == "weights.missing"
    assert "pytorch_model-00002-of-00003.bin" in error.why


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "llm").mkdir()
    assert refused(lambda: take(tmp_path / "llm", tmp_path / "t")).id == "weights.missing"


class Evil:
    def __reduce__(self):
        import os

        return os.mkdir, ("evil-was-here",)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = source("llm")
    state = as_pickles(folder)
    torch.save({**state, "x": Evil()}, folder / "pytorch_model.bin")
    assert refused(lambda: take(folder, tmp_path / "t")).id == "weights.unsafe"
    assert not (tmp_path / "evil-was-here").exists()


def checkpoint():
    """What XTuner's runner writes: tensors, and mmengine's counters beside them."""
    import numpy as np
    from mmengine.logging import HistoryBuffer

    state = OrderedDict()
    state["projector.model.0.weight"] = torch.arange(6.0).reshape(2, 3)
    state["projector.model.0.bias"] = torch.zeros(2, dtype=torch.float16)
    message_hub = {"log_scalars": OrderedDict({"loss": HistoryBuffer([1.0, 2.0], [1, 1])}),
                   "runtime_info": {"last_ckpt": np.float64(1.5), "names": {"a", "b"}}}  # fmt: skip
    return {"meta": {"iter": 2181}, "state_dict": state, "message_hub": message_hub}


def test_a_whole_checkpoint_of_xtuners_gives_its_tensors(tmp_path):
    content = checkpoint()
    torch.save(content, tmp_path / "iter_2181.pth")
    found = weights.tensors(tmp_path / "iter_2181.pth")
    assert list(found) == list(content["state_dict"])
    assert all(torch.equal(found[name], value) for name, value in content["state_dict"].items())


def test_code_in_a_checkpoints_counters_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {**checkpoint(), "evil": Evil()}
    torch.save(content, tmp_path / "iter_2181.pth")
    error = refused(lambda: weights.tensors(tmp_path / "iter_2181.pth"))
    assert error.id == "weights.unsafe"
    assert "posix.mkdir" in error.why
    assert not (tmp_path / "evil-was-here").exists()


@pytest.mark.parametrize("kind", [".gz", ""])
def test_a_tar_is_not_unpacked(tmp_path, kind):
    path = tmp_path / "projector.pth"
    with tarfile.open(path, "w:gz" if kind else "w") as archive:
        link = tarfile.TarInfo("storages")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "elsewhere")
        archive.addfile(link)
    error = refused(lambda: weights.tensors(path))
    assert error.id == "weights.unsafe"
    assert "tar archive" in error.why


@pytest.mark.parametrize(
    "write",
    [
        lambda value, path: path.write_bytes(pickle.dumps(value, 2)),
        lambda value, path: torch.save(value, path, _use_new_zipfile_serialization=False),
    ],
    ids=["plain", "legacy"],
)
def test_what_was_refused_is_named_and_no_advice_is_given(tmp_path, write):
    write({"x": Evil()}, tmp_path / "projector.pth")
    error = refused(lambda: weights.tensors(tmp_path / "projector.pth"))
    assert error.why == "it holds more than tensors: posix.mkdir"


# An index names the files that Transformers reads


def as_shards(folder, *names):
    """The folder's tensors in files of these names, and an index over them."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    where = {}
    for number, name in enumerate(names):
        part = {key: state[key] for key in list(state)[number :: len(names)]}
        if (folder / name).parent.is_dir():
            save_file(part, folder / name, metadata={"format": "pt"})
        where.update(dict.fromkeys(part, name))
    index = {"metadata": {}, "weight_map": where}
    (folder / foreign.INDEX).write_text(json.dumps(index))
    return where


def test_shards_that_an_index_names_are_taken(source, tmp_path):
    folder = source("llm")
    as_shards(folder, "model-1.safetensors", "model-2.safetensors")
    taken = take(folder, tmp_path / "t")
    assert {"model-1.safetensors", "model-2.safetensors", foreign.INDEX} <= taken


@pytest.mark.parametrize(
    "name",
    ["evil.bin", "evil.pt", "../evil.safetensors", "sub/evil.safetensors", "/tmp/evil.safetensors",
     "..", "", "..\\evil.safetensors", 5, None],
)  # fmt: skip
@pytest.mark.parametrize("whole", [True, False], ids=["beside a whole file", "alone"])
def test_an_index_that_names_other_files_is_refused(source, tmp_path, name, whole):
    folder = source("llm")
    (folder / "sub").mkdir()
    for path in ("evil.bin", "evil.pt", "sub/evil.safetensors", "../evil.safetensors"):
        shutil.copyfile(folder / "model.safetensors", folder / path)
    if not whole:
        (folder / "model.safetensors").unlink()
    index = folder / foreign.INDEX
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": name}}))
    error = refused(lambda: take(folder, tmp_path / "t"))
    assert error.id == "weights.torn"
    assert str(index) in error.what()
    assert repr(name) in error.why


def test_a_torn_shard_is_named(source, tmp_path):
    folder = source("llm")
    as_shards(folder, "model-1.safetensors", "model-2.safetensors")
    (folder / "model-2.safetensors").write_bytes(b"\x08")
    error = refused(lambda: take(folder, tmp_path / "t"))
    assert error.id == "weights.torn"
    assert "model-2.safetensors" in error.what()


def test_an_index_without_files_is_refused(source, tmp_path):
    folder = source("llm")
    (folder / "model.safetensors").unlink()
    (folder / foreign.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {}}))
    assert refused(lambda: take(folder, tmp_path / "t")).id == "weights.torn"


@pytest.mark.parametrize("name", ["../pytorch_model.bin", "projector.pth", "sub/a.bin"])
def test_an_index_of_pickles_that_names_other_files_is_refused(source, tmp_path, name):
    folder = source("llm")
    as_pickles(folder, 3)
    (folder / foreign.PICKLE_INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    error = refused(lambda: take(folder, tmp_path / "t"))
    assert error.id == "weights.torn"
    assert foreign.PICKLE_INDEX in error.what()


# Only two names make Transformers pass over the pickles


STRAY = ["consolidated.safetensors", "adapter_model.safetensors",
         "model-00001-of-00002.safetensors", "pytorch_model.safetensors.index.json"]  # fmt: skip


@pytest.mark.parametrize("stray", STRAY)
def test_pickles_are_converted_whatever_lies_beside_them(source, tmp_path, stray):
    from transformers import LlamaForCausalLM

    folder = source("llm")
    shutil.copyfile(folder / "model.safetensors", tmp_path / "stray")
    before = as_pickles(folder, 2)
    shutil.move(tmp_path / "stray", folder / stray)
    kept = (folder / stray).read_bytes()

    foreign.take_model(folder, tmp_path / "t", foreign.LLM_TYPES, keep=lambda name: True,
                       put=lambda path, target: target.symlink_to(path))  # fmt: skip
    names = {path.name for path in (tmp_path / "t").iterdir()}
    assert not [name for name in names if name.endswith(".bin")]
    assert names.isdisjoint(set(STRAY) - {"model-00001-of-00002.safetensors"})
    assert (folder / stray).read_bytes() == kept, "written through a link"
    model = LlamaForCausalLM.from_pretrained(tmp_path / "t")
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_a_folder_with_other_safetensors_alone_is_told_what_it_has(source, tmp_path):
    folder = source("llm")
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    error = refused(lambda: take(folder, tmp_path / "t"))
    assert error.id == "weights.missing"
    assert "consolidated.safetensors" in error.why


def test_of_two_sets_of_pickles_the_one_that_transformers_reads_is_converted(source, tmp_path):
    folder = source("llm")
    state = as_pickles(folder)
    torch.save({name: value + 1 for name, value in state.items()},
               folder / "pytorch_model.other.bin")  # fmt: skip
    take(folder, tmp_path / "t")
    found = load_file(tmp_path / "t" / "model.safetensors")
    assert all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.parametrize("key", ["auto_map", "configuration_files"])
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer_config.json", "preprocessor_config.json", "config.1.json"]
)
def test_any_config_that_leads_elsewhere_is_refused(source, tmp_path, name, key):
    folder = source("llm")
    path = folder / name
    config = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**config, key: ["evil.Evil"]}))
    error = refused(lambda: take(folder, tmp_path / "t"))
    assert error.id == "weights.code"
    assert str(path) in error.what()
