"""`invoke report [RUN]`: one HTML file that needs nothing else, and the same as Markdown.

What a report holds comes from strangers as well: answers of a model, names of files, a record from
anywhere. All of it is escaped, and the page forbids itself scripts and the network.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from llavakit import record
from llavakit.host import (
    amounts,
    finding,
    report_content,
    report_markdown,
    report_pictures,
    report_verdict,
    words,
)
from llavakit.host.console import Screen
from llavakit.host.finding import Found
from llavakit.host.report_content import Content
from llavakit.locks import file_sha256, write_atomic
from llavakit.markdown import clean
from llavakit.workspace import Workspace

TEMPLATE = "report.html.jinja"
HTML, MARKDOWN = ".html", ".md"


def report(place: Workspace, name: str, *, markdown: bool, screen: Screen) -> int:
    """Write both beside the record and say where; ``markdown``: the Markdown itself is the result.

    Raises RecordError.
    """
    found = finding.find(place, name)
    made = content(found, place, screen.lang)
    texts = {HTML: html(made, screen.lang), MARKDOWN: report_markdown.markdown(made, screen.lang)}
    files = {kind: beside(found.file, kind) for kind in texts}
    for kind, text in texts.items():
        write_atomic(files[kind], text)
        size = amounts.size(len(text.encode()))
        said = words.text("report.written", screen.lang, path=files[kind], size=size)
        screen.say("report", said)
    body = {"run": found.run.id, "html": str(files[HTML]), "markdown": str(files[MARKDOWN])}
    screen.result(body, text=texts[MARKDOWN] if markdown else str(files[HTML]))
    return 0


def content(found: Found, place: Workspace, lang: str) -> Content:
    """The report of a record; its pictures are those of the workspace that it lies in."""
    pictures = report_pictures.pictures(found.run, found.root())
    around = report_verdict.neighbours(found.run, place)
    sha256 = file_sha256(found.file)
    return report_content.content(found.run, pictures, around, found.file.name, sha256, lang)


def beside(file: Path, kind: str) -> Path:
    """``report.html`` in a run's folder; ``NAME.report.html`` beside a ``NAME.json``."""
    stem = "" if file.name == record.FILE_NAME else f"{file.stem}."
    return file.with_name(f"{stem}report{kind}")


def html(made: Content, lang: str) -> str:
    """The page. Every value is cleaned of control characters and escaped."""
    import jinja2  # takes a tenth of a second, and no other task needs it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=_clean,
    )
    full = [(pin.name, pin.full) for pin in made.pins]
    full += [part for pin in made.pins for part in pin.parts]
    text = environment.get_template(TEMPLATE).render(
        report=made, full=full, lang=lang, say=partial(words.text, lang=lang)
    )
    return str(text) + "\n"


def _clean(value: Any) -> Any:
    return clean(value) if isinstance(value, str) else value
