"""What each task does: one function a task, called by tasks.py through :func:`main`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from llavakit import messages
from llavakit.errors import KitError, KitFault
from llavakit.host import (
    attaching,
    bench,
    building,
    cleaning,
    diffing,
    expecting,
    exporting,
    finding,
    given,
    grade_command,
    making,
    packages,
    pins,
    report,
    reproducing,
    runs,
    settings,
    submit,
    testing,
    words,
)
from llavakit.host.call import Call
from llavakit.host.console import Screen
from llavakit.host.disk import system_error
from llavakit.host.doctor import report as doctor
from llavakit.host.doctor.findings import Host
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import Settings
from llavakit.recipe import Recipe


def main(name: str, configured: Mapping[str, Any], options: Mapping[str, Any]) -> NoReturn:
    """Run the command ``name`` and exit: 0, or the status of what failed, without a traceback."""
    lang = str(options.get("lang") or messages.language())
    shows = not options.get("detached")
    screen = Screen(lang=lang, json_output=bool(options.get("json")), shows_progress=shows)
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


def _verify(call: Call) -> int:
    """The run, and with --environment what is installed; that alone where no run is named."""
    name, installed = call.run, bool(call.options.get("environment"))
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

    return submit.submit(open_pipeline, call.settings, making.TARGETS, call.options, call.screen)


COMMANDS: dict[str, Callable[[Call], int]] = {
    **{
        name: partial(making.step, name)
        for name in ("data", "train", "convert", "compare", "merge")
    },
    "models": making.models,
    "ask": making.ask,
    "chat": making.talk,
    "demo": making.demo,
    "bench": _bench,
    "verify": _verify,
    "reproduce": _reproduce,
    "grade": _grade,
    "expect": lambda call: expecting.expect(call.workspace, call.run, call.screen),
    "report": lambda call: report.report(
        call.workspace,
        call.run,
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
        Host(call.settings, call.pipeline(), making.TARGETS["compare"], options=call.options),
        fix=bool(call.options.get("fix")),
    ),
    "runs": lambda call: runs.report(call.workspace, call.screen),
    "attach": lambda call: attaching.attach(call.settings, call.run, call.screen),
    "logs": lambda call: attaching.logs(
        call.workspace, call.run, call.screen, goes_along=bool(call.options.get("follow"))
    ),
    "stop": lambda call: attaching.stop(
        call.settings, call.run, call.screen, now=bool(call.options.get("now"))
    ),
    "clean": lambda call: cleaning.clean(call.settings, call.options, call.screen),
    "test": lambda call: testing.test(call.settings, call.options, call.screen),
}
