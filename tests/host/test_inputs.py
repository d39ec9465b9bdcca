"""What is downloaded and what the user has: keys, places, mounts."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
from host.recipes import given, remote

from llavakit import recipe as recipes
from llavakit.errors import WeightsError
from llavakit.host import chat, plan, recording, results
from llavakit.host.making import ALL
from llavakit.host.plan import Plan, Stage, todo
from llavakit.host.settings import KIT
from llavakit.locks import StepLock
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

READ_WEIGHTS = ("convert-pretrained", "ask-before", "train", "convert", "ask-after")
FETCHES = ["fetch-projector", "fetch-vision", "fetch-llm", "fetch-data"]


def make(recipe: Recipe) -> Plan:
    return plan.make(recipe, kit=KIT, lock_sha256="0" * 64)


def option(stage: Stage, name: str) -> str:
    return stage.argv[stage.argv.index(name) + 1]


def to_run(made: Plan, root: Path, target: str) -> list[str]:
    todos = todo(made, Workspace(root), [target])
    return [item.stage.label for item in todos if item.action == "run"]


def pretend(made: Plan, root: Path, *labels: str) -> None:
    for label in labels:
        stage = made.stage(label)
        lock = root / stage.lock
        lock.parent.mkdir(parents=True, exist_ok=True)
        (lock.parent / f"{label}.bin").write_text(label)
        StepLock(lock).write(stage.step, stage.key, [lock.parent / f"{label}.bin"])


def test_only_what_is_remote_is_fetched_the_smallest_first() -> None:
    made = make(remote("llm", "vision", "projector", "data"))
    assert [stage.label for stage in made.stages] == [*FETCHES, *ALL, "merge", "check-merged"]
    assert [stage.label for stage in made.stages if stage.network] == FETCHES
    assert [stage.label for stage in make(remote("vision")).stages if stage.network] == [FETCHES[1]]


def test_a_fetch_writes_its_own_folder_and_reads_nothing_else() -> None:
    made = make(remote("llm", "data"))
    llm, data = made.stage("fetch-llm"), made.stage("fetch-data")
    assert option(llm, "--part") == "llm"
    assert option(llm, "--out").startswith("models/downloads/llama-")
    assert option(data, "--out").startswith("data/downloads/words-")
    assert str(llm.lock) == f"{option(llm, '--out')}/lock.json"
    assert (llm.protects, data.protects) == (("data",), ("models",))
    assert llm.mounts == data.mounts == ()


def test_models_are_told_where_each_part_lies() -> None:
    made = make(remote())
    models = made.stage("models")
    assert models.needs == ("fetch-projector", "fetch-vision", "fetch-llm")
    assert option(models, "--llm") == option(made.stage("fetch-llm"), "--out")
    projector = option(made.stage("fetch-projector"), "--out")
    assert option(models, "--projector") == f"{projector}/projector.pth"
    assert "--text" not in models.argv
    assert models.mounts == ()


def test_a_drawn_tokenizer_reads_the_data_that_are_fetched() -> None:
    made = make(remote("data"))
    folder = option(made.stage("fetch-data"), "--out")
    assert option(made.stage("models"), "--text") == folder
    assert option(made.stage("data"), "--source") == folder
    assert made.stage("models").needs == made.stage("data").needs == ("fetch-data",)
    assert made.stage("data").mounts == ()


def test_what_no_recipe_drew_is_shared_by_recipes() -> None:
    made = make(remote())
    assert made.weights.name.startswith("weights-")
    same = remote().model_copy(update={"name": "other", "seed": 7})
    assert make(same).weights == made.weights
    drawn = remote("llm", "vision")
    assert make(drawn).weights.name.startswith("drawn-")
    assert make(drawn.model_copy(update={"seed": 7})).weights != make(drawn).weights


def test_a_fetch_is_needed_only_while_the_models_are_not_there(tmp_path: Path) -> None:
    made = make(remote())
    assert to_run(made, tmp_path, "models") == [*FETCHES[:3], "models"]
    pretend(made, tmp_path, *FETCHES[:2])
    assert to_run(made, tmp_path, "models") == [FETCHES[2], "models"]
    pretend(made, tmp_path, "models")
    assert to_run(made, tmp_path, "models") == []


def test_what_the_user_has_is_mounted_for_all_that_read_it(tmp_path: Path) -> None:
    made = make(given(tmp_path))
    models = made.stage("models")
    sources = {mount.target.split("-")[0]: mount.source for mount in models.mounts}
    assert sources == {
        "inputs/llm": tmp_path / "llm",
        "inputs/vision": tmp_path / "vision",
        "inputs/projector": tmp_path / "projector.pth",
    }
    assert option(models, "--llm") in {mount.target for mount in models.mounts}
    for label in READ_WEIGHTS:
        assert {mount.source.name for mount in made.stage(label).mounts} == {"llm", "vision"}
    assert not any(str(tmp_path) in word for stage in made.stages for word in stage.argv)
    assert not any(stage.network for stage in made.stages)


def test_given_weights_are_known_by_their_files_not_by_where_they_are(tmp_path: Path) -> None:
    key = make(given(tmp_path / "a")).stage("models").key
    (tmp_path / "a").rename(tmp_path / "b")
    for path in (tmp_path / "b").rglob("*"):
        assert not path.is_symlink()
    stats = {path: path.stat() for path in (tmp_path / "b").rglob("*")}
    moved = given(tmp_path / "b")
    for path, stat in stats.items():
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert make(moved).stage("models").key == key
    (tmp_path / "b" / "llm" / ".git").mkdir()
    (tmp_path / "b" / "llm" / ".git" / "index").touch()
    assert make(moved).stage("models").key == key
    (tmp_path / "b" / "llm" / "model.safetensors").write_bytes(b"others")
    assert make(moved).stage("models").key != key


def test_a_folder_of_links_as_the_hub_s_cache_makes_them(tmp_path: Path) -> None:
    recipe = given(tmp_path / "models--x" / "snapshots", "llm")
    folder = tmp_path / "models--x" / "snapshots" / "llm"
    (tmp_path / "models--x" / "blobs").mkdir()
    (folder / "model.safetensors").rename(tmp_path / "models--x" / "blobs" / "1")
    (folder / "model.safetensors").symlink_to("../../blobs/1")
    (folder / "tokenizer.json").symlink_to("config.json")
    models = make(recipe).stage("models")
    mount = next(mount for mount in models.mounts if "llm" in mount.target)
    assert mount.source == tmp_path / "models--x"
    assert option(models, "--llm") == f"{mount.target}/snapshots/llm"
    (tmp_path / "short").symlink_to(folder)
    short = recipe.resolved()
    short["weights"]["llm"]["path"] = str(tmp_path / "short")
    assert make(recipes.parse(short, origin="test")).stage("models").mounts == models.mounts


@pytest.mark.parametrize(
    ("above", "end"),
    [
        ("a/b/c", "far"),
        (".", "far"),
        ("a", "far"),
        ("a", "a/far"),
        ("m/snapshots", "m/far"),
        ("m/snapshots", "m/blobs2/far"),
        ("m/snaps", "m/blobs/far"),
        ("snapshots", "blobs/../far"),
    ],
)
def test_a_folder_of_links_to_anywhere_is_refused(tmp_path: Path, above: str, end: str) -> None:
    """Never more than a model is mounted: not the home that a folder and its link's end share."""
    recipe = given(tmp_path / "home" / above, "vision")
    (tmp_path / "home/blobs").mkdir()
    (tmp_path / "home" / end).parent.mkdir(exist_ok=True)
    (tmp_path / "home" / end).write_text("x")
    (tmp_path / "home" / above / "vision/m.bin").symlink_to(tmp_path / "home" / end)
    with pytest.raises(WeightsError) as caught:
        make(recipe)
    assert caught.value.id == "weights.links-away"


