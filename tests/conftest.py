"""What all tests share, under the host's Python and under the environment's."""

from __future__ import annotations

import importlib.util

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The environment has pytest and no plugin: its ``timeout`` must not be an unknown key."""
    if importlib.util.find_spec("pytest_timeout") is None:
        parser.addini("timeout", "seconds; without the plugin nothing enforces them")
