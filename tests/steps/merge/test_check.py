"""The check of a merged folder, which finds another model out."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from steps.merge.folders import MERGED, MODELS, TUNED

from llavakit.locks import StepLock, write_json
from llavakit.steps import check_merged, merged_weights

CHECK = ("--weights", MODELS, "--data", "data/d", "--tuned", TUNED)


def test_the_check_finds_the_model_that_was_trained(chain, merged):
    chain.must("check_merged", *CHECK, "--merged", MERGED, "--out", "runs/r/merged.json")
    content = chain.json("runs/r/merged.json")
    assert (content["pixels"], content["same_texts"]) == (0.0, True)
    assert content["logits"] <= content["tolerance"] < 1e-4
    assert content["transformers"] == "4.40.1"
    after = {row["image"]: row for row in chain.json("runs/r/answers.json")["answers"]}
    assert len(content["rows"]) == 6
    for row in content["rows"]:
        assert row["same_prompt"]
        assert row["merged"] == row["kit"] == after[row["image"]]["answer"]
    assert StepLock(chain.root / "runs/r/merged.lock.json").check(chain.key).fresh


def test_the_check_refuses_another_model_and_says_how_far_it_is(chain, merged, request):
    wrong = shutil.copytree(merged, chain.root / "runs/r/wrong")
    request.addfinalizer(lambda: shutil.rmtree(wrong))
    path = wrong / "model-00001-of-00001.safetensors"
    state = load_file(path)
    base = load_file(chain.root / MODELS / "vision/model.safetensors")
    state.update({merged_weights.VISION + name: value for name, value in base.items()})
    save_file(state, path, metadata={"format": "pt"})
    done = chain.step("check_merged", *CHECK, "--merged", "runs/r/wrong", "--out", "runs/r/w.json")
    assert done.error.id == "step.merged-differs"
    assert "logits differ by up to" in done.error.what()
    assert chain.json("runs/r/w.json")["logits"] > 0.1
    assert not (chain.root / "runs/r/w.lock.json").exists()


def test_a_model_in_half_precision_may_differ_by_its_own_roundings(chain, new_bench, recipe):
    train = recipe.train.model_copy(update={"llm_dtype": "float16"})
    here = new_bench(chain.root, run="runs/half")
    (chain.root / "runs/half/logs").mkdir(parents=True)
    resolved = recipe.model_copy(update={"train": train}).resolved()
    write_json(chain.root / "runs/half/recipe.json", resolved)
    folder = ("--weights", MODELS, "--tuned", TUNED, "--out", "runs/half/merged")
    here.must("merge", *folder)
    here.must("check_merged", *CHECK, "--merged", "runs/half/merged",
              "--out", "runs/half/merged.json")  # fmt: skip
    content = chain.json("runs/half/merged.json")
    assert 1e-4 < content["logits"] < content["tolerance"] / 5
    assert content["same_texts"]
    state = load_file(chain.root / "runs/half/merged/model-00001-of-00001.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float16}


def seen(**other):
    same = {"pixels": torch.zeros(1, 3, 2, 2), "ids": [0, -1, 3], "text": "a",
            "logits": torch.tensor([1.0, 2.0, 3.0])}  # fmt: skip
    return check_merged.Seen(**{**same, **other})


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({}, []),
        ({"text": "b"}, []),
        ({"pixels": torch.full((1, 3, 2, 2), 0.01)}, ["pixel values differ by up to 0.01"]),
        ({"pixels": torch.zeros(1, 3, 4, 4)}, ["pixel values differ by up to inf"]),
        ({"pixels": torch.full((1, 3, 2, 2), torch.nan)}, ["pixel values differ by up to inf"]),
        ({"ids": [0, 0, -1, 3]}, ["the token ids of 1 prompts differ"]),
        ({"logits": torch.tensor([1.0, 2.0, 3.01, 9.0])}, ["logits differ by up to 0.01"]),
        ({"logits": torch.tensor([1.0, 2.0, torch.nan])}, ["logits differ by up to inf"]),
        ({"logits": torch.tensor([1.0, 7.0, 3.0, 9.0]), "added": (1, 3)}, []),
    ],
)
def test_what_differs_is_told_by_name_and_words_alone_are_no_failure(recipe, other, said):
    pairs = [("a.png", "What?")]
    result = check_merged.compared(pairs, [seen()], [seen(**other)], recipe)
    found = check_merged.problems(result)
    assert len(found) == len(said)
    assert all(word in text for word, text in zip(said, found, strict=True))
    assert result["same_texts"] == ("text" not in other)
