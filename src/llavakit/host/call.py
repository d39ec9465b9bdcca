"""One command line, validated, and the pipeline that it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from llavakit import recipe as recipes
from llavakit.errors import RecordError
from llavakit.host import driver, environment, given, nodes, plan, ranks, runs, words
from llavakit.host.console import Screen
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import KIT, Settings
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace


@dataclass(frozen=True)
class Call:
    """One command line: validated settings, the rest of its options, and the screen."""

    settings: Settings
    options: Mapping[str, Any]
    screen: Screen

    def pipeline(self) -> Pipeline:
        """Load the recipe and plan it. Raises RecipeError, ConfigurationError, DataError and
        WeightsError.
        """
        recipe = recipes.load(self.settings.recipe_path(), self.options.get("set") or ())
        recipe = given.apply(recipe, self.options)
        recipe = ranks.apply(recipe, self.options, self.settings.gpus)
        if given.lacks_projector(recipe, self.options):
            warning = words.text("projector.drawn", self.screen.lang, recipe=recipe.name)
            self.screen.say("projector", warning)
        here = nodes.asked(self.options, recipe)
        pick: Callable[[str, str], str] = self._pick_run
        if here and not self.run:  # one that was named is this host's already
            pick = here.pick(pick)
        made = self.pipeline_of(recipe, pick)
        made.nodes = here
        return made

    def _pick_run(self, name: str, key: str) -> str:
        """The newest run of the recipe, one more with --fresh, or the one that was named."""
        if self.run:
            if not runs.is_of(self.run.partition("/")[0], name):
                raise RecordError("other-recipe", run=self.run, present=name)
            return self.run
        return runs.pick(self.workspace, name, key, fresh=bool(self.options.get("fresh")))

    def ordered(self, task: str) -> Pipeline:
        """The pipeline of a task that another process can take over, or be left."""
        made = self.pipeline()
        own = self.settings.model_dump(mode="json")
        if not re.fullmatch(r"[\w-]+", self.settings.recipe):
            own["recipe"] = str(self.settings.recipe_path())
        made.order = driver.order(task, own, self.options)
        made.detached = bool(self.options.get("detached"))
        return made

    @property
    def run(self) -> str:
        """The run that was named; empty where none was."""
        return str(self.options.get("run") or "")

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.settings.workspace)

    def pipeline_of(self, recipe: Recipe, pick_run: Callable[[str, str], str]) -> Pipeline:
        """Plan a recipe. Raises DataError and WeightsError."""
        lock = environment.lock_sha256()
        made = plan.make(recipe, kit=KIT, lock_sha256=lock, pick_run=pick_run)
        open_engine = partial(environment.open_engine, self.settings, self.screen)
        return Pipeline(
            self.settings, self.screen, made, self.workspace, open_engine,
            agreed=bool(self.options.get("yes")),
        )  # fmt: skip
