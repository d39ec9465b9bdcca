"""What the host's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from llavakit.host import settings


@pytest.fixture(autouse=True)
def turns_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test takes its turns on GPUs apart from this host's runs, and from other tests."""
    monkeypatch.setattr(settings, "GPU_LOCKS", str(tmp_path / "gpu-locks"))
