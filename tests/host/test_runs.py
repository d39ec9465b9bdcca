"""Which run a command means."""

from __future__ import annotations

from pathlib import Path

import pytest

from llavakit.host import runs
from llavakit.host.console import Screen
from llavakit.locks import StepLock, write_json
from llavakit.workspace import Workspace

KEY = "k" * 64


def make(root: Path, name: str, *, finished: bool) -> None:
    folder = root / "runs" / name / "train"
    folder.mkdir(parents=True)
    if finished:
        StepLock(folder / "lock.json").write("train", KEY, [])


@pytest.mark.parametrize(
    ("there", "fresh", "picked"),
    [
        ({}, False, "tiny-1"),
        ({}, True, "tiny-1"),
        ({"tiny-1": True}, False, "tiny-1"),
        ({"tiny-1": True}, True, "tiny-1-2"),
        ({"tiny-1": False}, True, "tiny-1"),
        ({"tiny-1": True, "tiny-1-2": False}, True, "tiny-1-2"),
        ({"tiny-1": True, "tiny-1-2": False}, False, "tiny-1-2"),
        ({"tiny-1": True, "tiny-1-2": True}, True, "tiny-1-3"),
        ({"tiny-1-9": True, "tiny-1-10": True}, True, "tiny-1-11"),
        ({"tiny-10": True, "tiny-1-x": True, "tiny-1-02": True}, False, "tiny-1"),
    ],
)
def test_the_newest_run_is_meant_and_fresh_begins_one_only_after_a_finished_one(
    tmp_path: Path, there: dict[str, bool], fresh: bool, picked: str
) -> None:
    for name, finished in there.items():
        make(tmp_path, name, finished=finished)
    assert runs.pick(Workspace(tmp_path), "tiny-1", KEY, fresh=fresh) == picked


def test_a_folder_of_another_user_s_is_not_asked_for_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def private(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "glob", private)
    assert runs.pick(Workspace(tmp_path), "tiny-1", KEY, fresh=True) == "tiny-1"


def test_a_bench_is_listed_as_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "bench-20261124-211030"
    folder.mkdir(parents=True)
    rows = [{"recipe": "tiny"}, {"recipe": "tiny"}, {"recipe": "tutorial"}]
    body = {"created": "2026-11-24T21:10:30Z", "engine": {"name": "local"}, "rows": rows}
    write_json(folder / "bench.json", body)
    seen = runs.describe(folder)
    assert (seen["state"], seen["recipe"], seen["engines"]) == (
        "measured", "tiny, tutorial", ["local"],
    )  # fmt: skip
    (folder / "bench.json").write_text("{")
    assert runs.describe(folder)["recipe"] == ""
    assert runs.report(Workspace(tmp_path), Screen()) == 0
