"""How a stage's progress is shown: a bar on a terminal, plain lines elsewhere, or not at all."""

from __future__ import annotations

import time
from typing import Protocol

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
from rich.text import Text

from llavakit.events import Event, note_in
from llavakit.host import amounts, words

PLAIN_SECONDS = 5.0
"""Without a terminal a progress line comes at most this often."""
LABEL_WIDTH = 20


class Voice(Protocol):
    """Who says a line; the screen does."""

    @property
    def lang(self) -> str: ...

    def say(self, label: str, text: str) -> None: ...


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
    def __init__(self, voice: Voice, label: str) -> None:
        self._voice = voice
        self._label = label
        self._last = time.monotonic()
        self._said = ""

    def show(self, event: Event) -> None:
        if event.kind == "note":
            self._voice.say(self._label, note_in(event, self._voice.lang))
            return
        done, total = _counts(event)
        is_due = time.monotonic() - self._last >= PLAIN_SECONDS
        text = describe(event, self._voice.lang)
        if (total and done == total and text != self._said) or (is_due and _is_told(event)):
            self._last, self._said = time.monotonic(), text
            self._voice.say(self._label, text)

    def line(self, text: str) -> None:
        if time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            self._voice.say(self._label, text.strip()[:160])


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


def labelled(label: str, lang: str) -> str:
    """``label`` in ``lang`` where it is a word and no name, as wide as all labels are."""
    known = f"label.{label}"
    said = words.text(known, lang) if known in words.TABLE else label
    return said + " " * (LABEL_WIDTH - cell_len(said))
