"""Make an Invoke task of a function: its options' help, and which words stand without a dash.

Imported for every `invoke --list`, so it imports nothing but Invoke.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from invoke import Task, task

RUN, FOLDER = "run", "folder"
DEBUG = "with a failure, show the traceback and all that led to it"


def face(body: Callable[..., Any], known: Mapping[str, str], argv: Sequence[str]) -> Task[Any]:
    """The task of ``body``. ``known`` has the help of options by ``option`` or ``task.option``.

    Options without a default are words, in their order. RUN and FOLDER, which may be left out, are
    one where ``argv`` has a word for it: Invoke itself asks for every word that it knows.
    """
    options = inspect.signature(body).parameters
    body = with_debug(body)
    named = {name: known.get(f"{body.__name__}.{name}", known.get(name)) for name in options}
    told = {name: text for name, text in named.items() if text} | {"debug": DEBUG}
    iterable = ["set"] if "set" in options else []
    words = [name for name, each in options.items() if each.default is each.empty and name != "c"]
    made: Task[Any] = task(body, help=told, iterable=iterable, positional=words)
    for name in (RUN, FOLDER):
        if not words and name in options:
            if has_word(made, argv):
                made.positional = [name]
            made.help = dict(told)  # listing a task's arguments takes their help away
    if words and not {"-h", "--help"}.isdisjoint(argv) and not has_word(made, argv):
        made.positional = []  # or the first word would be --help
        made.help = dict(told)
    return made


def with_debug(body: Callable[..., Any]) -> Callable[..., Any]:
    """``body`` with one more option, --debug, which becomes the setting of that name."""

    @functools.wraps(body)
    def made(c: Any, *args: Any, debug: bool = False, **options: Any) -> Any:
        if debug:
            c.config.llavakit.debug = True
        return body(c, *args, **options)

    signature = inspect.signature(body)
    option = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False)
    parts = [*signature.parameters.values(), option]
    made.__signature__ = signature.replace(parameters=parts)  # type: ignore[attr-defined]
    return made


def has_word(made: Task[Any], argv: Sequence[str]) -> bool:
    """Whether ``argv`` has a word after the task's name that is no option and no option's value."""
    name = made.name
    rest = iter(argv[argv.index(name) + 1 :] if name in argv else ())
    values = {f"-{each}" if len(each) == 1 else f"--{each.replace('_', '-')}"
              for option in made.get_arguments() if option.takes_value
              for each in option.names}  # fmt: skip
    for word in rest:
        if not word.startswith("-"):
            return True
        if word in values:
            next(rest, None)
    return False
