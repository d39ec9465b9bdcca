"""What the tests of submit share."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from host.submitted import DEFAULTS, call

from llavakit import recipe as recipes
from llavakit.errors import ConfigurationError
from llavakit.host import environment, settings, submit_checks
from llavakit.host.settings import KIT
from llavakit.recipe import Recipe

RECIPES = KIT / "configs" / "recipes"


TOKEN = "hf_0123456789abcdef"


def tiny(*overrides: str) -> Recipe:
    return recipes.load(RECIPES / "tiny.yaml", overrides)


def tutorial(*overrides: str) -> Recipe:
    return recipes.load(RECIPES / "tutorial.yaml", overrides)


@pytest.fixture(autouse=True)
def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this machine has a cluster's tools changes no test here."""
    monkeypatch.setattr(submit_checks, "installed", lambda name: None)
    monkeypatch.setattr(environment, "has_local", lambda settings: True)
    for name in ("HF_TOKEN", "HTTPS_PROXY", "https_proxy", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE",
                 "CURL_CA_BUNDLE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


def refusal(recipe: Recipe, root: Path, **options: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        call(recipe, root, **options)
    assert not (root / "out").exists()
    return caught.value


def containers(job: Any) -> list[dict[str, Any]]:
    spec = job["spec"]["template"]["spec"]
    return [*spec["initContainers"], *spec["containers"]]


def _settings(root: Path, **options: str) -> Any:
    return settings.resolve(DEFAULTS, {"workspace": str(root / "w"), "gpus": "none", **options})


def script_of(root: Path, recipe: Recipe | None = None, **options: str) -> str:
    _, folder = call(recipe or tiny(), root, to="slurm", **options)
    subprocess.run(["bash", "-n", folder / "job.sbatch"], check=True)
    return (folder / "job.sbatch").read_text()


def directives(script: str) -> dict[str, str]:
    words = [line.split(" ", 1)[1] for line in script.splitlines() if line.startswith("#SBATCH")]
    pairs = [word.removeprefix("--").partition("=") for word in words]
    return {key: value for key, _, value in pairs}


def task_of(root: Path, recipe: Recipe, **options: str) -> dict[str, Any]:
    _, folder = call(recipe, root, to="skypilot", **options)
    found = yaml.safe_load((folder / "task.yaml").read_text())
    for part in ("setup", "run"):
        subprocess.run(["bash", "-nc", found[part]], check=True)
    return dict(found)
