"""Another source for a part of the weights, named on the command line."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from host.recipes import LLM, TINY, given, remote

from llavakit import artefact
from llavakit import recipe as recipes
from llavakit.errors import ConfigurationError, DataError, RecipeError
from llavakit.host import given as given_options
from llavakit.host.given import apply, lacks_projector, name_of
from llavakit.parts import Given, RandomLLM, RemoteWeights
from llavakit.recipe import Recipe


def tiny() -> Recipe:
    return recipes.load(TINY)


def llm(recipe: Recipe) -> RemoteWeights:
    assert isinstance(recipe.weights.llm, RemoteWeights)
    return recipe.weights.llm


def test_without_the_options_the_recipe_stays() -> None:
    assert apply(tiny(), {"llm": "", "vision": ""}) == tiny()


def test_a_folder_is_relative_to_where_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(tmp_path)
    monkeypatch.chdir(tmp_path)
    weights = apply(tiny(), {"llm": "llm", "projector": "projector.pth"}).weights
    assert weights.llm == Given(source="path", path=str(tmp_path / "llm"))
    assert weights.projector == Given(source="path", path=str(tmp_path / "projector.pth"))
    assert weights.vision == tiny().weights.vision


def test_a_repository_becomes_an_artefact_with_the_recipe_s_licence() -> None:
    made = llm(apply(remote(), {"llm": "huggingface:Maker/Llama-3_X@abc"}))
    assert made.name == "llama-3_x"
    assert artefact.title(made.sources[0]) == "Hugging Face Maker/Llama-3_X@abc"
    assert set(made.files) == {"*.json", "*.safetensors"}
    assert made.licence is not None and made.licence.name == LLM["licence"]["name"]
    assert llm(apply(tiny(), {"llm": "modelscope:a/b"})).licence is None
    vision = apply(tiny(), {"vision": "modelscope:a/clip"}).weights.vision
    assert isinstance(vision, RemoteWeights) and "config.json" in vision.files


def test_a_source_of_the_recipe_keeps_what_the_recipe_knows() -> None:
    recipe = remote()
    raw = recipe.resolved()
    raw["weights"]["llm"]["sources"] = [
        {"hub": "huggingface", "repository": "maker/llama", "revision": "abc"},
        {"hub": "modelscope", "repository": "maker/llama", "revision": "v1"},
    ]
    raw["weights"]["llm"]["sha256"] = {"config.json": "0" * 64}
    recipe = recipes.parse(raw, origin="test")
    for where in ("modelscope:maker/llama", "modelscope:maker/llama@v1"):
        made = llm(apply(recipe, {"llm": where}))
        assert made.sources == llm(recipe).sources[1:]
        assert (made.name, made.sha256) == ("llama", llm(recipe).sha256)
    other = llm(apply(recipe, {"llm": "modelscope:maker/llama@v2"}))
    assert other.sha256 == {}


def test_real_models_around_a_drawn_projector_are_warned_about(tmp_path: Path) -> None:
    given(tmp_path)
    own = {"llm": str(tmp_path / "llm"), "vision": str(tmp_path / "vision")}
    for part, where in own.items():
        assert lacks_projector(apply(tiny(), {part: where}), {part: where})
    whole = {**own, "projector": str(tmp_path / "projector.pth")}
    assert not lacks_projector(apply(tiny(), whole), whole)
    assert not lacks_projector(apply(remote(), own), own)
    assert not lacks_projector(tiny(), {})


def tutorial() -> Recipe:
    return recipes.load(TINY.with_name("tutorial.yaml"))


def test_a_rehearsal_needs_no_download_of_weights() -> None:
    made = apply(tutorial(), {"weights": "random"})
    assert made.weights == tutorial().rehearsal
    assert made.weights.remote() == {}
    assert made.train == tutorial().train
    assert given_options.changes({"weights": "random", "llm": "x"}) == [
        "--weights random", "--llm"]  # fmt: skip


def test_a_part_of_a_rehearsal_can_be_the_user_s(tmp_path: Path) -> None:
    given(tmp_path)
    made = apply(tutorial(), {"weights": "random", "vision": str(tmp_path / "vision")}).weights
    assert isinstance(made.vision, Given)
    assert isinstance(made.llm, RandomLLM)


def test_there_is_one_kind_of_rehearsal_and_tiny_has_none() -> None:
    with pytest.raises(ConfigurationError) as caught:
        apply(tutorial(), {"weights": "real"})
    assert "random" in caught.value.remedy()
    with pytest.raises(RecipeError) as missing:
        apply(tiny(), {"weights": "random"})
    assert missing.value.id == "recipe.no-rehearsal"


def own(folder: Path, text: str = "[]") -> tuple[Recipe, Path]:
    """A recipe whose data are known by their hash, and a folder with ``text`` as such data."""
    raw = remote("data").resolved()
    raw["data"]["download"]["sha256"] = {"words.json": hashlib.sha256(b"[]").hexdigest()}
    folder.mkdir(exist_ok=True)
    (folder / "words.json").write_text(text)
    return recipes.parse(raw, origin="test"), folder


def test_data_that_are_here_need_no_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, folder = own(tmp_path / "d")
    monkeypatch.chdir(tmp_path)
    data = apply(recipe, {"data": "d"}).data
    assert (data.folder, data.download) == (str(folder), None)
    assert (data.file, data.repeat) == (recipe.data.file, recipe.data.repeat)


def test_data_with_other_bytes_are_refused_with_both_hashes(tmp_path: Path) -> None:
    recipe, folder = own(tmp_path / "d", "[1]")
    with pytest.raises(DataError) as caught:
        apply(recipe, {"data": str(folder)})
    assert caught.value.id == "data.other-bytes"
    assert str(folder / "words.json") in caught.value.what()
    (folder / "words.json").unlink()
    with pytest.raises(DataError) as missing:
        apply(recipe, {"data": str(folder)})
    assert missing.value.id == "data.no-file"
    with pytest.raises(DataError) as nowhere:
        apply(recipe, {"data": str(tmp_path / "none")})
    assert nowhere.value.id == "data.no-folder"


@pytest.mark.parametrize(
    "options",
    [
        {"llm": "nowhere"},
        {"llm": "http://a/b"},
        {"vision": "modelscope:one"},
        {"projector": "modelscope:a/b"},
        {"projector": "."},
    ],
)
def test_what_is_neither_is_refused_in_words(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        apply(tiny(), options)
    assert caught.value.id == "configuration.bad-value"
    assert next(iter(options.values())) in caught.value.what()
    said = caught.value.what("zh") + caught.value.remedy("zh")
    assert "the source" not in said
    assert "本机已有的文件" in said


@pytest.mark.parametrize(
    ("repository", "name"),
    [("a/Llama-3", "llama-3"), ("a/-x..", "x.."), ("a/___", "weights"), ("a/模型B", "b")],
)
def test_a_name_has_allowed_characters_only(repository: str, name: str) -> None:
    assert name_of(repository) == name
