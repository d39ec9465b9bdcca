"""The error tree and its table of messages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from languages import faults, fields

from llavakit import errors, messages
from llavakit.errors import DataError, Interrupted, KitError, SourceError, StepError, from_wire

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "llavakit"


@pytest.mark.parametrize("message_id", sorted(messages.TABLE))
def test_every_message_speaks_both_languages_and_has_a_remedy(message_id: str) -> None:
    entry = messages.TABLE[message_id]
    for text in entry:
        assert text.what.strip()
        assert text.remedy.strip()
    assert faults(" ".join(entry.en), " ".join(entry.zh)) == []
    assert message_id.partition(".")[0] in errors.prefixes()


def raised() -> dict[tuple[str, str], set[str]]:
    """(class, message name) -> parameter names, of every literal raise in the package."""
    names = {cls.__name__ for cls in _subclasses(KitError)}
    found: dict[tuple[str, str], set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in names and node.args and isinstance(node.args[0], ast.Constant):
                given = {keyword.arg for keyword in node.keywords if keyword.arg} - {
                    "why",
                    "causes",
                }
                unpacked = any(keyword.arg is None for keyword in node.keywords)
                if not unpacked:
                    found[(node.func.id, str(node.args[0].value))] = given
    return found


def _subclasses(cls: type[KitError]) -> set[type[KitError]]:
    return {cls}.union(*(_subclasses(sub) for sub in cls.__subclasses__()))


def test_every_error_that_the_code_raises_is_in_the_table_with_its_parameters() -> None:
    calls = raised()
    assert len(calls) > 20
    for (cls, name), given in calls.items():
        message_id = f"{getattr(errors, cls).prefix}.{name}"
        assert message_id in messages.TABLE, message_id
        wanted = fields("".join(messages.TABLE[message_id].en))
        assert wanted <= given, f"{message_id} needs {wanted - given}"


def test_every_message_is_used_somewhere() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
        if not path.name.startswith("messages")
    )
    unused = [
        key
        for key in messages.TABLE
        if f'"{key.partition(".")[2]}"' not in source and f'"{key}"' not in source
    ]
    assert unused == []


def test_an_error_survives_the_wire() -> None:
    error = DataError("no-file", why="第一行\nsecond", file="a{b}.json", folder="x")
    back = from_wire(error.to_wire())
    assert isinstance(back, DataError)
    assert (back.id, back.why, back.params) == (error.id, error.why, error.params)
    assert "a{b}.json" in back.what("zh")


def test_an_interruption_stays_one_on_the_wire() -> None:
    back = from_wire(Interrupted("interrupted", step="train").to_wire())
    assert isinstance(back, Interrupted)
    assert back.exit_code == 130
    other = from_wire(StepError("out-of-memory", step="train").to_wire())
    assert type(other) is StepError
    assert other.exit_code == 1


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        errors.WIRE_PREFIX,
        errors.WIRE_PREFIX + "[]",
        errors.WIRE_PREFIX + '{"id": "data.no-such", "why": "", "params": {}}',
        errors.WIRE_PREFIX + '{"id": "nobody.x", "why": "", "params": {}}',
        errors.WIRE_PREFIX + '{"id": "data.no-file", "why": "", "params": {}}',
    ],
)
def test_a_line_that_is_no_error_of_ours_is_left(line: str) -> None:
    assert from_wire(line) is None


@pytest.mark.parametrize(
    ("environ", "lang"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "", "LC_MESSAGES": "zh_TW"}, "zh"),
        ({}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_language_comes_from_the_locale(environ: dict[str, str], lang: str) -> None:
    assert messages.language(environ) == lang


def test_the_causes_of_an_error_survive_the_wire_too() -> None:
    causes = [
        SourceError("gated", source="a", why="401"),
        SourceError("missing", source="b", what="revision x"),
    ]
    error = SourceError("none-left", artefact="clip", file="config.json", causes=causes)
    back = from_wire(error.to_wire())
    assert isinstance(back, SourceError)
    assert [(cause.id, cause.why) for cause in back.causes] == [
        ("source.gated", "401"),
        ("source.missing", ""),
    ]
    assert "revision x" in back.causes[1].what("zh")
