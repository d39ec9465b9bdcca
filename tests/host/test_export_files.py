"""The files of an export: the same bytes anywhere, and nobody else's written over."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from host.exports import HOST, content, exported, graph, placed, references
from records import MACHINE, SHA

from llavakit import record
from llavakit.errors import RecordError
from llavakit.host import export_crate, exporting
from llavakit.host.console import Screen
from llavakit.host.settings import KIT
from llavakit.workspace import Workspace


def test_the_same_record_gives_the_same_bytes_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = exported(placed(tmp_path / "一 one", merged=True))
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    other = placed(tmp_path / "other", merged=True)
    assert exported(other, lang="zh") == first
    assert exported(other) == first, "a second export finds the first one's files"


@pytest.mark.parametrize("to", [False, True])
def test_no_folder_of_a_host_is_in_any_and_its_name_in_the_record_alone(
    tmp_path: Path, to: bool
) -> None:
    found = content()
    found["provenance"]["stages"][0]["command"] = "cd $WORKSPACE && HF_TOKEN=*** python"
    place = placed(tmp_path / "w", found)
    texts = exported(place, to=str(tmp_path / "mine") if to else "")
    assert ("run.json" in texts) is to
    for name, text in texts.items():
        assert (HOST in text) is (name == "run.json"), name
        assert str(tmp_path) not in text, name
        assert str(KIT) not in text, name


def test_a_user_s_files_are_not_written_over(tmp_path: Path) -> None:
    place, mine = placed(tmp_path / "w"), tmp_path / "mine"
    mine.mkdir()
    assert exported(place, to=str(mine)) == exported(place, to=str(mine)), "ours may be"
    metadata = mine / "ro-crate-metadata.json"
    for text in ("{}", "[", json.dumps({"@graph": [{"@id": "./", "name": "my own"}, "x"]})):
        metadata.write_text(text)
        with pytest.raises(RecordError) as error:
            exported(place, to=str(mine))
        assert error.value.name == "export-occupied"
        assert metadata.read_text() == text


def test_a_link_in_a_run_from_elsewhere_is_not_written_through(tmp_path: Path) -> None:
    place, outside = placed(tmp_path / "w"), tmp_path / "outside"
    outside.mkdir()
    folder = place.runs / "tiny-1" / "export"
    folder.symlink_to(outside)
    with pytest.raises(RecordError) as error:
        exported(place)
    assert error.value.name == "export-link"
    assert list(outside.iterdir()) == []
    folder.unlink()
    folder.mkdir()
    private = tmp_path / "private"
    private.write_text("mine")
    (folder / "README.md").symlink_to(private)
    exported(place)
    mine = tmp_path / "mine"
    exported(place, to=str(mine))
    (mine / "run.json").unlink()
    (mine / "run.json").symlink_to(private)
    exported(place, to=str(mine))
    assert private.read_text() == "mine"
    assert (mine / "run.json").read_bytes() == (place.runs / "tiny-1/run.json").read_bytes()


def test_nothing_is_written_before_all_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("x")

    monkeypatch.setattr(export_crate, "metadata", broken)
    place = placed(tmp_path)
    with pytest.raises(ValueError, match="x"):
        exported(place)
    assert not (place.runs / "tiny-1" / "export").exists()


def test_a_record_from_anywhere_makes_a_crate_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(content()))
    assert exporting.export(Workspace(tmp_path / "none"), str(file), "", Screen()) == 0
    folder = tmp_path / "mine.export"
    found = graph((folder / "ro-crate-metadata.json").read_text())
    assert (folder / "run.json").read_bytes() == file.read_bytes()
    assert len(references(found["./"]["hasPart"])) == 4


def test_a_stranger_s_record_reaches_no_file_outside_of_the_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("private")
    sha256 = hashlib.sha256(b"private").hexdigest()
    place = placed(tmp_path / "w")
    found = content()
    found["results"]["artefacts"] = {
        "train": {"runs/tiny-1/../../../outside": sha256, str(outside): SHA["a"]}
    }
    (place.runs / "tiny-1" / record.FILE_NAME).write_text(json.dumps(found))
    parts = references(graph(exported(place)["ro-crate-metadata.json"])["./"]["hasPart"])
    assert not [name for name in parts if "outside" in name]
    capsys.readouterr()
    screen = Screen(json_output=True)
    assert exporting.export(place, "", "", screen) == 0
    screen.close(0)
    said = json.loads(capsys.readouterr().out)
    assert (said["changed"], said["missing"]) == ([], []), "nobody is told what is there"


def test_older_records_and_machines_are_taken(tmp_path: Path) -> None:
    found = content()
    found["provenance"]["stages"][0] |= {"argv": [], "seconds": None, "kit": {
        "commit": "unknown", "dirty": False}}  # fmt: skip
    found["provenance"]["trained_on"] = [{**MACHINE, "gpu": "NVIDIA L20", "device": "gpu"}]
    texts = exported(placed(tmp_path, found))
    assert graph(texts["ro-crate-metadata.json"])["#train-unknown"]["name"] == "train"
    said = json.loads(texts["provenance.intoto.json"])["predicate"]["buildDefinition"]
    assert "llavakit" not in [each["name"] for each in said["resolvedDependencies"]]
    assert said["internalParameters"]["kit"] == ["unknown"]
