"""Plans: what a change makes stale, and what it leaves alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePosixPath

import pytest

from llavakit import recipe as recipes
from llavakit.errors import DataError
from llavakit.host import plan
from llavakit.host.making import ALL
from llavakit.host.plan import Plan, todo
from llavakit.host.settings import KIT
from llavakit.locks import StepLock
from llavakit.workspace import Workspace

TINY = KIT / "configs" / "recipes" / "tiny.yaml"
LOCK = "0" * 64
AFTER_TRAINING = {"train", "convert", "ask-after", "compare", "merge", "check-merged"}
ASKED = {"ask-before", "ask-after", "compare", "check-merged"}


def make(*overrides: str, lock: str = LOCK, kit: Path = KIT) -> Plan:
    return plan.make(recipes.load(TINY, overrides), kit=kit, lock_sha256=lock)


def changed(one: Plan, other: Plan) -> set[str]:
    return {stage.label for stage in one.stages if other.stage(stage.label).key != stage.key}


def pretend_made(made: Plan, workspace: Workspace, *labels: str) -> None:
    """Put an output with its lock where each stage would put it."""
    for label in labels or ALL:
        stage = made.stage(label)
        lock = workspace.root / stage.lock
        lock.parent.mkdir(parents=True, exist_ok=True)
        output = lock.parent / f"{label}.bin"
        output.write_text(label)
        StepLock(lock).write(stage.step, stage.key, [output])


def to_run(made: Plan, workspace: Workspace, *targets: str) -> set[str]:
    todos = todo(made, workspace, targets or ALL)
    return {item.stage.label for item in todos if item.action == "run"}


def test_the_same_recipe_gives_the_same_plan() -> None:
    assert make() == make()


def test_a_run_is_named_after_its_recipe_and_what_it_trains_from() -> None:
    assert make().run_id.startswith("tiny-")
    assert make().run_id != make("seed=1").run_id
    assert make().run_id == make("ask.max_new_tokens=5").run_id


@pytest.mark.parametrize(
    ("override", "stale"),
    [
        ("train.learning_rate=1e-3", AFTER_TRAINING),
        ("train.llm_lora.rank=8", AFTER_TRAINING),
        ("data.repeat=10", AFTER_TRAINING | {"data"}),
        ("ask.max_new_tokens=5", ASKED),
        ("seed=1", AFTER_TRAINING | {"models", "convert-pretrained", "ask-before"}),
        ("needs.minutes=9", set()),
        ("expected.iterations=9", set()),
        ("train.llm_dtype=float16", AFTER_TRAINING | {"ask-before"}),
        ("summary=other words", set()),
    ],
)
def test_a_change_makes_stale_what_follows_from_it_and_no_more(
    override: str, stale: set[str]
) -> None:
    assert changed(make(), make(override)) == stale


def test_another_lock_makes_everything_that_computes_stale() -> None:
    everything = {stage.label for stage in make().stages}
    assert changed(make(), make(lock="1" * 64)) == everything - {"data"}


def test_a_changed_picture_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(KIT / "data", tmp_path / "data")
    before = make(kit=tmp_path)
    assert changed(make(), before) == set()
    picture = next((tmp_path / "data" / "sample").rglob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    assert "train" in changed(before, make(kit=tmp_path))


def test_nothing_is_run_when_all_is_there(tmp_path: Path) -> None:
    made, workspace = make(), Workspace(tmp_path)
    assert to_run(made, workspace) == set(ALL)
    pretend_made(made, workspace)
    assert to_run(made, workspace) == set()


def test_only_what_the_target_needs_is_run(tmp_path: Path) -> None:
    assert to_run(make(), Workspace(tmp_path), "data") == {"data"}
    assert to_run(make(), Workspace(tmp_path), "train") == {"models", "data", "train"}


def test_merging_needs_no_comparison_and_its_check_the_merged_model(tmp_path: Path) -> None:
    made, workspace = make(), Workspace(tmp_path)
    needed = {"models", "data", "train", "convert", "merge", "check-merged"}
    assert to_run(made, workspace, "merge", "check-merged") == needed
    pretend_made(made, workspace, *needed)
    (tmp_path / made.run / "merged" / "merge.bin").unlink()
    assert to_run(made, workspace, "merge", "check-merged") == {"merge"}


def test_other_terms_are_other_words_in_the_merged_model() -> None:
    tutorial = TINY.with_name("tutorial.yaml")
    one, other = (
        plan.make(recipes.load(tutorial, words), kit=KIT, lock_sha256=LOCK)
        for words in ((), ("weights.llm.licence.name=OTHER TERMS",))
    )
    assert changed(one, other) == {"merge", "check-merged"}


def test_what_came_before_is_not_made_again_for_a_result_that_is_there(tmp_path: Path) -> None:
    made, workspace = make(), Workspace(tmp_path)
    pretend_made(made, workspace)
    shutil.rmtree(tmp_path / "models")
    assert to_run(made, workspace, "compare") == set()
    assert to_run(made, workspace, "models") == {"models"}


def test_a_lost_output_is_made_again_with_its_reason(tmp_path: Path) -> None:
    made, workspace = make(), Workspace(tmp_path)
    pretend_made(made, workspace)
    (tmp_path / made.run / "train" / "train.bin").unlink()
    todos = {item.stage.label: item for item in todo(made, workspace, ALL)}
    assert todos["train"].action == "run"
    assert todos["train"].why() == "train.bin is missing"
    assert todos["train"].why("zh") == "缺少 train.bin"
    assert todos["compare"].action == "up to date"


def test_every_path_on_a_command_line_is_relative_to_the_workspace() -> None:
    for stage in make().stages:
        assert not any(PurePosixPath(word).is_absolute() for word in stage.argv), stage.argv
        assert not stage.lock.is_absolute()


def test_a_stage_protects_what_it_does_not_write() -> None:
    for stage in make().stages:
        written = stage.lock.parts[0]
        assert set(stage.protects) == {"models", "data"} - {written}


@pytest.mark.parametrize(
    ("override", "message"),
    [("data.folder=data/none", "data.no-folder"), ("data.file=none.json", "data.no-file")],
)
def test_data_that_is_not_there_is_refused(override: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        make(override)
    assert caught.value.id == message


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"image": 3}]', '[{"image": "no.png"}]'])
def test_a_plan_can_be_made_for_data_that_the_data_step_will_refuse(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "broken.json").write_text(text)
    made = make(f"data.folder={json.dumps(str(tmp_path))}", "data.file=broken.json")
    assert made.stage("data").mounts[0].source == tmp_path
