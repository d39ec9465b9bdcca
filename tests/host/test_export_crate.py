"""The RO-Crate: its parts are there with these bytes, and it is closed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from host.exports import CUDA, content, exported, graph, placed, references
from records import SHA

from llavakit import record
from llavakit.host import exporting
from llavakit.host.console import Screen


@pytest.mark.parametrize("to", [False, True])
def test_the_crate_s_parts_are_there_with_these_bytes(tmp_path: Path, to: bool) -> None:
    place = placed(tmp_path / "w", merged=True)
    root = tmp_path / "mine" if to else place.runs / "tiny-1"
    found = graph(exported(place, to=str(root) if to else "")["ro-crate-metadata.json"])
    parts = references(found["./"]["hasPart"])
    for name in parts:
        path, said = root / name, found[name]
        assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert said["contentSize"] == str(path.stat().st_size)
        assert said["@type"] == "File"
    named = {"run.json", *(("README.md", "sbom.cdx.json", "provenance.intoto.json") if to else (
        "export/README.md", "train/iter_4_weights.pth", "tuned/projector/model.safetensors",
        "merged/model.safetensors", "export/sbom.cdx.json"))}  # fmt: skip
    assert named <= set(parts)
    assert len(parts) == (4 if to else 8)


def test_the_crate_is_closed_and_tells_what_was_made_from_what(tmp_path: Path) -> None:
    place = placed(tmp_path, content(CUDA, SHA["d"]))
    found = graph(exported(place)["ro-crate-metadata.json"])
    known = "https://w3id.org/ro/crate/1.1"
    assert found["ro-crate-metadata.json"]["conformsTo"] == {"@id": known}
    assert found["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    ids = found.keys() | {known, "https://w3id.org/ro/terms/workflow-run#DockerImage"}
    assert set(references(list(found.values()))) <= ids
    assert found["./"]["mentions"] == {"@id": "#1-train"}
    action = found["#1-train"]
    assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert action["endTime"] == "2026-11-24T12:00:03+00:00"
    assert references(action["result"]) == ["train/history.json", "train/iter_4_weights.pth"]
    read = [found[key] for key in references(action["object"])]
    assert {each["name"] for each in read} == {
        "models/drawn-1/llm/model.safetensors", "data/tiny-1/conversations.json"
    }  # fmt: skip
    for each in read:
        assert each["@id"].startswith("ni:///sha-256;")
        assert each["sha256"] == hashlib.sha256((tmp_path / each["name"]).read_bytes()).hexdigest()
    tool = found[action["instrument"]["@id"]]
    assert (tool["name"], tool["softwareVersion"]) == ("llavakit.steps.train", "1" * 40)
    assert found[action["containerImage"]["@id"]]["sha256"] == SHA["c"]


def test_files_with_equal_bytes_keep_their_names(tmp_path: Path) -> None:
    found = content()
    weights = found["results"]["artefacts"]["models"]
    weights["models/drawn-1/vision/model.safetensors"] = SHA["d"]
    weights["models/drawn-1/llm/model.safetensors"] = SHA["d"]
    place = placed(tmp_path)
    (place.runs / "tiny-1" / record.FILE_NAME).write_text(json.dumps(found))
    [same] = [each for each in graph(exported(place)["ro-crate-metadata.json"]).values()
              if each.get("sha256") == SHA["d"]]  # fmt: skip
    assert same["name"] == "models/drawn-1/llm/model.safetensors"
    assert same["alternateName"] == ["models/drawn-1/vision/model.safetensors"]


def test_a_start_that_failed_made_nothing(tmp_path: Path) -> None:
    found = content()
    [done] = found["provenance"]["stages"]
    found["provenance"]["stages"] = [
        {**done, "outcome": "failed", "error": "step.failed"}, done, {**done, "outcome": "begun"}
    ]  # fmt: skip
    first, second, third = (
        graph(exported(placed(tmp_path, found))["ro-crate-metadata.json"])[f"#{n}-train"]
        for n in (1, 2, 3)
    )
    assert first["actionStatus"].endswith("FailedActionStatus")
    assert first["error"] == "step.failed"
    assert "result" not in first
    assert "result" in second
    assert "actionStatus" not in third
    assert "result" not in third


def test_what_changed_or_went_is_no_part_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = placed(tmp_path)
    train = place.runs / "tiny-1" / "train"
    (train / "history.json").write_text("other bytes")
    (train / "iter_4_weights.pth").unlink()
    screen = Screen(json_output=True)
    assert exporting.export(place, "", "", screen) == 0
    screen.close(0)
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert said["changed"] == ["runs/tiny-1/train/history.json"]
    assert said["missing"] == ["runs/tiny-1/train/iter_4_weights.pth"]
    assert "runs/tiny-1/train/history.json" in printed.err
    exporting.export(place, "", "", Screen(lang="zh"))
    assert "left out" not in capsys.readouterr().err
    found = graph((train.parent / "ro-crate-metadata.json").read_text())
    assert not [name for name in references(found["./"]["hasPart"]) if name.startswith("train")]
    for path, sha256 in said["files"].items():
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == sha256
