"""An image that is to be built."""

from __future__ import annotations

from pathlib import Path

import pytest
from engines.image.said import BASE

from llavakit.engines import image


@pytest.fixture
def spec(tmp_path: Path) -> image.ImageSpec:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"ARG BASE_IMAGE={BASE}\nFROM ${{BASE_IMAGE}} AS system\n", "utf-8")
    return image.ImageSpec("kit:test", tmp_path, dockerfile, {}, {"kind": "test"})
