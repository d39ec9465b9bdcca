"""A report as Markdown (GitHub's), for a pull request: no pictures, all that is said is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from llavakit.host import words
from llavakit.host.report_content import Content, Subject

MARKS = {"good": "✅", "bad": "❌", "open": "➖"}
STATES = {"met": "✅ ", "missed": "❌ ", "unknown": "➖ ", "": ""}
SPECIAL = re.compile(r"[!#$&*<>@\[\\\]^_`|~]|:(?=//|\w)|(?<=www)\.")
"""What can begin markup, a mention, a reference to an issue or a link; as an entity it cannot."""


def clean(text: str) -> str:
    """``text`` with a mark in the place of control codes, halves of characters and of what turns
    the direction of writing: a model that was not trained answers anything.
    """
    return "".join(
        char if char == "\n" or (char.isprintable() and char != "\x7f") else _mark(char)
        for char in text
    )


def _mark(char: str) -> str:
    return " " if char.isspace() else "\ufffd"


def escaped(text: str) -> str:
    """``text`` on one line, for a table's cell or a sentence."""
    line = " ".join(clean(text).split())
    return SPECIAL.sub(lambda found: f"&#{ord(found[0])};", line)


def quoted(text: str) -> str:
    """The same as code: nothing in it is a mention or a link."""
    return f"<code>{escaped(text)}</code>"


def markdown(made: Content, lang: str) -> str:
    """The report."""
    say = partial(words.text, lang=lang)
    lines = [f"# {escaped(say('report.title', run=made.run))}", "", escaped(made.subtitle), ""]
    lines += [f"- {MARKS[each.tone]} {_plain(each.text)}" for each in made.verdict]
    lines += ["", f"## {say('report.figures')}", ""]
    heads = [say(key) for key in ("records.what", "expect.seen", "report.expected",
                                  "records.state")]  # fmt: skip
    lines += _table(heads, ((*map(escaped, (each.name, each.seen, each.expected)),
                             STATES[each.state] + escaped(each.said))
                            for each in made.figures))  # fmt: skip
    lines += ["", say("report.sources"), "", f"## {say('report.loss')}", ""]
    lines += [f"`{made.spark}`", ""] if made.spark else []
    lines += [_plain(made.chart_text), "", f"## {say('report.questions')}", ""]
    heads = [say(f"report.{key}") for key in ("picture", "question", "references", "before",
                                              "after")]  # fmt: skip
    rows = [row for subject in made.subjects for row in _rows(subject)]
    lines += (
        [*_table(heads, rows), "", escaped(made.metric)] if rows else [say("report.no-answers")]
    )
    lines += ["", f"## {say('report.pins')}", ""]
    heads = [say("report.pin"), say("report.sha256")]
    lines += _table(heads, ((escaped(pin.name), quoted(pin.full)) for pin in made.pins))
    lines += ["", f"## {say('report.provenance')}", ""]
    lines += [f"- {fact.name}: {'; '.join(map(escaped, fact.values))}" for fact in made.facts]
    heads = [say(f"report.{key}") for key in ("stage", "outcome", "began", "took", "peak")]
    rows_of = [(row.label, row.outcome, row.began, row.took, row.memory) for row in made.stages]
    lines += ["", *_table(heads, (list(map(escaped, row)) for row in rows_of))]
    lines += ["", f"## {say('report.reproduce')}", "", *map(_plain, made.how)]
    lines += ["", "```", *clean(made.commands).splitlines(), "```"] if made.commands else []
    lines += ["", _plain(made.made_by)]
    return "\n".join(lines).rstrip() + "\n"


def _rows(subject: Subject) -> Iterator[tuple[str, ...]]:
    for question in subject.questions:
        boxes = {box.kind: box for box in question.boxes}
        references = "<br>".join(map(quoted, question.references))
        sides = [quoted(boxes[kind].answer) + _score(boxes[kind].scores)
                 for kind in ("before", "after") if kind in boxes]  # fmt: skip
        yield (quoted(subject.picture.name), quoted(question.text), references, *sides)


def _score(scores: str) -> str:
    return f"<br>{escaped(scores)}" if scores else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [_row(heads), _row(["---"] * len(heads))]
    return [*lines, *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """A sentence of the kit's: its commands in backticks stay code."""
    parts = text.split("`")
    odd = len(parts) % 2 == 0  # no pairs: an answer's or a name's backtick
    return escaped(text) if odd else "`".join(map(_outside, enumerate(parts)))


def _outside(numbered: tuple[int, str]) -> str:
    number, part = numbered
    kept = (
        part[: len(part) - len(part.lstrip())],
        part[len(part.rstrip()) :] if part.strip() else "",
    )
    return part if number % 2 else kept[0] + escaped(part) + kept[1]
