"""Results as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from typing import Any


def markdown(rows: Iterable[dict[str, Any]]) -> str:
    """The last result of each phase as tables."""
    last = {(row["recipe"], row["phase"]): row for row in rows if row["event"] == "end"}
    lines = [
        "| recipe | phase | s | peak GPU MiB | peak disk GiB (before) | peak memory GiB | result |",
        "|---|---|---|---|---|---|---|",
    ]
    for (recipe, phase), row in last.items():
        peaks, before = row.get("peaks", {}), row.get("before", {})
        cells = [recipe, phase, row.get("seconds", ""), peaks.get("gpu_mib", ""),
                 f"{peaks['disk_gib']} ({before.get('disk_gib', '')})" if peaks else "",
                 peaks.get("memory_gib", ""), summary(phase, row)]  # fmt: skip
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    for (recipe, phase), row in last.items():
        lines += list(details(recipe, phase, row))
    return "\n".join(lines) + "\n"


def cell(value: object) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|")
    return "".join(char if char.isprintable() else " " for char in text)


def summary(phase: str, row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"FAILED: {row['failed'][-300:]}"
    if row.get("status"):
        return f"exit status {row['status']}: {str(row.get('said', ''))[-300:]}"
    keys = {
        "host": ("gpu", "engine", "kernel", "cores", "memory_gib"),
        "train": ("iterations", "planned", "command_to_first_iteration_s", "seconds_per_iteration",
                  "first_loss", "last_loss"),
        "kill": ("killed_at", "checkpoints_then", "went_on_from", "ended_with", "planned", "whole"),
        "compare": ("means",),
        "bench": ("run",),
    }  # fmt: skip
    return ", ".join(f"{key} {row.get(key)}" for key in keys.get(phase, ())) or "ok"


def details(recipe: str, phase: str, row: dict[str, Any]) -> Iterator[str]:
    if phase == "train" and row.get("losses"):
        losses = row["losses"]
        every = max(1, len(losses) // 20)
        shown = [*losses[::every], losses[-1]]
        yield f"\n{recipe}: loss at iteration: " + ", ".join(f"{n}: {loss}" for n, loss in shown)
    elif phase == "compare" and row.get("answers"):
        yield f"\n{recipe}: answers\n\n| question | before | ROUGE-L | after | ROUGE-L |"
        yield "|---|---|---|---|---|"
        for each in row["answers"]:
            sides = [part for side in ("before", "after")
                     for part in (each[side]["answer"][:200], each[side]["rouge_l"])]  # fmt: skip
            yield "| " + " | ".join(map(cell, [each["question"], *sides])) + " |"
    elif phase == "bench" and row.get("rows"):
        yield f"\n{recipe}: bench\n"
        yield "| what | state | first iteration, s | s per iteration | GPU MiB |"
        yield "|---|---|---|---|---|"
        for each in row["rows"]:
            names = ("first_iteration_s", "s_per_iteration", "gpu_mib")
            figures = [each["figures"][name] for name in names]
            state = each["reason"][-200:] if each["state"] == "failed" else each["state"]
            yield "| " + " | ".join(map(cell, [each["label"], state, *figures])) + " |"
    elif phase in ("ask", "chat") and row.get("answers"):
        yield f"\n{recipe}: {phase}\n"
        for each in row["answers"]:
            yield f"- {each['model']} ({each['seconds']} s): {cell(each['said'])[:600]}"


def deciles(values: list[float]) -> list[float]:
    """The 10th and the 90th percentile."""
    if len(values) < 2:
        return values
    cuts = statistics.quantiles(values, n=10)
    return [cuts[0], cuts[-1]]
