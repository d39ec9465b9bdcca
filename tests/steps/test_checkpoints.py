"""Checkpoints: which are whole, and which is the newest."""

from __future__ import annotations

import errno

import pytest
import torch

from llavakit.steps import checkpoints


def test_a_file_is_whole_when_its_end_is_there(tmp_path):
    path = tmp_path / "iter_5.pth"
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, path)
    assert checkpoints.is_whole(path)
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert not checkpoints.is_whole(path), size


def test_a_deepspeed_folder_is_whole_with_every_part(tmp_path):
    folder = tmp_path / "iter_7.pth"
    folder.mkdir()
    names = ["mp_rank_00_model_states.pt", "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"]
    for name in names:
        assert not checkpoints.is_whole(folder)
        torch.save({"a": torch.zeros(10)}, folder / name)
    assert checkpoints.is_whole(folder)
    assert not checkpoints.is_whole(folder, world_size=2)
    assert sorted(path.name for path in checkpoints.files(folder)) == sorted(names)
    (folder / names[1]).write_bytes(b"PK")
    assert not checkpoints.is_whole(folder)


def test_newest_is_by_number_and_torn_ones_go(tmp_path):
    for number in (9, 10, 100):
        torch.save({"a": torch.zeros(10)}, tmp_path / f"iter_{number}.pth")
    (tmp_path / "iter_100.pth").write_bytes(b"")
    (tmp_path / "iter_200.pth").mkdir()
    (tmp_path / "other.pth").write_bytes(b"")
    assert checkpoints.newest(tmp_path).iteration == 10
    assert [item.iteration for item in checkpoints.found(tmp_path)] == [9, 10]
    checkpoints.prune(tmp_path, 1)
    assert [item.iteration for item in checkpoints.found(tmp_path)] == [10]
    assert checkpoints.newest(tmp_path / "none") is None


def test_a_checkpoint_that_cannot_be_read_now_is_not_removed(tmp_path, monkeypatch):
    torch.save({"a": 1}, tmp_path / "iter_1.pth")

    def refuse(*_):
        raise PermissionError(errno.EACCES, "not now")

    monkeypatch.setattr(checkpoints.zipfile, "ZipFile", refuse)
    with pytest.raises(PermissionError):
        checkpoints.newest(tmp_path)
    assert (tmp_path / "iter_1.pth").exists()
