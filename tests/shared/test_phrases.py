"""Parts of sentences: the table, the wire between a step and the host, and who uses them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from languages import faults, fields

from llavakit import messages, messages_phrases
from llavakit.errors import DataError, SourceError, StepError, from_wire
from llavakit.events import Event, EventReader, EventWriter, note_in
from llavakit.phrases import Phrase, from_json, phrase

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "llavakit"
SAYERS = {"phrase", "note", "_note"}
"""Functions whose first argument is a phrase's id, the rest its parameters."""


@pytest.mark.parametrize("key", sorted(messages_phrases.TABLE))
def test_all_is_said_in_both_languages(key: str) -> None:
    en, zh = messages_phrases.TABLE[key]
    assert faults(en, zh) == []
    assert en.isascii()
    assert key not in messages.TABLE


def used() -> Iterator[tuple[str, set[str], str]]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(
                node.func, "id", "")  # fmt: skip
            first = node.args[0]
            if name in SAYERS and isinstance(first, ast.Constant):
                given = {keyword.arg for keyword in node.keywords if keyword.arg}
                yield str(first.value), given, f"{path.name}:{node.lineno}"


def test_every_phrase_that_is_said_is_there_with_its_parameters() -> None:
    found = list(used())
    assert len(found) > 30
    for key, given, where in found:
        assert fields(messages_phrases.TABLE[key].en) == given, f"{where}: {key}"


def test_no_phrase_is_dead() -> None:
    source = "".join(
        path.read_text()
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("messages_phrases.py", "phrases.py")
    )
    assert [key for key in messages_phrases.TABLE if f'"{key}"' not in source] == []


def test_no_step_writes_a_note_in_words_of_its_own() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name != "events.py":
            assert 'emit("note"' not in path.read_text(encoding="utf-8"), path


def test_a_note_is_heard_in_the_language_of_whoever_reads(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, "train")
    writer.note("note.resumes", n=40)
    gone = SourceError("missing", source="hub", what="w.bin")
    writer.note("note.again", file="w.bin", what=gone.as_phrase())
    first, second = EventReader(tmp_path, from_start=True).read()
    assert first.fields["text"] == note_in(first, "en") == "goes on from iteration 40"
    assert note_in(first, "zh") == "从第 40 次迭代继续"
    assert gone.what("zh") in note_in(second, "zh")
    assert note_in(second, "zh").endswith("重试")


def test_no_secret_is_in_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hf_abcdefghij")
    EventWriter(tmp_path, "fetch").note("note.from", artefact="a", source="x?t=hf_abcdefghij")
    assert "hf_abcdefghij" not in next(tmp_path.glob("*.jsonl")).read_text()


@pytest.mark.parametrize(
    "fields", [{"text": "old"}, {"id": "note.of-tomorrow", "params": {}, "text": "old"},
               {"id": "note.resumes", "params": {}, "text": "old"},
               {"id": "note.resumes", "params": 3, "text": "old"}],
)  # fmt: skip
def test_a_note_of_another_version_is_shown_as_it_is(fields: dict[str, object]) -> None:
    assert note_in(Event("note", "train", 0.0, fields), "zh") == "old"


def test_a_phrase_survives_json() -> None:
    made = phrase("stale.result", reason=phrase("stale.missing", name="a{b} 权重"))
    assert from_json(json.loads(json.dumps(made.to_json()))) == made
    assert made.say("zh") == "其结果:缺少 a{b} 权重"
    assert str(made) == "its result: a{b} 权重 is missing"


@pytest.mark.parametrize("value", [None, 3, [], {"id": "stale.new"}, {"id": [], "params": {}}])
def test_what_is_no_phrase_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no phrase"):
        from_json(value)


def test_an_error_carries_phrases_over_the_wire() -> None:
    lacks = phrase("lacks.iterations", found=3, wanted=80)
    error = StepError("no-result", step="train", missing=lacks, log="l", why=phrase("ended.early"))
    back = from_wire(error.to_wire())
    assert back is not None
    assert back.what() == error.what()
    assert "记录中有 3 次迭代" in back.what("zh")
    assert back.why_in("zh") == "提前结束"
    assert back.why == "it ended early"
    assert isinstance(back.params["missing"], Phrase)


def test_raw_text_is_no_phrase() -> None:
    error = DataError("no-file", file="{x}", folder="d", why="ENOENT {y}")
    assert error.why_in("zh") == "ENOENT {y}"
