"""`invoke diff RUN RUN`: what differs between two runs, in what they are and in what came out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from llavakit.host import comparing, finding, words
from llavakit.host.comparing import Difference, Figure
from llavakit.host.console import Screen, table
from llavakit.record_form import Run
from llavakit.workspace import Workspace

NAMED = 3
"""So many names are listed of those that differ."""


def diff(place: Workspace, one: str, other: str, screen: Screen) -> int:
    """Show it; as of diff(1), 1 where anything differs. Raises RecordError."""
    first, second = (finding.find(place, name).run for name in (one, other))
    identity = comparing.identities(first, second)
    results = comparing.results(first, second)
    equal = not identity and all(figure.equal for figure in results)
    body = {"runs": [first.id, second.id], "equal": equal, **as_json(identity, results)}
    screen.result(body, table=Group(*tables(first, second, identity, results, screen.lang)))
    return 0 if equal else 1


def as_json(identity: Iterable[Difference], results: Iterable[Figure]) -> dict[str, Any]:
    """For a program: every difference of the identity, every result."""
    return {
        "identity": [asdict(difference) for difference in identity],
        "results": [asdict(figure) for figure in results],
    }


def tables(
    one: Run, other: Run, identity: Sequence[Difference], results: Sequence[Figure], lang: str
) -> Iterator[RenderableType]:
    """The differences of the identity, then the results."""
    ids = (f"={one.id}", f"={other.id}" if other.id != one.id else "=(2)")
    if identity:
        title = words.text("records.identity", lang, count=len(identity))
        rows = [(each.name, short(each.one), short(each.other)) for each in identity]
        yield table(title, (words.text("records.what", lang), *ids), rows)
    else:
        yield Text(words.text("records.same", lang))
    columns = (words.text("records.what", lang), *ids, words.text("records.state", lang))
    rows_of = [
        (name(each, lang), _value(each.name, each.one, lang), _value(each.name, each.other, lang),
         state(each, lang)) for each in results
    ]  # fmt: skip
    yield table(words.text("records.results", lang), columns, rows_of)


def name(figure: Figure, lang: str) -> str:
    """A result's name in words."""
    return words.text(f"result.{figure.name}", lang)


def state(figure: Figure, lang: str) -> str:
    """``equal``, or how far apart the two are."""
    detail = figure.detail
    if figure.equal:
        return words.text("records.equal", lang)
    if not figure.in_both:
        return words.text("records.one", lang)
    if detail.get("first"):
        return words.text("records.series", lang, first=detail["first"], most=detail["most"])
    if "first" in detail:
        return words.text("records.length", lang)
    if detail.get("both"):
        return words.text("records.answers", lang, **detail)
    if isinstance(detail.get("differ"), list):
        listed = ", ".join(map(_part, detail["differ"][:NAMED]))
        return words.text("records.files", lang, count=len(detail["differ"]), names=listed)
    return words.text("records.differs", lang)


def short(value: Any) -> str:
    """A value of an identity: of a hash the beginning, nothing for nothing."""
    if value is None:
        return "-"
    text = str(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text


def _part(name: str) -> str:
    """Of ``tuned/projector/model.safetensors`` what it is the model of."""
    path = PurePosixPath(name)
    return path.name if path.parent.name == "train" else path.parent.name


def _value(name: str, value: Any, lang: str) -> str:
    if value is None:
        return "-"
    if name in ("losses", "learning rates"):
        return words.text("records.final", lang, value=value)
    kind = {"weights": "records.count", "answers": "records.texts"}.get(name.partition(" ")[0])
    return words.text(kind, lang, count=value) if kind else f"{value:g}"
