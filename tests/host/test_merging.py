"""What the check of a merged model shows, and that it can be read by a program."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llavakit import recipe as recipes
from llavakit.host import merging, plan
from llavakit.host.console import Screen
from llavakit.host.settings import KIT

TINY = KIT / "configs" / "recipes" / "tiny.yaml"


def checked(root: Path, *same: bool) -> Any:
    """A pipeline with the check of a merged model, of as many questions as ``same`` says."""
    made = plan.make(recipes.load(TINY), kit=KIT, lock_sha256="0" * 64)
    rows = [
        {
            "image": "images/boat.png", "question": "What?", "same_prompt": True, "pixels": 0.0,
            "logits": 1e-6, "same_text": each, "kit": "A boat.", "merged": "A \x1b[31mboat.",
        }
        for each in same
    ]  # fmt: skip
    content = {
        "transformers": "4.40.1", "device": "cpu", "dtype": "float32", "pixels": 0.0,
        "logits": 1e-6, "tolerance": 1e-5, "same_texts": all(same), "rows": rows,
    }  # fmt: skip
    run = root / made.run
    run.mkdir(parents=True)
    (run / "merged.json").write_text(json.dumps(content))
    return SimpleNamespace(plan=made, run_dir=run)


def test_equal_answers_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merging.show(checked(tmp_path, True, True), Screen())
    out, err = capsys.readouterr()
    assert "2 questions: prompts and pixel values are equal" in err
    assert "up to 1.0e-06 (roundings explain 1.0e-05)" in err
    assert "other words" not in err
    assert "README.md" in err
    assert "boat.png" in out
    assert "\x1b[31mboat" not in out


def test_other_words_are_said_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merging.show(checked(tmp_path, True, False, False), Screen())
    out, err = capsys.readouterr()
    assert "2 of 3 answers have other words" in err
    assert "different" in out


def test_it_is_said_in_chinese_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merging.show(checked(tmp_path, False), Screen(lang="zh"))
    err = capsys.readouterr().err
    assert "像素值完全相同" in err
    assert "文字不同" in err


def test_a_program_gets_the_numbers_and_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = checked(tmp_path, True)
    screen = Screen(json_output=True)
    merging.show(pipeline, screen)
    assert screen.close(0) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["folder"] == str(pipeline.run_dir / "merged")
    assert (body["pixels"], body["same_texts"], len(body["rows"])) == (0.0, True, 1)
