"""Recipes: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from llavakit import recipe as recipes
from llavakit.errors import RecipeError

RECIPES = Path(__file__).resolve().parents[2] / "configs" / "recipes"
TINY = RECIPES / "tiny.yaml"


def refused(path: Path, *overrides: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        recipes.load(path, overrides)
    return caught.value


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_kit_loads_and_is_named_like_its_file(path: Path) -> None:
    assert recipes.load(path).name == path.stem


def test_an_override_is_typed_like_yaml() -> None:
    made = recipes.load(TINY, ["seed=3", "train.learning_rate=1e-4", "ask.swapped=false"])
    assert (made.seed, made.train.learning_rate, made.ask.swapped) == (3, 1e-4, False)


def test_an_override_may_name_a_key_that_the_file_leaves_to_its_default() -> None:
    assert recipes.load(TINY, ["train.weight_decay=0.1"]).train.weight_decay == 0.1


def test_a_list_can_be_overridden() -> None:
    made = recipes.load(TINY, ["ask.questions=['图中有什么?', 'What is it?']"])
    assert made.ask.questions == ("图中有什么?", "What is it?")


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("train.learing_rate=1", "train.learning_rate"),
        ("learning_rate=1", "train.learning_rate"),
        ("sede=1", "seed"),
        ("weights.llm=1", "weights.llm.source"),
        ("weights.llm.hiden_size=1", "weights.llm.hidden_size"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(override: str, nearest: str) -> None:
    error = refused(TINY, override)
    assert error.id == "recipe.unknown-key"
    if override != "weights.llm=1":
        assert nearest in error.remedy()


@pytest.mark.parametrize(
    "override", ["seed", "=3", "", "seed=[1", "train.betas={", "summary=2024-13-45"]
)
def test_an_override_that_is_none_is_refused(override: str) -> None:
    assert refused(TINY, override).id in {"recipe.bad-override", "recipe.unknown-key"}


@pytest.mark.parametrize(
    "override",
    [
        "seed=-1",
        "seed=1.5",
        "seed=true",
        "train.learning_rate=0",
        "train.learning_rate=.inf",
        "train.batch_size=0",
        "train.warmup_ratio=1.5",
        "train.sampler=random",
        "weights.vision.patch_size=15",
        "data.repeat=many",
        "name=Not A Name",
        "recipe=2",
    ],
)
def test_a_value_out_of_range_is_refused_and_named(override: str) -> None:
    error = refused(TINY, override)
    assert error.id == "recipe.bad-value"
    assert override.split("=")[0].split(".")[0] in error.what() + error.why


def test_an_unknown_key_in_the_file_is_refused(tmp_path: Path) -> None:
    raw = yaml.safe_load(TINY.read_text())
    raw["train"]["bach_size"] = 1
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw))
    error = refused(path)
    assert error.id == "recipe.unknown-key"
    assert "batch_size" in error.remedy()


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "just words", "\x00"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    assert refused(path).id == "recipe.not-yaml"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.yaml").id == "recipe.not-found"
    assert refused(tmp_path).id == "recipe.not-found"


def test_the_resolved_recipe_loads_as_the_same_recipe(tmp_path: Path) -> None:
    made = recipes.load(TINY, ["seed=5"])
    path = tmp_path / "recipe.json"
    path.write_text(yaml.safe_dump(made.resolved()))
    assert recipes.load(path) == made


def leaves(node: Any, prefix: str = "") -> set[str]:
    if not isinstance(node, dict):
        return {prefix[:-1]}
    return {leaf for key, value in node.items() for leaf in leaves(value, f"{prefix}{key}.")}


def test_known_keys_are_what_set_accepts() -> None:
    known = set(recipes.known_keys())
    for name in ("tiny", "tutorial"):
        resolved = recipes.load(TINY.with_name(f"{name}.yaml")).resolved()
        parents = {"train.evaluation", "train.memory", "data.download", "data.repeated"}
        parents |= {leaf for leaf in leaves(resolved) if leaf.endswith(".licence")}
        parents |= {"rehearsal", "expected.minutes.L20", "expected.minutes.A100"}
        hashes = {leaf for leaf in leaves(resolved) if ".sha256" in leaf}
        assert leaves(resolved) - parents - hashes <= known
    assert {"weights.llm.hidden_size", "weights.llm.sources", "weights.llm.path",
            "data.download.sources", "train.evaluation.every",
            "train.memory.resident_gib"} <= known  # fmt: skip
    assert "weights.llm" not in known


def test_the_tutorials_weights_and_data_are_what_was_measured() -> None:
    recipe = recipes.load(TINY.with_name("tutorial.yaml"))
    assert list(recipe.weights.remote()) == ["projector", "vision", "llm"]
    vision = recipe.weights.remote()["vision"]
    assert set(vision.sha256) == set(vision.files)
    assert recipe.data.download is not None
    assert set(recipe.data.download.sha256) == set(recipe.data.download.files)
    assert recipe.weights.remote()["llm"].licence is not None


PROFILES = sorted(TINY.parent.glob("tutorial-*.yaml"))


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_memory_profile_is_the_tutorial_trained_in_another_way(path: Path) -> None:
    tutorial = recipes.load(TINY.with_name("tutorial.yaml")).resolved()
    profile = recipes.load(path).resolved()
    for name in ("weights", "rehearsal", "data", "seed", "prompt_template"):
        assert profile[name] == tutorial[name]
    assert {**profile["ask"], "quantization": "none"} == tutorial["ask"], "the same questions"
    how = {"memory", "deepspeed"}
    assert {
        key for key, value in profile["train"].items() if value != tutorial["train"][key]
    } == how
    assert profile["train"]["memory"]["maths"] in ("identical", "changed")
    assert profile["expected"]["minutes"] == {}, "the tutorial's times are of another way"


def write(folder: Path, **recipes_: str) -> Path:
    for name, text in recipes_.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "tiny.yaml").write_text(TINY.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def test_what_extends_says_only_what_differs(tmp_path: Path) -> None:
    text = (
        "extends: tiny\nname: mine\nexpected: null\ntrain: {batch_size: 3, llm_lora: {rank: 8}}\n"
    )
    folder = write(tmp_path, mine=text)
    mine, tiny = recipes.load(folder / "mine.yaml"), recipes.load(TINY)
    assert mine.name == "mine"
    assert mine.train.llm_lora.rank == 8
    assert mine.train.llm_lora.alpha == tiny.train.llm_lora.alpha
    assert mine.expected.iterations is None
    assert mine.weights == tiny.weights


@pytest.mark.parametrize(
    ("text", "named"),
    [("extends: mine\n", "mine"), ("extends: ../x\n", "../x"), ("extends: [tiny]\n", "tiny"),
     ("extends: nowhere\n", "nowhere"), ("extends: round\n", "mine")],
)  # fmt: skip
def test_what_cannot_be_extended_is_named(tmp_path: Path, text: str, named: str) -> None:
    folder = write(tmp_path, mine=text, round="extends: mine\n")
    with pytest.raises(RecipeError) as caught:
        recipes.load(folder / "mine.yaml")
    assert named in f"{caught.value.what()} {caught.value.why}"


@pytest.mark.parametrize(
    ("override", "said"),
    [("train.memory.maths=changed", "changed"), ("train.memory.moments=int8", "8 bits"),
     ("train.deepspeed=zero2", "DeepSpeed"), ("train.memory.states=disk", "gpu")],
)  # fmt: skip
def test_a_profile_says_what_it_changes(override: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load(TINY.with_name("tutorial-24g.yaml"), [override])
    assert said in str(caught.value.why)
