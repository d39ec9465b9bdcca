"""Nothing large begins unasked, and nothing small is asked about."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from host.recipes import LLM, remote

from llavakit import recipe as recipes
from llavakit.errors import ConfigurationError, Interrupted, KitError, WorkspaceError
from llavakit.host import consent, given, plan
from llavakit.host.console import Screen
from llavakit.host.plan import Plan
from llavakit.host.settings import KIT
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

FETCHES = ("fetch-projector", "fetch-vision", "fetch-llm")
LARGE: dict[str, Any] = {"download_gib": 16.0, "disk_gib": 16.5, "minutes": 36.0}


def make(recipe: Recipe) -> Plan:
    return plan.make(recipe, kit=KIT, lock_sha256="0" * 64)


def check(root: Path, made: Plan, labels: Sequence[str], *, agreed: bool = False) -> None:
    stages = [made.stage(label) for label in labels]
    consent.check(Screen(), made, Workspace(root), stages, agreed=agreed)


def refused(root: Path, made: Plan, *labels: str) -> KitError:
    with pytest.raises(KitError) as caught:
        check(root, made, labels)
    return caught.value


@pytest.fixture(autouse=True)
def _much_room(monkeypatch: pytest.MonkeyPatch) -> None:
    room = type("Usage", (), {"free": 2**40})
    monkeypatch.setattr("shutil.disk_usage", lambda _: room)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    given: list[bool] = []
    monkeypatch.setattr(Screen, "ask", lambda self, question: given.pop())
    return given


def test_without_a_terminal_much_is_refused_in_words(tmp_path: Path) -> None:
    error = refused(tmp_path, make(remote(**LARGE)), *FETCHES, "models")
    assert isinstance(error, ConfigurationError)
    assert error.exit_code == 2
    assert "17.2 GB to download" in error.what()
    assert "--yes" in error.remedy()


def test_who_agreed_beforehand_is_not_asked(tmp_path: Path) -> None:
    check(tmp_path, make(remote(**LARGE)), [*FETCHES, "train"], agreed=True)


def test_an_answer_decides(tmp_path: Path, answers: list[bool]) -> None:
    made = make(remote(**LARGE))
    answers += [False, True]
    check(tmp_path, made, FETCHES)
    with pytest.raises(Interrupted) as caught:
        check(tmp_path, made, FETCHES)
    assert caught.value.id == "step.declined"
    assert caught.value.exit_code == 130


def test_an_hour_of_training_is_asked_about_and_minutes_are_not(tmp_path: Path) -> None:
    small = {"download_gib": 0.1, "disk_gib": 1.0}
    error = refused(tmp_path, make(remote(**small, minutes=30.0)), "train")
    assert error.id == "configuration.needs-consent"
    check(tmp_path, make(remote(**small, minutes=29.0)), ["train"])
    check(tmp_path, make(remote(**small, minutes=90.0)), ["fetch-llm", "models", "compare"])


def test_a_part_of_unknown_size_is_asked_about(tmp_path: Path) -> None:
    made = make(remote("llm"))
    stages = [made.stage("fetch-llm")]
    cost = consent.cost(made, Workspace(tmp_path), stages, {"llm"})
    assert cost.is_large
    assert "unknown size" in cost.words()
    assert not consent.cost(made, Workspace(tmp_path), stages, {"vision"}).is_large
    check(tmp_path, made, ["fetch-llm"])


def test_one_line_says_what_it_takes_and_names_the_free_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(remote(**LARGE, memory_gib=24.0))
    check(tmp_path, made, [*FETCHES, "train"], agreed=True)
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("needs")]
    for part in ("36 min", "24 GiB of memory", "16.5 GiB of disk", "17.2 GB", "`invoke demo`"):
        assert part in line
    check(tmp_path, make(remote("data")), ["train"])
    assert "invoke demo" not in capsys.readouterr().err


def test_licences_are_named_for_what_will_be_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(remote(**LARGE))
    refused(tmp_path, made, *FETCHES)
    err = capsys.readouterr().err
    assert err.count("licence  ") == 1
    assert f"{LLM['licence']['name']}, {LLM['licence']['address']}: by downloading" in err
    refused(tmp_path, made, "train")
    assert "licence  " not in capsys.readouterr().err


def test_random_weights_are_counted_as_disk_and_not_as_a_download(tmp_path: Path) -> None:
    recipe = recipes.load(KIT / "configs" / "recipes" / "tutorial.yaml")
    made = make(given.apply(recipe, {"weights": "random"}))
    stages = [made.stage(label) for label in ("fetch-data", "models")]
    cost = consent.cost(made, Workspace(tmp_path), stages)
    assert cost.only_gets
    assert cost.download == 0
    assert 15 < cost.disk < 18
    whole = consent.cost(made, Workspace(tmp_path), [*stages, made.stage("train")])
    assert whole.disk == pytest.approx(24 + 2 * 18.2)
    for place in (made.weights / "llm", made.run / "train"):
        (tmp_path / place).mkdir(parents=True)
        with (tmp_path / place / "x").open("wb") as file:
            file.truncate(16 * 2**30)
    rest = consent.cost(made, Workspace(tmp_path), [made.stage("train")])
    assert rest.disk == pytest.approx(whole.disk - 32), "weights and checkpoints that are here"


def test_a_50_gb_disk_takes_the_tutorial_when_only_the_last_checkpoint_is_kept(
    tmp_path: Path,
) -> None:
    path = KIT / "configs" / "recipes" / "tutorial.yaml"
    disk = {}
    for every in (500, 1200, 2000):
        made = make(recipes.load(path, [f"train.checkpoints.every={every}"]))
        stages = [made.stage(label) for label in (*FETCHES, "models", "train")]
        disk[every] = consent.cost(made, Workspace(tmp_path), stages).disk * 2**30 / 1e9
    assert disk[500] > 60
    assert disk[1200] == disk[2000] < 46


def test_what_is_here_is_not_counted_again(tmp_path: Path) -> None:
    recipe = remote(download_gib=1.5, disk_gib=2.0)
    made = make(recipe)
    stages = [made.stage(label) for label in FETCHES]
    assert consent.cost(made, Workspace(tmp_path), stages).is_large
    folder = tmp_path / made.downloads["fetch-llm"].folder
    parts = folder.with_name(f".{folder.name}.parts")
    parts.mkdir(parents=True)
    with (parts / "model.safetensors.1").open("wb") as file:
        file.truncate(2**30)
    cost = consent.cost(made, Workspace(tmp_path), stages)
    assert cost.download == pytest.approx(0.5)
    assert not cost.is_large
    assert cost.disk == pytest.approx(1.0)


def test_the_disk_is_looked_at_for_what_is_still_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 30 * 2**30}))
    made = make(remote(download_gib=16.0, disk_gib=75.0))
    check(tmp_path, made, [*FETCHES, "models"], agreed=True)
    error = refused(tmp_path, made, *FETCHES, "train")
    assert isinstance(error, WorkspaceError)
    assert "75 GiB" in error.what()
    assert "59 GiB" in refused(tmp_path, made, "train").what()


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y\n", True), ("Yes\n", True), ("\n", False), ("", False), ("n\n", False)],
)
def test_only_a_yes_is_a_yes(monkeypatch: pytest.MonkeyPatch, typed: str, answer: bool) -> None:
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {
        "isatty": lambda self: True, "readline": lambda self: typed})())  # fmt: skip
    screen = Screen()
    assert screen.ask("Go on?") is None, "nobody sees the question"
    monkeypatch.setattr(screen._err, "_force_terminal", True)
    assert screen.ask("Go on?") is answer