def test_links_inside_a_folder_are_its_own_affair(tmp_path: Path) -> None:
    recipe = given(tmp_path, "vision")
    (tmp_path / "vision" / "m.bin").symlink_to("model.safetensors")
    mounts = make(recipe).stage("models").mounts
    assert {mount.source for mount in mounts} >= {tmp_path / "vision"}


def test_a_projector_s_file_keeps_its_name(tmp_path: Path) -> None:
    recipe = given(tmp_path).resolved()
    file = (tmp_path / "projector.pth").rename(tmp_path / "mine, 1.safetensors")
    recipe["weights"]["projector"]["path"] = str(file)
    models = make(recipes.parse(recipe, origin="test")).stage("models")
    [mount] = [mount for mount in models.mounts if "projector" in mount.target]
    assert mount.source == file
    folder, _, name = mount.target.rpartition("/")
    assert re.fullmatch("inputs/projector-[0-9a-f]{8}", folder)
    assert name == file.name
    assert option(models, "--projector") == mount.target


@pytest.mark.parametrize("part", ["llm", "vision", "projector"])
def test_what_is_not_there_is_refused_by_name(tmp_path: Path, part: str) -> None:
    recipe = given(tmp_path)
    place = tmp_path / (f"{part}.pth" if part == "projector" else f"{part}/config.json")
    place.unlink()
    with pytest.raises(WeightsError) as caught:
        make(recipe)
    assert caught.value.id == "weights.no-path"
    assert f"--{part}" in caught.value.remedy()
    assert str(tmp_path) in caught.value.what()


def test_a_record_says_what_was_used_not_where_it_lay(tmp_path: Path) -> None:
    body = json.dumps(recording.recorded(make(given(tmp_path)).recipe))
    assert str(tmp_path) not in body
    assert "projector.pth" in body
    fetched = recording.recorded(make(remote("llm", "data")).recipe)
    assert fetched["data"]["folder"] is None


def test_a_conversation_reads_the_user_s_weights_too(tmp_path: Path) -> None:
    made = make(given(tmp_path, "llm", "projector"))
    pipeline = SimpleNamespace(plan=made)
    stage = chat._stage(pipeline, made.tuned, PurePosixPath("cache/x.png"))  # type: ignore[arg-type]
    assert [mount.source.name for mount in stage.mounts] == ["llm"]


def test_hashes_of_linked_weights_are_among_the_artefacts(tmp_path: Path) -> None:
    made = make(given(tmp_path / "mine", "llm"))
    pretend(made, tmp_path, "models")
    lock = StepLock(tmp_path / made.stage("models").lock)
    linked = {"llm/model.safetensors": "0" * 64}
    files = [lock.path.parent / "models.bin"]
    lock.write("models", made.stage("models").key, files, linked=linked)
    found = results.collect(made, Workspace(tmp_path))
    assert recording._inside(made, "models", found) == {**lock.hashes(), **linked}
