"""The record: reading every version, refusing the rest in words, writing whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from records import SHA, body, first_version

from llavakit import record
from llavakit.errors import RecordError
from llavakit.record_form import Run


def leaves(value: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    else:
        return {path: value}
    return {key: leaf for name, item in pairs for key, leaf in leaves(item, (*path, name)).items()}


def written(folder: Path, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / record.FILE_NAME).write_text(text, encoding="utf-8")
    return folder


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = record.load(written(tmp_path, body()))
    assert run.model_dump(mode="json", exclude_unset=True) == body()
    assert record.load(tmp_path / record.FILE_NAME) == run
    assert record.read(tmp_path) == run.model_dump(mode="json")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("created",), "2024-99-99T99:99:99Z"),
        (("created",), "9999-12-31T23:59:59Z"),
        (("provenance", "stages", 0, "started"), "yesterday"),
        (("provenance", "stages", 0, "seconds"), 1e300),
        (("provenance", "stages", 0, "seconds"), -1e11),
        (("results", "seconds_per_iteration"), -1.0),
        (("results", "seconds", 1), 1e300),
        (("id",), "a\ud800b"),
        (("results", "artefacts"), {"train": {"a\udfff": SHA["a"]}}),
        (("identity", "recipe", "name"), "\udc80"),
    ],
)
def test_what_no_run_could_have_written_is_refused(
    tmp_path: Path, path: tuple[Any, ...], value: Any
) -> None:
    stranger = body()
    stranger["provenance"]["stages"][0]["seconds"] = 1.0
    record.load(written(tmp_path, stranger))
    part: Any = stranger
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(RecordError) as error:
        record.load(written(tmp_path, stranger))
    assert error.value.name == "not-a-record"
    error.value.why_in("zh").encode("utf-8")


def test_version_1_is_read_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    old = leaves(first_version())
    new = leaves(record.load(written(tmp_path, first_version())).model_dump(mode="json"))
    changed = {key for key in old if new.get(key) != old[key]}
    kits = {("provenance", "stages", number, "kit") for number in (0, 1)}
    assert changed == {("version",), *kits}
    stages = ("provenance", "stages")
    assert new[(*stages, 0, "kit", "commit")] == "62276198370cfc7d40d30e10d3f3b6045585e060"
    assert new[(*stages, 0, "kit", "dirty")] is True
    assert new[(*stages, 1, "kit", "commit")] == "unknown"
    assert [new[(*stages, number, "outcome")] for number in (0, 1)] == ["done", "failed"]


def test_a_record_of_version_1_goes_on_as_one_of_version_2(tmp_path: Path) -> None:
    kept = record.Record(written(tmp_path, first_version()))
    kept.save()
    assert json.loads((tmp_path / record.FILE_NAME).read_text())["version"] == 2
    assert record.load(tmp_path).results.losses == [2.5, 1.5]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("", "not-a-record"),
        ("[]", "not-a-record"),
        ("{", "not-a-record"),
        ("\x00", "not-a-record"),
        ({"version": "2"}, "not-a-record"),
        ({"version": 1}, "not-a-record"),
        ({"version": 1, "provenance": {"stages": [1]}}, "not-a-record"),
        ({**body(), "more": 1}, "not-a-record"),
        ({**body(), "created": "yesterday"}, "not-a-record"),
        ({**body(), "version": 3}, "newer"),
    ],
)
def test_what_is_no_record_is_refused_in_words(tmp_path: Path, content: Any, name: str) -> None:
    with pytest.raises(RecordError) as caught:
        record.load(written(tmp_path, content))
    assert caught.value.name == name
    assert record.FILE_NAME in caught.value.what()
    assert record.read(tmp_path) is None


def test_no_record_is_said_too(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        record.load(tmp_path)
    assert caught.value.id == "record.not-found"


def test_what_cannot_be_read_is_moved_aside_never_written_over(tmp_path: Path) -> None:
    record.Record(written(tmp_path, "{torn"))
    assert (tmp_path / record.ASIDE).read_text() == "{torn"


def test_a_newer_record_is_not_touched(tmp_path: Path) -> None:
    newer = json.dumps({**body(), "version": 3})
    with pytest.raises(RecordError):
        record.Record(written(tmp_path, newer))
    assert (tmp_path / record.FILE_NAME).read_text() == newer


def test_a_stage_that_ends_takes_the_place_of_its_beginning(tmp_path: Path) -> None:
    kept = record.Record(written(tmp_path, body()))
    first = {**body()["provenance"]["stages"][0], "label": "convert", "outcome": "begun"}
    kept.stage(**first)
    kept.stage(**{**first, "outcome": "done", "seconds": 1.0})
    kept.stage(**{**first, "outcome": "begun"})
    kept.stage(**{**first, "started": "2026-11-24T13:00:00Z", "engine": None, "outcome": "done"})
    kept.save()
    stages = record.load(tmp_path).provenance.stages
    assert [stage.outcome for stage in stages] == ["done", "done", "begun", "done"]


def test_a_fingerprint_is_of_identity_and_results_alone() -> None:
    one = Run.model_validate(body())
    other = body()
    other["provenance"]["stages"] = []
    assert record.fingerprint(Run.model_validate(other)) == record.fingerprint(one)
    other["results"]["losses"][0] += 1e-9
    assert record.fingerprint(Run.model_validate(other)) != record.fingerprint(one)
