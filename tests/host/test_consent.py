"""Nothing large begins unasked, and nothing small is asked about."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from host.recipes import LLM, TINY, given, remote

from llavakit import recipe as recipes
from llavakit.errors import ConfigurationError, Interrupted, KitError, WorkspaceError
from llavakit.host import consent, plan
from llavakit.host.console import Screen
from llavakit.host.given import apply
from llavakit.host.plan import Plan
from llavakit.host.settings import KIT
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

FETCHES = ("fetch-projector", "fetch-vision", "fetch-llm")
LARGE: dict[str, Any] = {"llm": {"gib": 15.7}, "disk_gib": 0.5, "minutes": 36.0}
TUTORIAL = recipes.load(TINY.with_name("tutorial.yaml"))


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
    error = refused(tmp_path, make(remote(minutes=30.0)), "train")
    assert error.id == "configuration.needs-consent"
    check(tmp_path, make(remote(minutes=29.0)), ["train"])
    check(tmp_path, make(remote(minutes=90.0)), ["fetch-llm", "models", "compare"])


def test_a_part_of_unknown_size_is_named_and_asked_about(tmp_path: Path) -> None:
    made = make(remote(llm={"gib": None}))
    cost = consent.cost(made, Workspace(tmp_path), [made.stage(label) for label in FETCHES])
    assert (cost.is_large, cost.unknown) == (True, ("llm",))
    assert "of unknown size: llm (" in cost.words()
    assert "up to 322.1 MB to download" in cost.words(), "the others are known"
    check(tmp_path, made, FETCHES[:2])


def tutorial(folder: Path, *labels: str, **options: str) -> consent.Cost:
    made = make(apply(TUTORIAL, options))
    return consent.cost(made, Workspace(folder), [made.stage(label) for label in labels])


def test_data_repeated_less_often_take_less(tmp_path: Path) -> None:
    short = recipes.load(TINY.with_name("tutorial.yaml"), ["data.repeat=20"])
    made = make(short)
    cost = consent.cost(made, Workspace(tmp_path), [made.stage("train")])
    assert cost.minutes == pytest.approx(3.6)
    assert cost.disk == pytest.approx(7.4 + 18.2), "120 iterations write one checkpoint"


def test_only_what_is_fetched_now_is_counted(tmp_path: Path) -> None:
    cost = tutorial(tmp_path, "fetch-data", "data")
    assert cost.download < 0.01
    assert cost.disk < 0.01
    assert not cost.is_large
    assert "min" not in cost.words()
    models = tutorial(tmp_path, *FETCHES, "models")
    assert models.download == pytest.approx(16.7)
    assert models.disk == pytest.approx(16.7 + 1.7), "and what comes as pickles in a safe form"
    train = tutorial(tmp_path, *FETCHES, "fetch-data", "models", "data", "train")
    assert train.disk == pytest.approx(16.701 + 7.4 + 2 * 18.2)
    assert tutorial(tmp_path, "ask-after", "compare").disk == 0


def test_a_merged_model_takes_as_much_as_its_parts(tmp_path: Path) -> None:
    cost = tutorial(tmp_path, "merge", "check-merged")
    assert cost.disk == pytest.approx(15.0 + 1.6)
    assert cost.words() == "16.6 GiB of disk"
    rehearsed = tutorial(tmp_path, "merge", weights="random")
    assert rehearsed.disk == pytest.approx(15.0, abs=0.1)
    (tmp_path / "mine").mkdir()
    for name, content in {"config.json": "{}", "model.safetensors": "x" * 2**20}.items():
        (tmp_path / "mine" / name).write_text(content)
    mine = tutorial(tmp_path, "merge", llm=str(tmp_path / "mine"))
    assert mine.disk == pytest.approx(1.6 + 2**-10)


def test_another_repository_is_of_unknown_size(tmp_path: Path) -> None:
    cost = tutorial(tmp_path, "fetch-llm", llm="huggingface:other/one")
    assert (cost.download, cost.unknown) == (0, ("llm",))
    known = tutorial(tmp_path, "fetch-llm", llm="modelscope:baicai003/Llama3-Chinese_v2")
    assert (known.download, known.unknown) == (15.0, ())


def test_a_folder_of_the_user_s_spares_its_own_part_alone(tmp_path: Path) -> None:
    given(tmp_path, "llm")
    with (tmp_path / "llm" / "model.safetensors").open("wb") as file:
        file.truncate(40 * 2**30)
    fetched = [label for label in FETCHES if label != "fetch-llm"]
    cost = tutorial(tmp_path, *fetched, "models", "train", llm=str(tmp_path / "llm"))
    assert cost.download == pytest.approx(1.7)
    assert cost.disk == pytest.approx(1.7 + 7.4 + 2 * 18.2)


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


def put(folder: Path, name: str, gib: float) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("wb") as file:
        file.truncate(int(gib * 2**30))


def test_random_weights_are_counted_as_disk_and_not_as_a_download(tmp_path: Path) -> None:
    recipe = recipes.load(KIT / "configs" / "recipes" / "tutorial.yaml")
    made = make(apply(recipe, {"weights": "random"}))
    stages = [made.stage(label) for label in ("fetch-data", "models")]
    cost = consent.cost(made, Workspace(tmp_path), stages)
    assert cost.only_gets
    assert cost.download < 0.01, "the data alone"
    assert 14.9 < cost.disk < 18
    whole = consent.cost(made, Workspace(tmp_path), [*stages, made.stage("train")])
    assert whole.disk == pytest.approx(cost.disk + 7.4 + 2 * 18.2)
    for place in (made.weights / "llm", made.run / "train"):
        (tmp_path / place).mkdir(parents=True)
        with (tmp_path / place / "x").open("wb") as file:
            file.truncate(16 * 2**30)
    rest = consent.cost(made, Workspace(tmp_path), [made.stage("train")])
    assert rest.disk == pytest.approx(7.4 + 2 * 18.2 - 16), "checkpoints that are here"


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
    made = make(remote(llm={"gib": 1.5}))
    stages = [made.stage(label) for label in FETCHES]
    assert consent.cost(made, Workspace(tmp_path), stages).is_large
    folder = tmp_path / made.downloads["fetch-llm"].folder
    put(folder.with_name(f".{folder.name}.parts"), "model.safetensors.12345678", 0.75)
    put(folder, "config.json", 0.25)
    cost = consent.cost(made, Workspace(tmp_path), stages)
    assert cost.download == pytest.approx(0.5 + 0.3)
    assert not cost.is_large
    put(tmp_path / made.downloads["fetch-vision"].folder, "m.bin", 3)
    cost = consent.cost(made, Workspace(tmp_path), stages)
    assert cost.download == pytest.approx(0.5 + 0.1), "one part's surplus is not another's"


def test_what_no_fetch_goes_on_with_is_not_here(tmp_path: Path) -> None:
    sha256 = {"model.safetensors": "ab" * 32}
    made = make(remote(llm={"gib": 1.5, "sha256": sha256}))
    folder = tmp_path / made.downloads["fetch-llm"].folder
    parts = folder.with_name(f".{folder.name}.parts")
    put(folder, "model.safetensors.wrong", 0.5)
    put(folder, "model.safetensors.2.wrong", 0.5)
    put(folder, "original/params.json", 0.5)
    put(folder, "lock.json", 0.5)
    put(parts, "model.safetensors.12345678", 0.5)
    put(parts, "model.safetensors.abababab.git/objects/1", 0.5)
    cost = consent.cost(made, Workspace(tmp_path), [made.stage("fetch-llm")])
    assert cost.download == 1.5
    put(parts, "model.safetensors.abababab", 0.5)
    cost = consent.cost(made, Workspace(tmp_path), [made.stage("fetch-llm")])
    assert cost.download == 1.0


def test_the_disk_is_looked_at_for_what_is_still_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 30 * 2**30}))
    made = make(remote(llm={"gib": 15.7}, disk_gib=59.0))
    check(tmp_path, made, [*FETCHES, "models"], agreed=True)
    error = refused(tmp_path, made, *FETCHES, "train")
    assert isinstance(error, WorkspaceError)
    assert "75 GiB" in error.what()
    assert "59 GiB" in refused(tmp_path, made, "train").what()


def test_it_is_said_and_asked_in_chinese_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Screen, "ask", lambda self, question: bool(asked.append(question)))
    made = make(remote(**LARGE))
    stages = [made.stage(label) for label in FETCHES]
    with pytest.raises(Interrupted):
        consent.check(Screen(lang="zh"), made, Workspace(tmp_path), stages)
    assert asked == ["是否继续?[y/N] "]
    err = capsys.readouterr().err
    for part in ("磁盘 16 GiB", "最多下载 17.2 GB", "免费体验", "下载即表示接受该许可"):
        assert part in err


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


def test_what_is_said_after_a_ctrl_c_at_the_question_begins_its_own_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {
        "isatty": lambda self: True, "readline": interrupt})())  # fmt: skip
    screen = Screen()
    monkeypatch.setattr(screen._err, "_force_terminal", True)
    with pytest.raises(KeyboardInterrupt):
        screen.ask("Go on? ")
    assert capsys.readouterr().err.endswith("\n")
