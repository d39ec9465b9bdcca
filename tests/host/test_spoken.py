"""Nothing that the host says stands in its code: all of it is in the tables, in two languages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from llavakit.events import Event
from llavakit.host import amounts, words
from llavakit.host.console import Screen
from llavakit.host.progress import LABEL_WIDTH, LineProgress, describe, labelled

HOST = Path(words.__file__).parent
LATER = {"doctor.py", "runs.py"}
"""Tables of these are being written."""
KEYED = ("text", "say", "get")
"""Functions that are given a key, not what people read."""
SPEAKERS = {"say": 1, "note": 0, "result": 1, "table": 0}
"""Which argument of a call is the first that people read."""


def name_of(call: ast.Call) -> str:
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))


def prose(node: ast.AST) -> list[str]:
    """English prose in the texts of ``node``, but for keys of tables and of JSON."""
    keys = {
        id(part)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and name_of(call) in KEYED
        for part in ast.walk(call)
    }
    texts = [
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in keys
    ]
    return [text for text in texts if re.search(r"[a-z]{2,} [a-z]{2,}|^#?[a-z]{3,}$", text.strip())]


def spoken() -> list[str]:
    found = []
    for path in HOST.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or path.name in LATER:
                continue
            name, owner = name_of(node), ast.unparse(node.func)
            if name in SPEAKERS and ("screen" in owner or owner == "table"):
                named = [word.value for word in node.keywords if word.arg in ("text", "table")]
                for each in (*node.args[SPEAKERS[name] :], *named):
                    found += [f"{path.name}: {text!r}" for text in prose(each)]
    return found


def test_no_prose_in_the_host_s_code() -> None:
    assert spoken() == []


def test_the_rule_finds_prose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(
        'screen.say("run", "is in use")\nscreen.say("run", words.text("run.where"))\n'
        'screen.result(None, text=f"made in {s} of time")\ntable("", ("picture",), rows)\n'
    )
    monkeypatch.setitem(globals(), "HOST", tmp_path)
    assert spoken() == [
        "x.py: 'is in use'",
        "x.py: 'made in '",
        "x.py: ' of time'",
        "x.py: 'picture'",
    ]


def test_labels_are_as_wide_in_chinese() -> None:
    from rich.cells import cell_len

    keys = [key for key in words.TABLE if key.startswith("label.")]
    assert len(keys) > 15
    for key in [*keys, "label.convert-pretrained"]:
        for lang in ("en", "zh"):
            assert cell_len(labelled(key.removeprefix("label."), lang)) == LABEL_WIDTH


def test_progress_is_told_in_chinese() -> None:
    fields = {"n": 3, "of": 9, "loss": 1.25, "memory_mib": 100}
    assert describe(Event("iteration", "train", 0.0, fields), "zh") == (
        "迭代 3/9  损失 1.2500  显存 100 MiB"
    )
    parts = {"done": 2, "total": 3, "unit": "parts"}
    assert describe(Event("progress", "models", 0.0, parts), "zh") == "2/3 个部分"
    fetched = {"done": 10**9, "total": 2 * 10**9, "rate": 10**7, "seconds_left": 100}
    assert amounts.transfer(fetched, "zh") == "1.0/2.0 GB  10.0 MB/s  剩余 2 min"


def test_notes_are_told_in_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    note = Event("note", "train", 0.0, {"id": "note.loading", "params": {}, "text": "loading"})
    for progress in (LineProgress(Screen(lang="zh"), "train"),
                     Screen(lang="zh").progress("train")):  # fmt: skip
        with progress:
            progress.show(note)
    assert capsys.readouterr().err.count("正在加载 XTuner") == 2
