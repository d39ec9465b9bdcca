"""What a bench saw, as JSON, as a table for the terminal and as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from llavakit.engines.base import Engine
from llavakit.host import environment, words
from llavakit.host.console import table

VERSION = 1
JSON, MARKDOWN = "bench.json", "bench.md"
FIGURES = {
    "first": "first_iteration_s",
    "each": "s_per_iteration",
    "gpu": "gpu_mib",
    "memory": "memory_mib",
    "disk": "disk_mib",
}
"""The table's columns, and where their figures are in a row."""
MARKS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Where along the iterations losses are shown."""


def body(
    folder: str, created: str, rows: Sequence[Mapping[str, Any]], engine: Engine | None
) -> dict[str, Any]:
    """Everything, as JSON values; each row's figures once more, flat, with their ratio to plain."""
    made = [{**row, "figures": _figures(row)} for row in rows]
    plain = _plain(made)
    for row in made:
        others = plain and row is not plain and row["state"] == "measured"  # peaks of a whole one
        row["to_plain"] = _ratios(row, plain) if plain and others else {}
        if plain and row is not plain:
            apart = _apart(row, plain)
            row["largest_loss_difference"] = round(max(apart), 4) if apart else None
    return {
        "version": VERSION,
        "id": folder,
        "created": created,
        "kit": environment.commit(),
        "steps": environment.source_sha256(),
        "lock": environment.lock_sha256(),
        "engine": {"name": engine.name, **engine.describe()} if engine else None,
        "machine": machine(made),
        "rows": made,
    }


