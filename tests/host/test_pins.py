"""`invoke verify RUN`: every pin that drifted is named, and nothing that only went away."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host.test_pipeline import DEFAULTS, pipeline, working
from records import body, first_version

from llavakit import record
from llavakit.errors import RecordError
from llavakit.host import environment, finding, pins, settings
from llavakit.host.console import Screen
from llavakit.host.making import ALL
from llavakit.workspace import Workspace


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Path]:
    """A workspace with one finished run of scripted stages."""
    root = tmp_path / "w"
    done, _ = pipeline(root, working(root))
    done.bring_up_to_date(ALL)
    yield root


def verified(root: Path, name: str = "", screen: Screen | None = None) -> dict[str, str]:
    """State by the name of each pin."""
    screen = screen or Screen(json_output=True)
    merged = settings.resolve(DEFAULTS, {"workspace": str(root)})
    found = finding.find(Workspace(root), name)
    try:
        assert pins.verify(merged, found, screen) == 0
    except RecordError as error:
        assert error.exit_code == 1
        if error.name == "drifted":
            states = [pin for pin in screen._document["pins"] if pin["state"] == "drifted"]
            assert all(pin["name"] in error.what() for pin in states)
    return {pin["name"]: pin["state"] for pin in screen._document["pins"]}


def drifted(states: dict[str, str]) -> list[str]:
    return [name for name, state in states.items() if state == "drifted"]


def flip(path: Path) -> None:
    """Change one bit, and leave size and time as they were."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_all_holds_after_a_run(made: Path) -> None:
    states = verified(made)
    assert drifted(states) == []
    assert {states[name] for name in ("lock", "steps", "template", "recipe", *ALL)} == {"ok"}


@pytest.mark.parametrize("where", ["models/*", "data/*", "runs/*/train", "runs/*", "cache"])
def test_one_flipped_bit_is_named(made: Path, where: str) -> None:
    path = next(made.glob(f"{where}/*.out"))
    flip(path)
    assert drifted(verified(made)) == [str(path.relative_to(made))]


def test_one_flipped_bit_in_the_lock_is_named(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    shutil.copy(environment.LOCK, lock)
    flip(lock)
    monkeypatch.setattr(environment, "LOCK", lock)
    assert drifted(verified(made)) == ["lock"]


def test_other_code_is_named(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "source_sha256", lambda: "0" * 64)
    assert drifted(verified(made)) == ["steps"]


def test_a_changed_recipe_is_named(made: Path) -> None:
    path = next(made.glob("runs/*/recipe.json"))
    content = json.loads(path.read_text())
    content["train"]["learning_rate"] *= 2
    path.write_text(json.dumps(content))
    assert drifted(verified(made)) == ["recipe"]


def test_a_record_that_says_other_than_its_files_is_named(made: Path) -> None:
    folder = next(made.glob("runs/*"))
    (folder / "train" / "history.json").write_text('[{"loss": 1.5}]')
    content = json.loads((folder / record.FILE_NAME).read_text())
    content["results"] |= {"losses": [1.0], "iterations": 1}
    (folder / record.FILE_NAME).write_text(json.dumps(content))
    assert drifted(verified(made)) == ["record"]


def test_what_went_away_is_said_and_is_no_drift(made: Path) -> None:
    for path in made.glob("models/*/*.out"):
        path.unlink()
    states = verified(made)
    assert states["models"] == "missing"
    assert drifted(states) == []


def test_nothing_left_is_said(made: Path) -> None:
    for path in made.rglob("*.out"):
        path.unlink()
    record_only = Screen(json_output=True)
    merged = settings.resolve(DEFAULTS, {"workspace": str(made)})
    with pytest.raises(RecordError) as caught:
        pins.verify(merged, finding.find(Workspace(made), ""), record_only)
    assert caught.value.name == "nothing-left"


def test_a_user_s_own_file_is_looked_at_where_it_is(made: Path, tmp_path: Path) -> None:
    """Under docker it was mounted for the job alone: the link in models/ leads to nothing now."""
    own = tmp_path / "mine" / "model.safetensors"
    own.parent.mkdir()
    own.write_bytes(b"weights")
    folder = next(made.glob("runs/*"))
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["weights"]["llm"] = {"source": "path", "path": str(own.parent)}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    content = json.loads((folder / record.FILE_NAME).read_text())
    recipe["weights"]["llm"]["path"] = "mine"
    content["identity"]["recipe"] = recipe
    name = "models/drawn-1/llm/model.safetensors"
    content["results"]["artefacts"]["models"] = {name: environment.file_sha256(own)}
    content["identity"]["weights"] = {"llm/model.safetensors": environment.file_sha256(own)}
    (folder / record.FILE_NAME).write_text(json.dumps(content))
    assert verified(made)["models"] == "ok"
    flip(own)
    assert drifted(verified(made)) == [name]


@pytest.mark.parametrize("content", [first_version(), body("tiny-3a14cde5")])
def test_a_record_without_its_workspace_and_of_an_older_version(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    folder = tmp_path / "w" / "runs" / "tiny-3a14cde5"
    folder.mkdir(parents=True)
    (folder / record.FILE_NAME).write_text(json.dumps(content))
    states = verified(tmp_path / "w", "tiny-3a14cde5")
    assert {"lock", "steps"} <= set(drifted(states)), "they are made up"
    assert states["template"] == ("unknown" if content["version"] == 1 else "drifted")


def test_the_table_is_one_and_fits(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merged = settings.resolve(DEFAULTS, {"workspace": str(made)})
    found = finding.find(Workspace(made), "")
    for lang, words in (("en", "package lock"), ("zh", "软件包锁")):
        assert pins.verify(merged, found, Screen(lang=lang)) == 0
        out = capsys.readouterr().out
        assert words in out
        assert max(map(len, out.splitlines())) <= 80


# --- which run ---


def test_the_newest_run_is_meant_where_none_is_named(tmp_path: Path) -> None:
    for number, name in enumerate(("b", "a", "c")):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / record.FILE_NAME).write_text(json.dumps(body(name)))
        os.utime(folder / record.FILE_NAME, (number, number))
    (tmp_path / "runs" / "d").mkdir()
    (tmp_path / "runs" / "d" / record.FILE_NAME).write_text("{")
    place = Workspace(tmp_path)
    assert finding.find(place, "").run.id == "c"
    assert [found.run.id for found in finding.all_runs(place)] == ["a", "b", "c"]
    found = finding.find(place, "a")
    assert found.root() == tmp_path
    elsewhere = tmp_path / "mine.json"
    shutil.copy(found.file, elsewhere)
    assert finding.find(place, str(elsewhere)).root() is None


@pytest.mark.parametrize("name", ["nosuch", "/nowhere/run.json"])
def test_no_such_run_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecordError) as caught:
        finding.find(Workspace(tmp_path), name)
    assert caught.value.name == "no-run"
    assert "invoke runs" in caught.value.remedy()
