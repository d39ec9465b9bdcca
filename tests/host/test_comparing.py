"""Two records: what differs in what they are, and in what came out."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from host.recipes import remote
from hypothesis import given
from hypothesis import strategies as st
from records import SHA, body

from llavakit import recipe as recipes
from llavakit import record
from llavakit.host import comparing, diffing
from llavakit.host.console import Screen
from llavakit.host.settings import KIT
from llavakit.record_form import Run
from llavakit.workspace import Workspace


def run(name: str = "tiny-1", change: Any = None, **more: Any) -> Run:
    content = copy.deepcopy(body(name, **more))
    if change:
        change(content)
    return Run.model_validate(content)


def names(one: Run, other: Run) -> list[str]:
    return [difference.name for difference in comparing.identities(one, other)]


def unequal(one: Run, other: Run) -> list[str]:
    return [figure.name for figure in comparing.results(one, other) if not figure.equal]


def test_a_run_is_equal_to_itself_under_another_id() -> None:
    assert names(run(), run("tiny-1-2")) == []
    assert unequal(run(), run("tiny-1-2")) == []


@pytest.mark.parametrize(
    ("more", "name", "asked"),
    [
        ({"seed": 1}, "seed", True),
        ({"lock": SHA["f"]}, "lock", True),
        ({"world_size": 2}, "world_size", True),
        ({"data": {"conversations.json": SHA["a"]}}, "data conversations.json", True),
        ({"weights": {"llm/model.safetensors": SHA["a"]}}, "drawn llm/model.safetensors", False),
        ({"steps": SHA["a"]}, "steps", False),
        ({"template": SHA["a"]}, "template", False),
        ({"base": "sha256:0"}, "base", False),
        ({"python": "3.10.12"}, "python", False),
    ],
)
def test_what_differs_is_named_and_whether_it_was_asked_for(
    more: dict[str, Any], name: str, asked: bool
) -> None:
    [difference] = comparing.identities(run(), run(**more))
    assert (difference.name, difference.asked) == (name, asked)


def test_values_of_the_recipe_are_named_by_their_keys() -> None:
    def faster(content: dict[str, Any]) -> None:
        content["identity"]["recipe"]["train"]["learning_rate"] = 0.01
        content["identity"]["recipe"]["summary"] = "other words"

    [difference] = comparing.identities(run(), run(change=faster))
    assert (difference.name, difference.one, difference.other) == (
        "recipe.train.learning_rate", 0.003, 0.01,
    )  # fmt: skip


def test_keys_that_a_recipe_of_today_has_more_are_no_difference() -> None:
    tiny = recipes.load(KIT / "configs" / "recipes" / "tiny.yaml").resolved()
    older = copy.deepcopy(tiny)
    del older["train"]["memory"], older["train"]["accumulation"], older["rehearsal"]
    assert names(run(recipe=tiny), run(recipe=older)) == []


def test_where_weights_came_from_is_no_difference_their_bytes_are() -> None:
    here = remote().resolved()
    there = copy.deepcopy(here)
    there["weights"]["llm"] = {"source": "path", "path": "mine"}
    there["data"] |= {"folder": "mine", "download": None}
    files = {"llm/model.safetensors": SHA["a"]}
    one, other = (run(recipe=recipe, weights=files) for recipe in (here, there))
    assert names(one, other) == []
    changed = run(recipe=there, weights={"llm/model.safetensors": SHA["b"]})
    [difference] = comparing.identities(one, changed)
    assert (difference.name, difference.asked) == ("weights llm/model.safetensors", True)


@given(st.integers(0, 3), st.floats(1e-12, 1))
def test_the_first_loss_that_differs_and_by_how_much(place: int, by: float) -> None:
    def shift(content: dict[str, Any]) -> None:
        content["results"]["losses"][place] += by

    other = run(change=shift)
    [losses] = [each for each in comparing.results(run(), other) if each.name == "losses"]
    if other.results.losses == run().results.losses:  # less than the last bit
        assert losses.equal
    else:
        assert not losses.equal
        assert losses.detail["first"] == place + 1
        assert losses.detail["most"] == pytest.approx(by, rel=1e-3)


def test_other_weights_are_named() -> None:
    def retrain(content: dict[str, Any]) -> None:
        files = content["results"]["artefacts"]["convert"]
        files["runs/tiny-1/tuned/projector/model.safetensors"] = SHA["f"]

    [figure] = [each for each in comparing.results(run(), run(change=retrain)) if not each.equal]
    assert figure.name == "weights convert"
    assert figure.detail["differ"] == ["tuned/projector/model.safetensors"]


def test_what_an_older_record_lacks_is_not_in_both() -> None:
    def forget(content: dict[str, Any]) -> None:
        del content["results"]["learning_rates"]

    figures = {each.name: each for each in comparing.results(run(change=forget), run())}
    assert not figures["learning rates"].in_both
    assert diffing.state(figures["learning rates"], "en") == "only one has it"
    assert "answers before" not in figures


# --- the command ---


def written(root: Path, *runs: Run) -> Workspace:
    for each in runs:
        folder = root / "runs" / each.id
        folder.mkdir(parents=True)
        (folder / record.FILE_NAME).write_text(each.model_dump_json())
    return Workspace(root)


def test_diff_says_that_only_the_seed_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = written(tmp_path, run(), run("tiny-2", seed=1))
    assert diffing.diff(place, "tiny-1", "tiny-2", Screen()) == 1
    out = capsys.readouterr().out
    assert "identity: 1 differ" in out
    assert "│ seed" in out
    assert out.count("equal") >= 5


def test_equal_runs_end_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = written(tmp_path, run(), run("tiny-1-2"))
    elsewhere = str(tmp_path / "runs" / "tiny-1-2" / record.FILE_NAME)
    for lang, words in (("en", "nothing differs"), ("zh", "没有不同")):
        assert diffing.diff(place, "tiny-1", elsewhere, Screen(lang=lang)) == 0
        assert words in capsys.readouterr().out


def test_diff_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(json_output=True)
    diffing.diff(written(tmp_path, run(), run("b", seed=1)), "tiny-1", "b", screen)
    screen.close(0)
    content = json.loads(capsys.readouterr().out)
    assert content["runs"] == ["tiny-1", "b"]
    assert content["identity"] == [{"name": "seed", "one": 0, "other": 1}]
    assert {figure["name"] for figure in content["results"]} >= {"losses", "weights train"}
