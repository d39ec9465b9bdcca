"""Locks: what they notice, and that files appear whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llavakit import locks
from llavakit.locks import StepLock
from llavakit.phrases import phrase


@pytest.fixture
def made(tmp_path: Path) -> tuple[StepLock, Path]:
    output = tmp_path / "out" / "权重.bin"
    output.parent.mkdir()
    output.write_bytes(b"abc")
    lock = StepLock(output.parent / "lock.json")
    lock.write("models", "key", [output], source="drawn")
    return lock, output


def test_a_lock_is_fresh_for_its_key_and_files(made: tuple[StepLock, Path]) -> None:
    assert made[0].check("key").fresh
    assert made[0].check("key").reason is None


def test_another_key_is_stale(made: tuple[StepLock, Path]) -> None:
    assert made[0].check("other") == locks.LockState(False, phrase("stale.inputs"))


def test_a_missing_file_is_named(made: tuple[StepLock, Path]) -> None:
    made[1].unlink()
    assert made[0].check("key").reason == phrase("stale.missing", name="权重.bin")


def test_another_size_is_noticed(made: tuple[StepLock, Path]) -> None:
    made[1].write_bytes(b"abcd")
    assert "another size" in str(made[0].check("key").reason)


def test_other_bytes_of_the_same_size_are_noticed(made: tuple[StepLock, Path]) -> None:
    made[1].write_bytes(b"abX")
    os.utime(made[1], ns=(1, 1))
    assert "other bytes" in str(made[0].check("key").reason)


def test_a_copy_with_another_time_is_still_fresh(made: tuple[StepLock, Path]) -> None:
    os.utime(made[1], ns=(1, 1))
    assert made[0].check("key").fresh


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99}', "\x00"])
def test_a_lock_that_cannot_be_read_is_no_lock(made: tuple[StepLock, Path], text: str) -> None:
    made[0].path.write_text(text)
    assert made[0].check("key") == locks.LockState(False, phrase("stale.new"))
    assert made[0].hashes() == {}


def test_a_lock_keeps_hashes_and_facts(made: tuple[StepLock, Path]) -> None:
    assert made[0].hashes() == {"权重.bin": locks.file_sha256(made[1])}
    body = made[0].read()
    assert body is not None
    assert body["facts"] == {"source": "drawn"}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    locks.write_atomic(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        locks.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert locks.digest({"a": 1, "b": [2, "中"]}) == locks.digest({"b": [2, "中"], "a": 1})
    assert locks.digest({"a": 1}) != locks.digest({"a": 1.5})


def test_a_digest_is_the_sha256_of_compact_json() -> None:
    known = "503c4c2d7da29dfbc73d965ea156b6bdf9051faa9194064628e68514810ff823"
    assert locks.digest(["x", 1, 2.5, None, "中"]) == known


def test_files_are_hashed_by_name_and_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("1")
    second.write_text("2")
    one = locks.files_sha256(tmp_path, [first, second])
    assert one == locks.files_sha256(tmp_path, [second, first])
    second.rename(tmp_path / "c")
    assert one != locks.files_sha256(tmp_path, [first, tmp_path / "c"])
