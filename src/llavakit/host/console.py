"""What a person sees: progress on standard error, results on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from llavakit.errors import KitError
from llavakit.host import debugging, words
from llavakit.host.progress import (
    BarProgress,
    LineProgress,
    NoProgress,
    StageProgress,
    labelled,
)


class Screen:
    """The kit's voice. ``json_output`` keeps standard output for one JSON document."""

    def __init__(
        self, *, lang: str = "en", json_output: bool = False, shows_progress: bool = True
    ) -> None:
        self.lang = lang
        self.json_output = json_output
        self.debug = False
        """With a failure, show its traceback and all that led to it."""
        self._shows_progress = shows_progress
        self._document: Any = None
        self._err = Console(stderr=True, highlight=False)
        self._out = Console(highlight=False)

    def say(self, label: str, text: str) -> None:
        """One line: a label (a step, usually) and what there is to say about it."""
        line = Text(labelled(label, self.lang), style="bold")
        line.append(text, style="not bold")
        self._err.print(line, soft_wrap=True)

    def tell(self, label: str, key: str, /, **params: object) -> None:
        """One line, as :meth:`say`; what there is to say are the words ``key``."""
        self.say(label, words.text(key, self.lang, **params))

    def note(self, text: str) -> None:
        self._err.print(Text(text), soft_wrap=True)

    def ask(self, question: str) -> bool | None:
        """A yes or no from the terminal; None where there is none to ask on."""
        if not (sys.stdin.isatty() and self._err.is_terminal):
            return None
        self._err.print(Text(question, style="bold"), end="")
        try:
            return sys.stdin.readline().strip().lower() in ("y", "yes", "是")
        except KeyboardInterrupt:  # whatever is said next begins a line of its own
            self._err.print()
            raise

    def result(self, value: Any, *, table: RenderableType | None = None, text: str = "") -> None:
        """A command's result: JSON for programs, a table or lines for people."""
        if self.json_output:
            self._document = value
        elif table is not None:
            self._out.print(table, crop=False)
        elif text:
            self._out.print(Text(text), soft_wrap=True)

    def failure(self, error: KitError) -> None:
        """What happened, why, and what to do; called while the error is handled."""
        traces = debugging.traces(error) if self.debug else []
        for trace in traces:
            self._err.print(Text(trace, style="dim"), soft_wrap=True)
        if self.json_output:
            body = {
                **_said(error, self.lang),
                "causes": [_said(cause, self.lang) for cause in error.causes],
                **({"traceback": traces} if traces else {}),
            }
            result = self._document
            kept = {"result": result} if result is not None and not isinstance(result, dict) else {}
            self._document = {**(result if isinstance(result, dict) else kept), **body}
        self._err.print(Text(error.what(self.lang), style="bold red"), soft_wrap=True)
        for cause in error.causes:
            self._err.print(Text(f"  - {cause.what(self.lang)}"), soft_wrap=True)
            self._why(cause)
            self._err.print(Text(f"    -> {cause.remedy(self.lang)}"), soft_wrap=True)
        self._why(error)
        self._err.print(Text(f"-> {error.remedy(self.lang)}", style="bold"), soft_wrap=True)

    def _why(self, error: KitError) -> None:
        for line in error.why_in(self.lang).splitlines():
            self._err.print(Text(f"    {line}", style="dim"), soft_wrap=True)

    def close(self, status: int) -> int:
        """Write the JSON document, if one was asked for; the command's exit status."""
        try:
            if self.json_output and self._document is not None:
                text = json.dumps(self._document, ensure_ascii=False, indent=2, sort_keys=True)
                sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # nobody reads any more
            sys.stdout = None
            return 141
        return status

    def progress(self, label: str) -> StageProgress:
        """Progress of one stage: a bar on a terminal, plain lines elsewhere; nothing for a process
        that nobody looks at, whose followers read the events themselves.
        """
        if not self._shows_progress:
            return NoProgress()
        if self._err.is_terminal:
            return BarProgress(self._err, label, self.lang)
        return LineProgress(self, label)


def _said(error: KitError, lang: str) -> dict[str, str]:
    return {
        "error": error.id,
        "what": error.what(lang),
        "why": error.why_in(lang),
        "remedy": error.remedy(lang),
    }


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table; ``#`` before a column's name: numbers, ``=``: never broken over lines."""
    made = Table(title=title, title_justify="left", title_style="bold", expand=False)
    for column in columns:
        if column.startswith("#"):
            made.add_column(column[1:], justify="right", no_wrap=True)
        else:
            fixed = column.startswith("=")
            made.add_column(column.lstrip("="), overflow="fold", no_wrap=fixed)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made