def machine(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """This host; its GPU as the jobs saw it."""
    return {
        "gpu": next((row["gpu"] for row in rows if row.get("gpu")), None),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(environment.memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def title(kind: str, recipe: str, lang: str) -> str:
    """What an entry is, in a few words."""
    return words.text(f"bench.kind.{kind}", lang, recipe=recipe)


def table_of(content: Mapping[str, Any], lang: str) -> Table:
    """For the terminal, 80 columns wide; under each figure its ratio to plain XTuner's."""
    say = partial(words.text, lang=lang)
    columns = ["=" + say("bench.what")]
    columns += [f"#{say(f'bench.{name}')}" for name in FIGURES] + ["=" + say("bench.maths")]
    made = table(f"{content['id']}: {_machine_line(content)}", columns, ())
    for row in content["rows"]:
        cells = [_two(_number(name, row["figures"]), _ratio(name, row)) for name in FIGURES]
        what, squeezed = _what(row), _squeezed(row)
        label = say("bench.left", mib=squeezed) if squeezed else ""
        state = row["maths"] if row["state"] == "measured" else row["state"]
        made.add_row(_two(what, label), *cells, say(f"bench.{state}"))
    made.caption, made.caption_justify = say("bench.caption"), "left"
    return made


def plan_table(content: Mapping[str, Any], lang: str) -> Table:
    """What would be made, and measured."""
    say = partial(words.text, lang=lang)
    rows = [(each["recipe"], each["stage"], say(f"action.{each['action']}"))
            for each in content["stages"]]  # fmt: skip
    rows += [(each["recipe"], f"bench: {each['label']}", say("action.run"))
             for each in content["jobs"]]  # fmt: skip
    columns = [say(f"plan.{name}") for name in ("recipe-name", "stage", "action")]
    return table(say("plan.title", run=content["run"]), columns, rows)


def markdown(content: Mapping[str, Any]) -> str:
    """The same with percentiles and losses."""
    commit = content["kit"]  # a copy without its history has none; its code has a hash all the same
    kit = f"steps {content['steps'][:12]}" if commit == "unknown" else f"kit {commit[:12]}"
    lines = [
        f"# {content['id']}",
        "",
        f"{_machine_line(content)}; {content['created']}, {kit}, "
        f"engine {(content['engine'] or {}).get('name', 'none')}.",
        "",
        "| | first iteration, s | s per iteration (10 %, 90 %) | GPU, MiB | memory, MiB "
        "| disk, MiB | maths |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_markdown_row(row) for row in content["rows"]]
    lines += ["", words.text("bench.caption", "en"), ""]
    lines += _losses(content["rows"])
    failed = [row for row in content["rows"] if row["state"] != "measured"]
    lines += [f"- {row['label']}: {row['state']}. {_cell(row['reason'])}" for row in failed]
    changed = [row for row in content["rows"] if row.get("changed")]
    lines += [f"- {row['label']}: {row['changed']}." for row in changed]
    return "\n".join(lines).rstrip() + "\n"


def _figures(row: Mapping[str, Any]) -> dict[str, float | None]:
    peaks, each = row.get("peaks") or {}, row.get("seconds_per_iteration") or {}
    return {
        "first_iteration_s": row.get("first_iteration_s"),
        "s_per_iteration": each.get("median"),
        **{name: peaks.get(name) for name in ("gpu_mib", "memory_mib", "disk_mib")},
    }


def _plain(rows: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Plain XTuner's row, where it was measured to the end."""
    found = (row for row in rows if row["kind"] == "plain" and row["state"] == "measured")
    return next(found, None)


def _ratios(row: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, float]:
    pairs = {name: (value, plain["figures"][name]) for name, value in row["figures"].items()}
    return {name: round(a / b, 3) for name, (a, b) in pairs.items() if a is not None and b}


def _apart(row: Mapping[str, Any], plain: Mapping[str, Any]) -> list[float]:
    """How far the losses of the same iterations are from each other."""
    pairs = zip(row.get("losses") or (), plain.get("losses") or (), strict=False)
    return [abs(a - b) for a, b in pairs if None not in (a, b)]


def _number(name: str, figures: Mapping[str, float | None]) -> str:
    value = figures[FIGURES[name]]
    if value is None:
        return ""
    return {"first": f"{value:.1f}", "each": f"{value:.3f}"}.get(name, f"{value:.0f}")


def _ratio(name: str, row: Mapping[str, Any]) -> str:
    ratio = row["to_plain"].get(FIGURES[name])
    return "" if ratio is None else f"{ratio:.2f} x"


def _two(first: str, second: str) -> str:
    return f"{first}\n{second}" if second else first


def _what(row: Mapping[str, Any]) -> str:
    return "plain XTuner" if row["kind"] == "plain" else str(row["label"])


def _squeezed(row: Mapping[str, Any]) -> int | None:
    return (row.get("squeeze") or {}).get("leave_mib")


def _machine_line(content: Mapping[str, Any]) -> str:
    found = content["machine"]
    gpu = found["gpu"]
    named = f"{gpu['name']}, driver {gpu['driver']}, " if gpu else ""
    return f"{named}{found['cores']} cores, {found['memory_gib']:.0f} GiB of memory"


def _markdown_row(row: Mapping[str, Any]) -> str:
    each = row.get("seconds_per_iteration")
    cells = {name: _number(name, row["figures"]) for name in FIGURES}
    if each:
        cells["each"] += f" ({each['p10']:.3f}, {each['p90']:.3f})"
    marked = [f"{cells[name]} {f'[{ratio}]' if (ratio := _ratio(name, row)) else ''}".strip()
              for name in FIGURES]  # fmt: skip
    left = _squeezed(row)
    what = _what(row) + (f" ({left} MiB of the GPU left to it)" if left else "")
    state = row["maths"] if row["state"] == "measured" else row["state"].upper()
    return "| " + " | ".join([what, *marked, state]) + " |"


def _losses(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    known = [row for row in rows if row.get("losses")]
    if not known:
        return []
    plain = _plain(rows)
    most = max(len(row["losses"]) for row in known)
    marks = sorted({max(1, round(most * share)) for share in MARKS})
    columns = [*map(str, marks), *(("furthest from plain", "on average") if plain else ())]
    lines = ["| " + " | ".join(["loss at iteration", *columns]) + " |",
             "|---" * (len(columns) + 1) + "|"]  # fmt: skip
    for row in known:
        values = [row["losses"][mark - 1] if mark <= len(row["losses"]) else "" for mark in marks]
        shown = ["not finite" if value is None else _loss(value) for value in values]
        if plain:
            apart = _apart(row, plain) if row is not plain else []
            shown += [_loss(max(apart)), _loss(statistics.fmean(apart))] if apart else ["", ""]
        lines.append("| " + " | ".join([_what(row), *shown]) + " |")
    return [*lines, ""]


def _loss(value: float | str) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                platform.processor())  # fmt: skip
