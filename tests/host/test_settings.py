"""Settings: what the user may set, merged and validated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from llavakit.errors import ConfigurationError
from llavakit.host.settings import KIT, Settings, resolve

DEFAULTS: dict[str, Any] = yaml.safe_load((KIT / "invoke.yaml").read_text())["llavakit"]


def test_the_defaults_of_invoke_yaml_are_exactly_the_settings() -> None:
    assert set(DEFAULTS) == set(Settings.model_fields)
    assert resolve(DEFAULTS, {}).workspace == KIT / "workspace"


def test_an_option_wins_over_the_configuration_and_an_empty_one_does_not() -> None:
    made = resolve({**DEFAULTS, "engine": "docker"}, {"engine": "local", "recipe": ""})
    assert (made.engine, made.recipe) == ("local", DEFAULTS["recipe"])


def test_a_typed_folder_is_relative_to_where_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve(DEFAULTS, {"workspace": "here"}).workspace == tmp_path / "here"
    assert resolve({**DEFAULTS, "workspace": "there"}, {}).workspace == KIT / "there"


def test_environments_lie_in_the_workspace_unless_told() -> None:
    made = resolve({**DEFAULTS, "workspace": "/data/w"}, {})
    assert made.environments == Path("/data/w/cache/environments")
    assert resolve({**DEFAULTS, "environments": "/e"}, {}).environments == Path("/e")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("engine", "podman"),
        ("gpus", "two"),
        ("gpus", "0,"),
        ("lang", "de"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_what_is(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(DEFAULTS, {key: value})
    assert caught.value.id == "configuration.bad-value"
    assert key in caught.value.what()


@pytest.mark.parametrize(("key", "value"), [("image_tag", "no tag"), ("base", 3), ("lang", "de")])
def test_a_configured_value_is_checked_too(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError):
        resolve({**DEFAULTS, key: value}, {})


def test_a_misspelt_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve({**DEFAULTS, "engin": "local"}, {})
    assert caught.value.remedy() == "Did you mean engine?"


@pytest.mark.parametrize("gpus", ["all", "none", "auto", "0", "0,1", "3,2"])
def test_gpus_are_all_none_or_indices(gpus: str) -> None:
    assert resolve(DEFAULTS, {"gpus": gpus}).gpus == gpus


def test_a_recipe_is_a_name_of_the_kit_or_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve(DEFAULTS, {}).recipe_path() == KIT / "configs" / "recipes" / "tiny.yaml"
    assert resolve(DEFAULTS, {"recipe": "./my.yaml"}).recipe_path() == tmp_path / "my.yaml"
