"""What a teacher gets of a class: a table, one CSV, one HTML page, and other platforms' files.

Names and answers are strangers' texts: the page escapes them and forbids itself scripts and the
network, the CSV keeps a spreadsheet from taking them for formulas.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from llavakit.host import grade_formats, similar, words
from llavakit.host.console import table
from llavakit.host.grade_form import GRADED, NOT_GRADED, REFUSED, Grade
from llavakit.host.similar import Pair
from llavakit.locks import write_atomic
from llavakit.markdown import clean
from llavakit.submission import Reason

TEMPLATE = "class.html.jinja"
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def write(
    folder: Path, title: str, grades: Sequence[Grade], alike: float, lang: str
) -> dict[str, str]:
    """Write all files of a class to ``folder``; their paths by kind."""
    found = similar.pairs(grades, alike)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "grades.csv", csv_text(grades, found))
    write_atomic(folder / "grades.html", html(title, grades, found, lang))
    for kind, make in grade_formats.FORMATS.items():
        (folder / kind).mkdir(exist_ok=True)
        for grade in grades:
            file = folder / kind / f"{file_name(grade.student)}.json"
            body = make(grade, lang)
            if body is None:
                file.unlink(missing_ok=True)
            else:
                write_atomic(file, json.dumps(body, ensure_ascii=False, indent=1) + "\n")
    kinds = ("grades.csv", "grades.html", *grade_formats.FORMATS)
    return {kind: str(folder / kind) for kind in kinds}


def counts(grades: Sequence[Grade]) -> dict[str, int]:
    """How many of each verdict."""
    return {
        verdict: sum(grade.verdict == verdict for grade in grades)
        for verdict in (GRADED, REFUSED, NOT_GRADED)
    }


def mean(grades: Sequence[Grade]) -> float | None:
    """The mean mark of those that were graded."""
    marks = [grade.points or 0.0 for grade in grades if grade.verdict == GRADED]
    return sum(marks) / len(marks) if marks else None


def why(grade: Grade, lang: str) -> str:
    """The first reason in full, and how many more there are; of a graded one, why its record is
    worth nothing.
    """
    reasons = [each.what(lang) for each in objections(grade)]
    more = f" (+{len(reasons) - 1})" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else ""


def objections(grade: Grade) -> tuple[Reason, ...]:
    """What there is against a submission, and against its record."""
    return (*grade.reasons, *(grade.record.reasons if grade.record else ()))


def shown_table(title: str, grades: Sequence[Grade], lang: str) -> Table:
    """The class for a terminal."""
    columns = [words.text(f"grade.{name}", lang) for name in ("student", "verdict", "points")]
    columns = [columns[0], f"={columns[1]}", f"#{columns[2]}", words.text("grade.why", lang)]
    rows = [
        (
            grade.student,
            words.text(f"grade.{grade.verdict}", lang),
            "" if grade.points is None else f"{grade.points:g}",
            why(grade, lang),
        )
        for grade in grades
    ]
    return table(words.text("grade.title", lang, assignment=title), columns, rows)


def csv_text(grades: Sequence[Grade], pairs: Sequence[Pair]) -> str:
    """One line a student, with a column for each thing that gives points. In English: programs
    read it.
    """
    names = _columns(grades)
    near: dict[str, list[str]] = {}
    for pair in pairs:
        near.setdefault(pair.one, []).append(pair.other)
        near.setdefault(pair.other, []).append(pair.one)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["student", "verdict", "points", "of", *names, "reasons", "alike", "seed",
                     "submission_sha256"])  # fmt: skip
    for grade in grades:
        points: list[object] = [share.points for share in grade.shares] or [""] * len(names)
        reasons = "; ".join(each.what("en") for each in objections(grade))
        row = [
            grade.student, grade.verdict, "" if grade.points is None else grade.points, grade.of,
            *points, reasons, "; ".join(near.get(grade.student, ())), grade.seed,
            grade.submission_sha256,
        ]  # fmt: skip
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def html(title: str, grades: Sequence[Grade], pairs: Sequence[Pair], lang: str) -> str:
    """The page. Every value is cleaned of control characters and escaped."""
    import jinja2  # takes a tenth of a second, and no other task needs it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=lambda value: clean(value) if isinstance(value, str) else value,
    )
    text = environment.get_template(TEMPLATE).render(
        title=title,
        grades=grades,
        pairs=pairs,
        counts=counts(grades),
        mean=mean(grades),
        names=partial(grade_formats.name, lang=lang),
        lang=lang,
        say=partial(words.text, lang=lang),
        kept=next((grade.provenance for grade in grades), {}),
    )
    return str(text) + "\n"


def file_name(student: str) -> str:
    """A student's id as the name of a file; two never have the same."""
    safe = re.sub(r"[^\w.-]+", "_", student)[:80].lstrip(".") or "_"
    if safe == student:
        return safe
    return f"{safe}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"


def _columns(grades: Sequence[Grade]) -> list[str]:
    """One of the graded has them all, in their order."""
    shares: Sequence[Any] = next((grade.shares for grade in grades if grade.shares), ())
    return [
        f"{number}: {share.picture} {share.question}".strip() if share.question else share.kind
        for number, share in enumerate(shares, start=1)
    ]


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
