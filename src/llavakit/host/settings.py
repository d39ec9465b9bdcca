"""What the user may set, validated once: invoke.yaml, INVOKE_* variables and options, merged."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from llavakit import messages
from llavakit.errors import ConfigurationError

KIT = Path(__file__).resolve().parents[3]
"""The kit's own folder: the clone that holds tasks.py."""

GPU_LOCKS = "/tmp/llavakit-gpus"  # noqa: S108 - one folder for all users of the host
OPTIONS = ("recipe", "workspace", "engine", "gpus", "base", "lang")
"""Settings that a task's option of the same name overrides."""

_ALLOWED = {
    "engine": "auto, docker, local",
    "gpus": "auto, all, none, or indices such as 0,1",
    "lang": "en, zh",
    "debug": "true, false",
    "image_tag": "a name with a tag, such as llavakit:0.1.0",
}


class Settings(BaseModel):
    """One command's settings. Paths are absolute."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    recipe: str
    workspace: Path
    environments: Path
    engine: str
    gpus: str
    image_tag: str
    base: str
    python: str
    lang: str
    debug: bool
    notify: str
    gpu_locks: Path

    @field_validator("engine")
    @classmethod
    def _engine(cls, value: str) -> str:
        return _one_of(value, r"auto|docker|local")

    @field_validator("gpus")
    @classmethod
    def _gpus(cls, value: str) -> str:
        return _one_of(value, r"auto|all|none|\d+(,\d+)*")

    @field_validator("lang")
    @classmethod
    def _lang(cls, value: str) -> str:
        return _one_of(value, r"en|zh")

    @field_validator("image_tag")
    @classmethod
    def _image(cls, value: str) -> str:
        return _one_of(value, r"[\w./:-]+:[\w.-]+")

    def recipe_path(self) -> Path:
        """A bare name means one of the kit's recipes."""
        if re.fullmatch(r"[\w-]+", self.recipe):
            return KIT / "configs" / "recipes" / f"{self.recipe}.yaml"
        return Path(self.recipe).expanduser().absolute()


def resolve(configured: Mapping[str, Any], options: Mapping[str, Any]) -> Settings:
    """Merge; an option that was not given (empty) leaves the configured value.

    Raises ConfigurationError ``bad-value`` and ``unknown-setting``.
    """
    for key in configured:
        if key not in Settings.model_fields:
            nearest = difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=0.0)[0]
            raise ConfigurationError("unknown-setting", key=key, nearest=nearest)
    merged = dict(configured)
    merged.update({key: value for key, value in options.items() if value and key in OPTIONS})
    merged["lang"] = merged.get("lang") or messages.language()
    typed = bool(options.get("workspace"))
    merged["workspace"] = _folder(merged.get("workspace"), Path.cwd() if typed else KIT)
    environments = merged.get("environments")
    merged["environments"] = (
        _folder(environments, KIT)
        if environments
        else merged["workspace"] / "cache" / "environments"
    )
    merged["notify"] = merged.get("notify") or ""
    merged["gpu_locks"] = _folder(merged.get("gpu_locks") or GPU_LOCKS, KIT)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else "setting"
        allowed = _ALLOWED.get(key, "what invoke.yaml shows")
        value = repr(first.get("input"))
        raise ConfigurationError("bad-value", key=key, value=value, allowed=allowed) from None


def _folder(value: object, base: Path) -> Path:
    """What is typed is relative to where it was typed, what is configured to the kit."""
    return base / Path(str(value or "workspace")).expanduser()


def _one_of(value: str, pattern: str) -> str:
    if not re.fullmatch(pattern, value):
        raise ValueError(f"does not match {pattern}")
    return value
