"""The merged folder of the chain's run, made once, and the model on both ways."""

from __future__ import annotations

import shutil

import pytest
from steps.merge.folders import MERGED, MODELS, TUNED

from llavakit import recipe as recipes
from llavakit.steps import llava, merged_use


@pytest.fixture(scope="session")
def merged(chain):
    """The folder that the merge step makes of the chain's run."""
    chain.must("merge", "--weights", MODELS, "--tuned", TUNED, "--out", MERGED)
    return chain.root / MERGED


@pytest.fixture(scope="session")
def recipe(chain):
    return recipes.load(chain.root / "runs/r/recipe.json")


@pytest.fixture(scope="session")
def ours(chain, recipe):
    return llava.load(recipe, chain.root / MODELS, chain.root / TUNED)


@pytest.fixture(scope="session")
def theirs(merged):
    return merged_use.load(merged.as_posix())


@pytest.fixture
def tuned(chain, tmp_path):
    """A copy of what convert made, to tamper with."""
    return shutil.copytree(chain.root / TUNED, tmp_path / "tuned")
