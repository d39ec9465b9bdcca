"""The host's table of words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from languages import faults

from llavakit.host import words
from llavakit.messages import TABLE as FAILURES

HOST = Path(words.__file__).parent


@pytest.mark.parametrize("key", sorted(words.TABLE))
def test_all_is_said_in_both_languages(key: str) -> None:
    en, zh = words.TABLE[key]
    wrong = faults(en, zh, commands=key.endswith(".remedy"))
    assert wrong == [] or (zh == en and is_paste(key, en))
    assert en.isascii()


def is_paste(key: str, text: str) -> bool:
    """Commands, and what is nothing but filled in, are the same in every language."""
    return key.endswith(".remedy") or not re.search(r"[A-Za-z]", re.sub(r"\{.*?\}", "", text))


def test_every_word_is_used() -> None:
    source = "".join(path.read_text() for path in HOST.glob("*.py") if path.name[:5] != "words")
    made = ("doctor.", *(f"{prefix}." for prefix in COMPOSED))
    plain = [key for key in words.TABLE if not key.startswith(made)]
    assert [key for key in plain if f'"{key}"' not in source] == []
    for key in words.TABLE:
        if key.startswith("state.source."):
            assert key.removeprefix("state.") in FAILURES


COMPOSED = {
    "action": ("host/plan.py",),
    "answers": ("host/results.py",),
    "detach": ("host/detaching.py",),
    "runs": ("host/runs.py", "host/driver.py"),
    "bench": ("host/bench*.py", "training.py", "record_form.py"),
    "expect": ("host/expecting.py",),
    "grade": ("host/grade_*.*", "host/class*.*", "host/similar.py"),
    "label": ("host/*.py",),
    "packages": ("host/packages.py",),
    "pin": ("host/pins.py",),
    "plan": ("host/show_plan.py", "host/bench_report.py"),
    "progress": ("steps/*.py", "host/console.py", "host/amounts.py", "host/grading.py"),
    "records": ("host/pins.py",),
    "report": ("host/report*.*", "record_form.py"),
    "result": ("host/comparing.py", "host/bands.py", "host/expecting.py"),
    "state": ("host/checking.py", "steps/check_sources.py", "messages_sources.py"),
    "verdict": ("host/verdicts.py",),
    "verify": ("host/verifying.py",),
}
"""Where the ends of keys come from that stand nowhere as a whole: ``pin.`` and a pin's name."""


def quoted(*modules: str) -> set[str]:
    """The short texts in quotes of these modules, and their words."""
    paths = {path for module in modules for path in HOST.parent.glob(module) if path.is_file()}
    source = "".join(path.read_text() for path in paths if not path.name.startswith("words"))
    texts = re.findall(r"[\"']([^\"'\n]{1,40})[\"']", source)
    return {*texts, *(word for text in texts for word in re.split(r"[ .]", text))}


def test_no_word_of_doctor_s_is_dead() -> None:
    source = "".join(path.read_text() for path in (HOST / "doctor").glob("*.py"))
    keys = [key.removeprefix("doctor.").removesuffix(".remedy") for key in words.TABLE
            if key.startswith("doctor.") and not key.startswith("doctor.status.")]  # fmt: skip
    assert [key for key in keys if f'"{key}"' not in source] == []
    assert "doctor.status.fail" in words.TABLE


def test_no_word_of_any_table_is_dead() -> None:
    whole = "".join(path.read_text() for path in HOST.glob("*.*") if path.name[:5] != "words")
    ends = {prefix: quoted(*modules) for prefix, modules in COMPOSED.items()}

    def is_used(key: str) -> bool:
        prefix, _, end = key.partition(".")
        if prefix == "doctor":  # has a test of its own
            return True
        if f'"{key}"' in whole or f"'{key}'" in whole:
            return True
        known, parts = ends.get(prefix, set()), re.split(r"[ .]", end)
        return end in known or {part for part in parts if not part.isdigit()} <= known

    assert [key for key in words.TABLE if not is_used(key)] == []


def test_chinese_is_said_on_request_only() -> None:
    assert words.text("stopped", "zh") == "已停止"
    assert words.text("stopped", "en") == words.text("stopped", "fr") == "stopped"
    assert words.text("licence", lang="en", artefact="a", name="N", address="x").startswith("a: N")
