"""A report as Markdown (GitHub's), for a pull request: no pictures, all that is said is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from llavakit.host import words
from llavakit.host.report_content import Content, Say, Subject
from llavakit.markdown import clean, escaped, quoted

MARKS = {"good": "✅", "bad": "❌", "open": "➖"}
STATES = {"met": "✅ ", "missed": "❌ ", "unknown": "➖ ", "": ""}


def markdown(made: Content, lang: str) -> str:
    """The report."""
    say = partial(words.text, lang=lang)
    lines = [f"# {escaped(say('report.title', run=made.run))}", "", escaped(made.subtitle), ""]
    lines += [f"- {MARKS[each.tone]} {_plain(each.text)}" for each in made.verdict]
    for section in (figures, loss, questions, pins, provenance, reproduce):
        lines += ["", *section(made, say)]
    lines += ["", _plain(made.made_by)]
    return "\n".join(lines).rstrip() + "\n"


def figures(made: Content, say: Say) -> list[str]:
    """What came out, beside what the recipe expects. Every section is lines, its heading first."""
    heads = [say(key) for key in ("records.what", "expect.seen", "report.expected",
                                  "records.state")]  # fmt: skip
    rows = ((*map(escaped, (each.name, each.seen, each.expected)),
             STATES[each.state] + escaped(each.said)) for each in made.figures)  # fmt: skip
    return [f"## {say('report.figures')}", "", *_table(heads, rows), "", say("report.sources")]


def loss(made: Content, say: Say) -> list[str]:
    """The loss in one line of marks and one of words."""
    spark = [f"`{made.spark}`", ""] if made.spark else []
    return [f"## {say('report.loss')}", "", *spark, _plain(made.chart_text)]


def questions(made: Content, say: Say) -> list[str]:
    """Every question with the answers before and after."""
    heads = [say(f"report.{key}") for key in ("picture", "question", "references", "before",
                                              "after")]  # fmt: skip
    rows = [row for subject in made.subjects for row in _rows(subject)]
    body = [*_table(heads, rows), "", escaped(made.metric)] if rows else [say("report.no-answers")]
    return [f"## {say('report.questions')}", "", *body]


def pins(made: Content, say: Say) -> list[str]:
    """What must be equal for another run to be the same experiment."""
    heads = [say("report.pin"), say("report.sha256")]
    rows = ((escaped(pin.name), quoted(pin.full)) for pin in made.pins)
    return [f"## {say('report.pins')}", "", *_table(heads, rows)]


def provenance(made: Content, say: Say) -> list[str]:
    """Machines, engines, and every start of a stage."""
    facts = [f"- {fact.name}: {'; '.join(map(escaped, fact.values))}" for fact in made.facts]
    heads = [say(f"report.{key}") for key in ("stage", "outcome", "began", "took", "peak")]
    rows = ((row.label, row.outcome, row.began, row.took, row.memory) for row in made.stages)
    table = _table(heads, (list(map(escaped, row)) for row in rows))
    return [f"## {say('report.provenance')}", "", *facts, "", *table]


def reproduce(made: Content, say: Say) -> list[str]:
    """The commands that make the run again."""
    lines = [f"## {say('report.reproduce')}", "", *map(_plain, made.how)]
    return (
        [*lines, "", "```", *clean(made.commands).splitlines(), "```"] if made.commands else lines
    )


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
