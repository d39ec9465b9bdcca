"""The workspace's file system and the clock, by the host's own words."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from llavakit.host.doctor import place
from llavakit.host.doctor.findings import is_held

MOUNTS = """\
overlay / overlay rw 0 0
drvfs /mnt/c 9p rw 0 0
nas:/x /mnt/my\\040nas nfs4 rw 0 0
tmpfs /mnt tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/home/me", "overlay"), ("/mnt/c/me", "9p"), ("/mnt/my nas/w", "nfs4"), ("/mnt/cx", "tmpfs")],
)
def test_a_folder_s_file_system(tmp_path: Path, folder: str, kind: str) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert place.file_system(Path(folder), tmp_path / "mounts") == kind
    assert place.file_system(Path(folder), tmp_path / "none") == "?"


def test_the_clone_knows_when_it_was_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert place.newest_commit() > place.LOCK_DATE or not (place.KIT / ".git").exists()
    monkeypatch.setattr(place, "KIT", tmp_path)
    assert place.newest_commit() == 0.0


def test_a_lock_is_looked_at_and_not_taken(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert not is_held(path)
    assert not path.exists()
    path.touch()
    assert not is_held(path)
    with FileLock(path):
        assert is_held(path)
    FileLock(path).acquire(timeout=0).lock.release()
