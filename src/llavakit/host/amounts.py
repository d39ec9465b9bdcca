"""Bytes and times in words. Decimal units, as disks and networks are sold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llavakit.host import words

UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def size(count: float) -> str:
    """``16.1 GB``."""
    name, unit = _unit(count)
    return f"{_number(count, unit)} {name}"


def part_of(done: int, total: int | None, lang: str = "en") -> str:
    """``1.2 of 16.1 GB``; ``1.2 GB`` where the total is not known."""
    if total is None:
        return size(done)
    name, unit = _unit(total)
    return words.text(
        "progress.part", lang, done=_number(done, unit), total=_number(total, unit), unit=name
    )


def duration(seconds: float) -> str:
    """``40 s``, ``5 min``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def transfer(fields: Mapping[str, Any], lang: str = "en") -> str:
    """A progress event in bytes: ``1.2 of 16.1 GB  45 MB/s  5 min left  model.safetensors``."""
    total, rate, left = fields.get("total"), fields.get("rate"), fields.get("seconds_left")
    said = [part_of(int(fields.get("done") or 0), None if total is None else int(total), lang)]
    if rate:
        said.append(f"{size(rate)}/s")
    if left:
        said.append(words.text("progress.left", lang, time=duration(left)))
    return "  ".join([*said, *filter(None, [str(fields.get("item") or "")])])


def _unit(count: float) -> tuple[str, int]:
    return next((pair for pair in UNITS if count >= pair[1]), ("bytes", 1))


def _number(count: float, unit: int) -> str:
    return f"{count / unit:.1f}" if unit > 1 else f"{count:.0f}"
