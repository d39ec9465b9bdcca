"""A call of `invoke submit` as tests make it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from llavakit.host import plan, settings, submit
from llavakit.host.console import Screen
from llavakit.host.making import TARGETS
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import KIT, Settings
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

DEFAULTS: dict[str, Any] = yaml.safe_load((KIT / "invoke.yaml").read_text())["llavakit"]
IMAGE = "registry.example:5000/team/llavakit:0.1.0"


def pipeline_of(recipe: Recipe, merged: Settings) -> Pipeline:
    """The plan of ``recipe`` in a workspace; no engine can be opened."""
    made = plan.make(recipe, kit=KIT, lock_sha256="0" * 64)

    def none() -> Any:
        raise AssertionError("submit opens no engine")

    return Pipeline(merged, Screen(), made, Workspace(merged.workspace), none)


def call(recipe: Recipe, root: Path, **options: Any) -> tuple[int, Path]:
    """The exit status, and the folder of the files."""
    screen = Screen(lang=options.pop("lang", "en"), json_output=options.pop("json", False))
    out = root / "out"
    options = {"out": str(out), "image": IMAGE, "workspace": str(root / "w"), **options}
    merged = settings.resolve(DEFAULTS, options)
    status = submit.submit(
        lambda chosen: pipeline_of(recipe, chosen), merged, TARGETS, options, screen
    )
    screen.close(status)
    return status, Path(options["out"])


def documents(file: Path) -> dict[str, Mapping[str, Any]]:
    """The objects of a YAML file by their kinds."""
    return {each["kind"]: each for each in yaml.safe_load_all(file.read_text()) if each}
