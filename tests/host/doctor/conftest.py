"""What doctor's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from host.doctor.machine import Machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(monkeypatch, tmp_path)
    yield made
    made.close()
