"""The model card: the run's figures, the base's terms, and strangers' words as text."""

from __future__ import annotations

from pathlib import Path

import pytest
from host.exports import TUTORIAL, content, exported, front_matter, placed
from host.test_report import EVIL, answer

from llavakit import recipe as recipes
from llavakit.host import environment


def test_the_card_has_the_run_s_figures(tmp_path: Path) -> None:
    card = exported(placed(tmp_path, merged=True))["README.md"]
    front = front_matter(card)
    assert front["library_name"] == "transformers"
    assert front["pipeline_tag"] == "image-text-to-text"
    assert front["license"] == "apache-2.0"
    assert "base_model" not in front
    [results] = front["model-index"][0]["results"]
    assert {each["type"]: each["value"] for each in results["metrics"]} == {
        "rouge": 1.0, "exact_match": 1.0
    }  # fmt: skip
    assert "the training's own questions" in results["dataset"]["name"]
    assert "| last loss | 1 |" in card
    assert "**It knows nothing.**" in card
    assert card.count("```python") == 3
    assert environment.lock_sha256() in card


def test_scores_that_are_not_there_are_not_invented(tmp_path: Path) -> None:
    found = content()
    found["results"]["scores"] = {"after": {"rouge_l": None, "exact": None}}
    card = exported(placed(tmp_path, found))["README.md"]
    assert "model-index" not in front_matter(card)
    assert front_matter(card)["library_name"] == "xtuner"
    assert "`invoke merge` makes one folder" in card


@pytest.mark.parametrize("merged", [False, True])
def test_what_derives_from_llama_3_says_so(tmp_path: Path, merged: bool) -> None:
    raw = recipes.load(TUTORIAL).resolved()
    texts = exported(placed(tmp_path, content(recipe=raw), merged=merged))
    front = front_matter(texts["README.md"])
    assert front["license"] == "llama3"
    assert front["base_model"] == [
        "baicai003/Llama3-Chinese_v2", "openai/clip-vit-large-patch14-336"
    ]  # fmt: skip
    assert front["model-index"][0]["name"].startswith("Llama 3")
    assert "\n# Llama 3 LLaVA" in texts["README.md"]
    assert "Built with Meta Llama 3." in texts["README.md"]
    assert "knows nothing" not in texts["README.md"]
    assert texts["NOTICE"].startswith("Meta Llama 3 is licensed")


def test_a_rehearsal_is_called_one(tmp_path: Path) -> None:
    raw = recipes.load(TUTORIAL).resolved()
    raw |= {"weights": raw["rehearsal"], "rehearsal": None}
    texts = exported(placed(tmp_path, content(recipe=raw)))
    assert "rehearsal of memory, speed and disk" in texts["README.md"]
    assert front_matter(texts["README.md"])["license"] == "unknown"
    assert "NOTICE" not in texts


def test_a_base_that_is_not_known_is_not_replaced_by_the_tower_s(tmp_path: Path) -> None:
    raw = recipes.load(TUTORIAL).resolved()
    raw["weights"]["llm"] = {"source": "path", "path": "My-Llama"}
    texts = exported(placed(tmp_path, content(recipe=raw)))
    assert "base_model" not in front_matter(texts["README.md"])
    assert "The recipe names no licence" in texts["README.md"]


def test_other_terms_are_named_as_hubs_want_it(tmp_path: Path) -> None:
    raw = recipes.load(TUTORIAL).resolved()
    raw["weights"]["llm"]["licence"] = {"name": "Some Terms 2.0", "address": "https://x.example/t"}
    front = front_matter(exported(placed(tmp_path, content(recipe=raw)))["README.md"])
    assert (front["license"], front["license_name"]) == ("other", "some-terms-2.0")
    assert front["license_link"] == "https://x.example/t"


def test_what_strangers_wrote_is_text(tmp_path: Path) -> None:
    found = content()
    found["identity"]["recipe"]["summary"] = EVIL
    found["results"]["answers"] = [answer()]
    found["provenance"]["stages"][0]["label"] = EVIL
    texts = exported(placed(tmp_path, found))
    assert "<script" not in texts["README.md"]
    assert "\x1b" not in texts["README.md"]
    assert "@someone" not in texts["README.md"]
    assert front_matter(texts["README.md"])["tags"]
