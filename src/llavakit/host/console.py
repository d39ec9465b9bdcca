"""What a person sees: progress on standard error, results on standard output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from llavakit.errors import KitError
from llavakit.events import Event, note_in
from llavakit.host import amounts, debugging, words

PLAIN_SECONDS = 5.0
"""Without a terminal a progress line comes at most this often."""
LABEL_WIDTH = 20


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


def labelled(label: str, lang: str) -> str:
    """``label`` in ``lang`` where it is a word and no name, as wide as all labels are."""
    known = f"label.{label}"
    said = words.text(known, lang) if known in words.TABLE else label
    return said + " " * (LABEL_WIDTH - cell_len(said))


def _said(error: KitError, lang: str) -> dict[str, str]:
    return {
        "error": error.id,
        "what": error.what(lang),
        "why": error.why_in(lang),
        "remedy": error.remedy(lang),
    }


class StageProgress:
    """Shows a stage's events while it runs. A context manager; safe to leave early."""

    def __enter__(self) -> StageProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, event: Event) -> None:
        """Show one event."""
        raise NotImplementedError

    def line(self, text: str) -> None:
        """Show a line of a long command's own output (a build, an installation)."""
        raise NotImplementedError


class NoProgress(StageProgress):
    def show(self, event: Event) -> None:
        pass

    def line(self, text: str) -> None:
        pass


class LineProgress(StageProgress):
    def __init__(self, screen: Screen, label: str) -> None:
        self._screen = screen
        self._label = label
        self._last = time.monotonic()
        self._said = ""

    def show(self, event: Event) -> None:
        if event.kind == "note":
            self._screen.say(self._label, note_in(event, self._screen.lang))
            return
        done, total = _counts(event)
        is_due = time.monotonic() - self._last >= PLAIN_SECONDS
        text = describe(event, self._screen.lang)
        if (total and done == total and text != self._said) or (is_due and _is_told(event)):
            self._last, self._said = time.monotonic(), text
            self._screen.say(self._label, text)

    def line(self, text: str) -> None:
        if time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            self._screen.say(self._label, text.strip()[:160])


class BarProgress(StageProgress):
    def __init__(self, console: Console, label: str, lang: str = "en") -> None:
        self._label = label
        self._lang = lang
        self._progress = Progress(
            TextColumn(f"[bold]{labelled(label, lang)[:-1]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            _TimeLeft(compact=True),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task(
            words.text("progress.starting", lang), total=None
        )

    def __enter__(self) -> BarProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        if event.kind == "note":
            text = labelled(self._label, self._lang) + note_in(event, self._lang)
            self._progress.console.print(Text(text), soft_wrap=True)
            return
        done, total = _counts(event)
        if _is_told(event):
            text, in_bytes = _plain(describe(event, self._lang)), _in_bytes(event)
            self._progress.update(
                self._task, completed=done, total=total or None, description=text, in_bytes=in_bytes
            )

    def shown(self) -> RenderableType:
        """The bar as it stands."""
        return self._progress.get_renderable()

    def line(self, text: str) -> None:
        shown = text.strip()[: max(20, self._progress.console.width - 60)]
        self._progress.update(self._task, description=_plain(shown))


class _TimeLeft(TimeRemainingColumn):
    """The bar's own guess, but for a download, which says itself what is left."""

    def render(self, task: Task) -> Text:
        return Text() if task.fields.get("in_bytes") else super().render(task)


def describe(event: Event, lang: str = "en") -> str:
    """An iteration or progress event in a few words."""
    fields = event.fields
    if event.kind == "iteration":
        shown = {"n": fields["n"], "of": fields["of"], "loss": float(fields["loss"])}
        text = words.text("progress.iteration", lang, **shown)
        if (memory := fields.get("memory_mib")) is not None:
            text += "  " + words.text("progress.gpu", lang, mib=memory)
        return text
    if _in_bytes(event):
        return amounts.transfer(fields, lang)
    unit = fields.get("unit", "")
    if f"progress.{unit}" in words.TABLE:
        unit = words.text(f"progress.{unit}", lang)
    return f"{fields.get('done')}/{fields.get('total')} {unit}".rstrip()


def _in_bytes(event: Event) -> bool:
    return event.fields.get("unit") == "bytes"


def _is_told(event: Event) -> bool:
    """Whether there is anything to say: of a download even while nobody knows its whole."""
    return bool(_counts(event)[1]) or _in_bytes(event)


def _plain(text: str) -> str:
    """For a column that reads markup."""
    return text.replace("[", r"\[")


def _counts(event: Event) -> tuple[int, int]:
    first, second = ("n", "of") if event.kind == "iteration" else ("done", "total")
    return int(event.fields.get(first) or 0), int(event.fields.get(second) or 0)


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
