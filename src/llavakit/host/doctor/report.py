"""What doctor says: a line or two for each check, and one line at the end that decides."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from llavakit.host import environment, words
from llavakit.host.doctor import checks, leftovers, probe
from llavakit.host.doctor.checks import Row
from llavakit.host.doctor.findings import Host
from llavakit.host.doctor.form import VERSION, Found, Report

STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}
NOT_FOR_TINY = {"memory.ram", "memory.engine", "memory.shm", "disk.download", "disk.write",
                "network.llm", "network.vision", "network.projector", "network.data"}  # fmt: skip
"""What a recipe may lack that `invoke demo` does not need."""


def report(host: Host, *, fix: bool) -> int:
    """Look at everything, remove our leftovers with ``fix``, and say it; 1 when something fails."""
    began = time.monotonic()
    fixed = leftovers.fix(host) if fix else []
    rows = checks.run(host)
    quick = time.monotonic() - began
    rows = _with_probe(rows, host)
    failed, decided, demo = _failed(rows), verdict(host, rows), runs_here(host, rows)
    body = Report(
        version=VERSION,
        recipe=host.recipe.name,
        engine=host.engine(),
        ready=not failed,
        verdict=decided,
        runs_here=demo,
        seconds=round(quick, 2),
        fixed=fixed,
        checks=[_body(row) for row in rows],
    )
    last = [decided, *([host.say("verdict.demo", demo=demo)] if demo else [])]
    lines = Lines(rows, last, bool(failed), host.lang)
    host.pipeline.screen.result(body.model_dump(), table=lines)
    return int(bool(failed))


def verdict(host: Host, rows: Sequence[Row]) -> str:
    """One line: ready, or what is lacking, by themes where it is much of one."""
    failed = _failed(rows)
    warned = sum(row.finding.status == "warn" for row in rows)
    if not failed:
        key = "verdict.ready-but" if warned else "verdict.ready"
        return host.say(key, recipe=host.recipe.name, count=warned)
    themes: dict[str, list[str]] = {}
    for each in failed:
        themes.setdefault(each.partition(".")[0], []).append(each)
    short = [ids[0] if len(ids) == 1 else f"{theme} ({len(ids)})" for theme, ids in themes.items()]
    return host.say("verdict.not-ready", recipe=host.recipe.name, failed=", ".join(short))


def runs_here(host: Host, rows: Sequence[Row]) -> str:
    """The command that a host without all that a recipe needs can run; empty where none is."""
    failed = set(_failed(rows))
    gpu = {each for each in failed if each.startswith("gpu.")}
    if not failed or host.recipe.name == "tiny" or not failed - gpu <= NOT_FOR_TINY:
        return ""
    broken = bool(gpu) and environment.has_nvidia_gpu()
    return host.command("demo") + " --gpus none" * broken


def _failed(rows: Sequence[Row]) -> list[str]:
    return [row.id for row in rows if row.finding.status == "fail"]


def _with_probe(rows: list[Row], host: Host) -> list[Row]:
    """The probe's row behind the others of the GPU; not where one of them failed already."""
    last = max(place for place, row in enumerate(rows) if row.id.startswith("gpu."))
    began = time.monotonic()
    stuck = any(row.id in ("gpu.device", "gpu.access", "engine.docker")
                and row.finding.status == "fail" for row in rows)  # fmt: skip
    finding = host.skipped("probe.no-use") if stuck else probe.look(host)
    row = Row(probe.ID, finding, round(time.monotonic() - began, 3))
    return [*rows[: last + 1], row, *rows[last + 1 :]]


def _body(row: Row) -> Found:
    finding = row.finding
    return Found(id=row.id, status=finding.status, found=finding.found, remedy=finding.remedy,
                 seconds=row.seconds)  # fmt: skip


@dataclass(frozen=True)
class Lines:
    """The report on a terminal. Remedies stand in lines of their own, unbroken: to be pasted."""

    rows: Sequence[Row]
    last: Sequence[str]
    failed: bool
    lang: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = list(_shown(self.rows))
        width = max(len(name) for name, _ in shown) + 2
        for name, row in shown:
            style = STYLES[row.finding.status]
            word = words.text(f"doctor.status.{row.finding.status}", self.lang)
            head = Text(f"{word}  ", style=style) + Text(f"{name:<{width}}", style="bold")
            body = Text(row.finding.found, style="dim" if row.finding.status == "skip" else "")
            room = max(24, options.max_width - head.cell_len)
            for place, line in enumerate(body.wrap(console, room)):
                line.rstrip()
                yield (head if place == 0 else Text(" " * head.cell_len)) + line
            if row.finding.remedy:
                yield _unbroken(f"      -> {row.finding.remedy}", style)
        yield Text()
        for sentence in self.last:
            yield _unbroken(sentence, "bold red" if self.failed else "bold green")


def _unbroken(text: str, style: str) -> Text:
    """The terminal breaks it, and whoever copies it gets it whole."""
    return Text(text, style=style, no_wrap=True, overflow="ignore")


def _shown(rows: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    """What is skipped for one reason in one theme is one line."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.finding.status == "skip":
            groups.setdefault((row.id.partition(".")[0], row.finding.found), []).append(row)
    for row in rows:
        theme = row.id.partition(".")[0]
        group = groups.get((theme, row.finding.found), [row])
        if row.finding.status != "skip" or len(group) == 1:
            yield row.id, row
        elif row is group[0]:
            yield f"{theme}.* ({len(group)})", row
