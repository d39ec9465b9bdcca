"""Code in a folder of weights is never run, whoever of the pinned packages would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from llavakit import recipe
from llavakit.errors import WeightsError
from llavakit.steps import llava, weights

MARK = "evil-was-here"
EVIL = f"open({MARK!r}, 'w').close()\n"


class Evil:
    def __reduce__(self):
        return exec, (EVIL,)


def poison(folder):
    """Every way of a weights folder to name Python or a pickle of its own."""
    for part in ("llm", "vision"):
        (folder / part / "evil.py").write_text(
            EVIL + "from transformers import LlamaConfig, LlamaForCausalLM\n"
            "class Config(LlamaConfig): pass\nclass Model(LlamaForCausalLM): pass\n"
        )
        for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
            path = folder / part / name
            if path.exists():
                body = json.loads(path.read_text())
                body["auto_map"] = {
                    "AutoConfig": "evil.Config", "AutoModel": "evil.Model",
                    "AutoModelForCausalLM": "evil.Model", "AutoImageProcessor": "evil.Config",
                    "AutoTokenizer": ["evil.Config", "evil.Config"],
                }  # fmt: skip
                path.write_text(json.dumps(body))
        base = {"peft_type": "LORA", "base_model_name_or_path": f"models/m/{part}",
                "target_modules": ["q_proj"]}  # fmt: skip
        (folder / part / "adapter_config.json").write_text(json.dumps(base))
        torch.save({"x": Evil()}, folder / part / "adapter_model.bin")
        torch.save({"x": Evil()}, folder / part / "pytorch_model.bin")


@pytest.fixture(scope="module")
def poisoned(chain, tmp_path_factory, new_bench):
    """A workspace whose weights are poisoned."""
    bench = new_bench(tmp_path_factory.mktemp("poisoned") / "w")
    bench.prepare("data.repeat=2", "train.evaluation.every=2",
                  "train.evaluation.image=images/fish.png",
                  "train.evaluation.questions=[What]")  # fmt: skip
    bench.take(chain, "models", "runs/r/tuned").make_data()
    poison(bench.root / "models/m")
    os.environ["HF_HOME"] = str(bench.root / "hf")  # where Transformers would copy the module to
    yield bench
    del os.environ["HF_HOME"]


@pytest.mark.parametrize(
    "call",
    [
        "AutoConfig.from_pretrained('models/m/llm', trust_remote_code=True)",
        "LlamaForCausalLM.from_pretrained('models/m/llm', use_safetensors=True)",
        "CLIPVisionModel.from_pretrained('models/m/vision', use_safetensors=True)",
    ],
)
def test_the_poison_works_where_nothing_is_patched(poisoned, call):
    line = f"from transformers import AutoConfig, CLIPVisionModel, LlamaForCausalLM; {call}"
    done = subprocess.run([sys.executable, "-c", line], cwd=poisoned.root, env=poisoned.env(),
                          check=False, capture_output=True, text=True)  # fmt: skip
    assert (poisoned.root / MARK).exists(), done.stderr
    (poisoned.root / MARK).unlink()


def test_train_and_convert_run_none_of_it(poisoned):
    done = poisoned.train()
    assert done.rc == 0, done.output[-3000:]
    assert not (poisoned.root / MARK).exists()
    poisoned.must("convert", "--weights", "models/m", "--data", "data/d",
                  "--trained", "runs/r/train", "--out", "runs/r/made")  # fmt: skip
    poisoned.must("convert", "--weights", "models/m", "--out", "cache/pretrained")
    assert not (poisoned.root / MARK).exists()


def test_asking_runs_none_of_it(poisoned, monkeypatch):
    monkeypatch.chdir(poisoned.root)
    root = poisoned.root
    model = llava.load(recipe.load(root / "runs/r/recipe.json"), root / "models/m",
                       root / "runs/r/tuned")  # fmt: skip
    assert type(model.llm.get_base_model()).__module__.startswith("transformers.models.llama")
    assert not (root / MARK).exists()


def test_a_module_that_is_asked_for_all_the_same_is_refused(poisoned, monkeypatch):
    from transformers import AutoConfig

    from llavakit.steps import xtuner_patches

    monkeypatch.chdir(poisoned.root)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE",
                        str(poisoned.root / "hf_modules"))  # fmt: skip
    xtuner_patches.never_run_foreign_code()
    with pytest.raises(WeightsError) as caught:
        AutoConfig.from_pretrained("models/m/llm", trust_remote_code=True)
    assert caught.value.id == "weights.code"
    assert not (poisoned.root / MARK).exists()


def test_a_torchscript_archive_is_no_projector(tmp_path):
    path = tmp_path / "projector.pth"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    with pytest.raises(WeightsError) as caught:
        weights.tensors(path)
    assert caught.value.name == "unsafe"
    assert "TorchScript" in caught.value.why
