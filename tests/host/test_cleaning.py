"""What a clean takes and what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from host.test_pipeline import DEFAULTS

from llavakit.errors import ConfigurationError
from llavakit.host import cleaning, settings
from llavakit.host.console import Screen

PARTS = "models/downloads/.llama-0123.parts/model.safetensors.1"
FILES = {PARTS: 3 << 20, "models/downloads/llama-0123/a.bin": 2 << 20, "cache/answers-1.json": 1,
         "data/downloads/.words-1.parts/x": 1}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cleaning, "_docker", lambda _: None)
    for name, size in FILES.items():
        path = tmp_path / "w" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
    return tmp_path / "w"


def clean(root: Path, **options: Any) -> dict[str, Any]:
    screen = Screen(json_output=True)
    merged = settings.resolve(DEFAULTS, {"workspace": str(root)})
    try:
        cleaning.clean(merged, options, screen)
    except ConfigurationError as error:
        assert error.id == "configuration.needs-yes"
    body = screen._document
    assert isinstance(body, dict)
    return body


def test_bytes_that_somebody_waited_for_stay(root: Path) -> None:
    clean(root, yes=True)
    left = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert set(FILES) - left == {"cache/answers-1.json"}


def test_they_go_with_the_weights(root: Path) -> None:
    clean(root, models=True, yes=True)
    assert list((root / "models").iterdir()) == []
    assert (root / "data/downloads/.words-1.parts/x").exists()


def test_a_link_counts_nothing(root: Path) -> None:
    weights = root / "models" / "weights-1"
    (weights / "llm").mkdir(parents=True)
    (weights / "llm" / "a.bin").symlink_to("../../downloads/llama-0123/a.bin")
    (weights / "vision").symlink_to("../downloads/llama-0123")
    (root / "models" / "mine").symlink_to(root / "models" / "downloads")
    assert cleaning._size(weights) == "0.0 MiB"
    assert cleaning._size(root / "models" / "mine") == "0.0 MiB"
    assert cleaning._size(root / "models" / "downloads") == "5.0 MiB"
    clean(root, models=True, yes=True)
    assert not (root / "models" / "mine").is_symlink()
