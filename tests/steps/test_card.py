"""A model card's front matter, read by Hugging Face's own library (the environment has it)."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from llavakit import card
from llavakit import recipe as recipes

RECIPES = Path(__file__).parents[2] / "configs" / "recipes"
RESULT = {
    "task": {"type": "image-text-to-text"},
    "dataset": {"type": "custom", "name": "data of the recipe tutorial"},
    "metrics": [{"type": "rouge", "name": "ROUGE-L", "value": 0.25}],
}
LLAMA, CLIP = "baicai003/Llama3-Chinese_v2", "openai/clip-vit-large-patch14-336"


def read(name: str, *, merged: bool = True, **weights):
    raw = recipes.load(RECIPES / f"{name}.yaml").resolved()
    raw["weights"] = {**raw["weights"], **weights}
    made = recipes.parse(raw, origin="test")
    return ModelCard(card.text(made, "tutorial-0a1b2c3d", merged=merged, results=[RESULT])).data


def test_the_hub_s_library_reads_what_was_written():
    data = read("tutorial")
    assert (data.license, data.library_name) == ("llama3", "transformers")
    assert (data.base_model, data.pipeline_tag) == ([LLAMA, CLIP], "image-text-to-text")
    assert data.model_name == "Llama 3 LLaVA (tutorial-0a1b2c3d)"
    [result] = data.eval_results
    assert (result.metric_type, result.metric_value) == ("rouge", 0.25)
    assert result.dataset_name == "data of the recipe tutorial"


@pytest.mark.parametrize("merged", [True, False])
def test_drawn_weights_have_no_base_and_the_kit_s_licence(merged):
    data = read("tiny", merged=merged)
    assert (data.license, data.base_model) == ("apache-2.0", None)
    assert data.library_name == ("transformers" if merged else "xtuner")


def test_data_of_the_hub_are_named_and_others_are_not():
    raw = recipes.load(RECIPES / "tutorial.yaml").resolved()
    assert (
        card.front_matter(recipes.parse(raw, origin="x"), "n", merged=True).get("datasets") is None
    )
    raw["data"]["download"]["sources"].append(
        {"hub": "huggingface", "repository": "some/data", "revision": "main"}
    )
    made = recipes.parse(raw, origin="x")
    assert ModelCard(card.text(made, "r-1", merged=True)).data.datasets == ["some/data"]


def test_the_licence_of_others_is_named_with_its_address():
    llm = recipes.load(RECIPES / "tutorial.yaml").resolved()["weights"]["llm"]
    llm["licence"] = {"name": "Gemma: Terms of Use", "address": "https://x.example/terms"}
    data = read("tutorial", llm=llm).to_dict()
    assert (data["license"], data["license_name"]) == ("other", "gemma-terms-of-use")
    assert data["license_link"] == "https://x.example/terms"
