"""The host's table of words."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

from llavakit.host import words
from llavakit.messages import TABLE as FAILURES

HOST = Path(words.__file__).parent


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", sorted(words.TABLE))
def test_all_is_said_in_both_languages(key: str) -> None:
    en, zh = words.TABLE[key]
    assert fields(en) == fields(zh)
    assert any("一" <= char <= "鿿" for char in zh)
    assert en.isascii()


def test_every_word_is_used() -> None:
    tables = {"words.py", "words_records.py", "words_report.py"}
    source = "".join(path.read_text() for path in HOST.glob("*.py") if path.name not in tables)
    made = ("state.", "verify.", "bench.", "records.", "result.", "pin.", "packages.", "expect.",
            "verdict.", "report.")  # fmt: skip
    plain = [key for key in words.TABLE if not key.startswith(made)]
    assert [key for key in plain if f'"{key}"' not in source] == []
    for key in words.TABLE:
        if key.startswith("state.source."):
            assert key.removeprefix("state.") in FAILURES


def test_chinese_is_said_on_request_only() -> None:
    assert words.text("stopped", "zh") == "已停止"
    assert words.text("stopped", "en") == words.text("stopped", "fr") == "stopped"
    assert words.text("licence", lang="en", artefact="a", name="N", address="x").startswith("a: N")
