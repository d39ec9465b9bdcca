"""What each task does: one function a task, called by tasks.py through :func:`main`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from llavakit import messages
from llavakit import recipe as recipes
from llavakit.errors import KitError, KitFault, StepError
from llavakit.host import (
    bench,
    building,
    chat,
    checking,
    cleaning,
    diffing,
    environment,
    expecting,
    exporting,
    finding,
    given,
    grade_command,
    merging,
    packages,
    pins,
    plan,
    ranks,
    report,
    reproducing,
    results,
    runs,
    settings,
    show_plan,
    submit,
    testing,
    verifying,
    words,
)
from llavakit.host.console import Screen
from llavakit.host.doctor import report as doctor
from llavakit.host.doctor.findings import Host
from llavakit.host.pipeline import Pipeline, system_error
from llavakit.host.plan import Todo
from llavakit.host.settings import KIT, Settings
from llavakit.locks import LOCK
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

ALL = ("models", "data", "convert-pretrained", "ask-before", "train", "convert", "ask-after",
       "compare")  # fmt: skip
TARGETS: dict[str, tuple[str, ...]] = {
    "models": ("models",),
    "data": ("data",),
    "train": ("models", "data", "train"),
    "convert": ("convert-pretrained", "convert"),
    "ask": ("ask-before", "ask-after"),
    "compare": ("compare",),
    "merge": ("merge", "check-merged"),
    "demo": ALL,
}
"""What each task brings up to date."""


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
        fresh = bool(self.options.get("fresh"))
        return self.pipeline_of(recipe, partial(runs.pick, self.workspace, fresh=fresh))

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


def main(name: str, configured: Mapping[str, Any], options: Mapping[str, Any]) -> NoReturn:
    """Run the command ``name`` and exit: 0, or the status of what failed, without a traceback."""
    lang = str(options.get("lang") or messages.language())
    screen = Screen(lang=lang, json_output=bool(options.get("json")))
    screen.debug = bool(configured.get("debug"))
    try:
        merged = settings.resolve(configured, options)
        screen.lang = merged.lang
        status = COMMANDS[name](Call(merged, options, screen))
    except KitError as error:
        screen.failure(error)
        status = error.exit_code
    except OSError as error:
        known = system_error(error, settings.KIT)
        screen.failure(known)
        status = known.exit_code
    except Exception as error:
        screen.debug = True  # nobody foresaw it: without the traceback nobody can mend it
        screen.failure(KitFault("unforeseen", kind=type(error).__name__, why=str(error)))
        status = KitFault.exit_code
    except KeyboardInterrupt:
        screen.note(words.text("stopped", screen.lang))
        status = 130
    sys.exit(screen.close(status))


def _step(name: str, call: Call) -> int:
    pipeline = call.pipeline()
    if call.options.get("plan"):
        show_plan.show(pipeline, TARGETS[name], call.screen)
        return 0
    before = verifying.first_use(pipeline)
    todos = pipeline.bring_up_to_date(TARGETS[name])
    locked = _tell_first_use(call, before, pipeline, todos)
    if name == "ask":
        answers, table = results.answers(pipeline.plan, pipeline.workspace, call.screen.lang)
        call.screen.result(answers, table=table)
    elif name in ("compare", "demo"):
        return _compared(call, pipeline)
    elif name == "merge":
        merging.show(pipeline, call.screen)
    else:
        body = {
            "run": pipeline.plan.run_id,
            "stages": {item.stage.label: item.action for item in todos},
            "results": results.collect(pipeline.plan, pipeline.workspace),
            "first_use": locked,
        }
        if call.screen.json_output:
            call.screen.result(body)
    return 0


def _tell_first_use(
    call: Call, before: Mapping[str, Mapping[str, str]], pipeline: Pipeline, todos: list[Todo]
) -> dict[str, dict[str, str]]:
    """The hashes that nobody knew before this command; the steps have named them, a line each."""
    fetched = {item.stage.label for item in todos if item.action == "run"}
    new = {}
    for part, hashes in verifying.first_use(pipeline).items():
        if f"fetch-{part}" in fetched:
            new[part] = {name: sha for name, sha in hashes.items() if name not in before[part]}
    new = {part: hashes for part, hashes in new.items() if hashes}
    if new:
        downloads = pipeline.plan.downloads
        locks = ", ".join(str(downloads[f"fetch-{part}"].folder / LOCK) for part in new)
        count = sum(map(len, new.values()))
        text = words.text("first-use", call.screen.lang, count=count, locks=locks)
        call.screen.say("first use", text)
    return new


def _models(call: Call) -> int:
    if call.options.get("check"):
        return checking.check(call.pipeline(), call.screen)
    if call.options.get("verify"):
        return verifying.verify(call.pipeline(), call.screen)
    return _step("models", call)


def _demo(call: Call) -> int:
    tiny = call.settings.model_copy(update={"recipe": "tiny"})
    call = Call(tiny, call.options, call.screen)
    return _step("demo", call)


def _compared(call: Call, pipeline: Pipeline) -> int:
    content = results.comparison(pipeline.plan, pipeline.workspace)
    changed = [word for word in call.options.get("set") or () if not word.startswith("seed=")]
    changed += given.changes(call.options)
    lang, made, place = call.screen.lang, pipeline.plan, pipeline.workspace
    checks = [] if changed else results.verdict(made, place, content, lang)
    call.screen.result(
        {**content, "run": made.run_id, "expected": [list(check) for check in checks]},
        table=results.comparison_table(content, made.run_id, lang),
    )
    if changed:
        call.screen.tell("not judged", "answers.changed", changes=", ".join(changed))
    for text, met in checks:
        call.screen.say("as expected" if met else "NOT as expected", text)
    missed = [text for text, met in checks if not met]
    if missed:
        raise StepError("unexpected", recipe=made.recipe.name, why="\n".join(missed))
    return 0


def _verify(call: Call) -> int:
    """The run, and with --environment what is installed; that alone where no run is named."""
    name, installed = str(call.options.get("run") or ""), bool(call.options.get("environment"))
    if name or not installed:
        status = pins.verify(call.settings, finding.find(call.workspace, name), call.screen)
        if status or not installed:
            return status
    return packages.verify(call.settings, call.screen)


def _diff(call: Call) -> int:
    """As of diff(1): 1 is a difference, so whatever fails is 2."""
    try:
        return diffing.diff(call.workspace, call.options["run"], call.options["other"], call.screen)
    except KitError as error:
        call.screen.failure(error)
        return 2


def _reproduce(call: Call) -> int:
    def open_pipeline(recipe: Recipe, goes_on: Callable[[Path], bool]) -> Pipeline:
        pick = partial(runs.pick, call.workspace, fresh=True, goes_on=goes_on)
        return call.pipeline_of(recipe, pick)

    name = str(call.options["run"])
    return reproducing.reproduce(call.workspace, name, call.options, open_pipeline, call.screen)


def _ask(call: Call) -> int:
    named = [name for name in ("picture", "question", "pretrained") if call.options.get(name)]
    if not named or call.options.get("plan"):
        return _step("ask", call)
    return chat.ask(call.pipeline(), call.options, call.screen)


def _chat(call: Call) -> int:
    return chat.converse(call.pipeline(), call.options, call.screen)


def _bench(call: Call) -> int:
    def open_pipeline(recipe: str) -> Pipeline:
        named = call.settings.model_copy(update={"recipe": recipe})
        return replace(call, settings=named).pipeline()

    return bench.run(open_pipeline, call.options, call.screen, call.settings.recipe)


def _grade(call: Call) -> int:
    def open_pipeline(recipe: Recipe) -> Pipeline:
        recipe = given.apply(recipe, call.options)
        return call.pipeline_of(recipe, partial(runs.pick, call.workspace, fresh=False))

    return grade_command.grade(call.options, open_pipeline, call.screen)


def _submit(call: Call) -> int:
    def open_pipeline(settings: Settings) -> Pipeline:
        return replace(call, settings=settings).pipeline()

    return submit.submit(open_pipeline, call.settings, TARGETS, call.options, call.screen)


COMMANDS: dict[str, Callable[[Call], int]] = {
    **{name: partial(_step, name) for name in ("data", "train", "convert", "compare", "merge")},
    "models": _models,
    "ask": _ask,
    "chat": _chat,
    "demo": _demo,
    "bench": _bench,
    "verify": _verify,
    "reproduce": _reproduce,
    "grade": _grade,
    "expect": lambda call: expecting.expect(
        call.workspace, str(call.options.get("run") or ""), call.screen
    ),
    "report": lambda call: report.report(
        call.workspace,
        str(call.options.get("run") or ""),
        markdown=bool(call.options.get("markdown")),
        screen=call.screen,
    ),
    "export": lambda call: exporting.export(
        call.workspace,
        str(call.options.get("run") or ""),
        str(call.options.get("to") or ""),
        call.screen,
    ),
    "diff": _diff,
    "submit": _submit,
    "build": lambda call: building.build(call.settings, call.options, call.screen),
    "lock": lambda call: building.lock(call.screen),
    "doctor": lambda call: doctor.report(
        Host(call.settings, call.pipeline(), TARGETS["compare"]), fix=bool(call.options.get("fix"))
    ),
    "runs": lambda call: runs.report(Workspace(call.settings.workspace), call.screen),
    "clean": lambda call: cleaning.clean(call.settings, call.options, call.screen),
    "test": lambda call: testing.test(call.settings, call.options, call.screen),
}
