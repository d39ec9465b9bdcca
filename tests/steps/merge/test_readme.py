"""What the merged folder says of itself: terms, origin, and code that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from steps.merge.folders import picture

from llavakit import recipe as recipes
from llavakit.steps import merged_readme

TUTORIAL = Path(__file__).resolve().parents[3] / "configs" / "recipes" / "tutorial.yaml"


def readme(tmp_path, **weights):
    raw = {**recipes.load(TUTORIAL).resolved(), "rehearsal": None}
    raw["weights"] = {**raw["weights"], **weights}
    merged_readme.write(recipes.parse(raw, origin="test"), "tutorial-0a1b2c3d", tmp_path)
    return (tmp_path / "README.md").read_text()


def test_what_derives_from_llama_3_carries_its_terms(tmp_path):
    text = readme(tmp_path)
    assert "# Llama 3 LLaVA (tutorial-0a1b2c3d)" in text
    assert (
        "META LLAMA 3 COMMUNITY LICENSE AGREEMENT, https://llama.meta.com/llama3/license/" in text
    )
    assert "Built with Meta Llama 3." in text
    assert "license: llama3" in text
    assert "modelscope" in text.lower()
    notice = (tmp_path / "NOTICE").read_text()
    assert notice.startswith("Meta Llama 3 is licensed under the Meta Llama 3 Community License")


@pytest.mark.parametrize(
    ("name", "is_llama_3"),
    [
        ("META LLAMA 3 COMMUNITY LICENSE AGREEMENT", True),
        ("Llama 3", True),
        ("LLAMA 3.1 COMMUNITY LICENSE AGREEMENT", False),
        ("Apache-2.0", False),
    ],
)
def test_other_terms_are_named_and_no_more(tmp_path, name, is_llama_3):
    llm = recipes.load(TUTORIAL).resolved()["weights"]["llm"]
    llm["licence"] = {"name": name, "address": "https://example.com/terms"}
    text = readme(tmp_path, llm=llm)
    assert f"{name}, https://example.com/terms" in text
    assert ("Built with Meta Llama 3." in text) == is_llama_3
    assert (tmp_path / "NOTICE").exists() == is_llama_3


def test_of_a_folder_of_the_user_s_only_the_name_is_told(tmp_path):
    text = readme(tmp_path, llm={"source": "path", "path": "/home/somebody/models/My-Llama"})
    assert "My-Llama, a folder of the user's" in text
    assert "somebody" not in text
    assert "names no licence" in text
    assert not (tmp_path / "NOTICE").exists()


def test_the_readme_shows_code_that_runs(merged):
    text = (merged / "README.md").read_text()
    blocks = [part.partition("```")[0] for part in text.split("```python\n")[1:]]
    assert len(blocks) == 3
    assert "nobody's terms bind it" in text
    for block in blocks:
        compile(block, "README.md", "exec")
    place = {}
    exec(blocks[2], place)  # noqa: S102 - what its reader does
    model, processor = place["load"](merged.as_posix())
    assert place["answer"](picture(30, 20), "What?", model, processor, most=3) is not None
