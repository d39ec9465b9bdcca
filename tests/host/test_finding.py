"""Which record a command means, and what it says where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from records import body

from llavakit import record
from llavakit.errors import RecordError
from llavakit.host import finding
from llavakit.workspace import Workspace


def kept(root: Path, run: str, text: str) -> Path:
    file = root / "runs" / run / record.FILE_NAME
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def test_without_a_run_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as error:
        finding.find(Workspace(tmp_path), "")
    assert error.value.name == "no-runs"
    assert str(tmp_path / "runs") in error.value.what("zh")


def test_where_none_can_be_read_one_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    torn = kept(tmp_path, "tiny-1", "{")
    with pytest.raises(RecordError) as error:
        finding.find(Workspace(tmp_path), "")
    assert (error.value.name, error.value.params["path"]) == ("not-a-record", str(torn))
    kept(tmp_path, "tiny-2", json.dumps({**body("tiny-2"), "version": 99}))
    with pytest.raises(RecordError) as error:
        finding.find(Workspace(tmp_path), "")
    assert error.value.name == "newer"
    kept(tmp_path, "tiny-0", json.dumps(body("tiny-0")))
    assert finding.find(Workspace(tmp_path), "").run.id == "tiny-0"
