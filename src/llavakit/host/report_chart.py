"""The loss as a drawing: numbers for an SVG, and a line of block characters for Markdown.

Many iterations are drawn as buckets (mean, lowest, highest), so that a long training makes no
larger file than a short one and no peak is lost.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 36
"""Margins of the plot, in the units of the drawing: room for the axes' texts."""
BUCKETS = 160
LOG_FROM = 30.0
"""Losses whose highest is so many times their lowest get a logarithmic axis."""
TICKS = 5
BLOCKS = "▁▂▃▄▅▆▇█"
SPARKS = 60


@dataclass(frozen=True)
class Tick:
    """``at`` is in the units of the drawing."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A drawing of WIDTH by HEIGHT units."""

    line: str
    """Points of a polyline."""
    band: str
    """Points of a polygon; empty where each iteration is drawn."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    logarithmic: bool
    size: int
    """Iterations in each point of the line (the last one may have fewer)."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def draw(losses: Sequence[float]) -> Chart | None:
    """The chart of the losses of iterations 1, 2, ...; None where there are none."""
    if not losses:
        return None
    size = math.ceil(len(losses) / BUCKETS)
    starts = range(0, len(losses), size)
    buckets = [losses[start : start + size] for start in starts]
    middles = [start + (len(bucket) + 1) / 2 for start, bucket in zip(starts, buckets, strict=True)]
    low, high = min(losses), max(losses)
    logarithmic = low > 0 and high / low >= LOG_FROM
    marks = _log_ticks(low, high) if logarithmic else _ticks(low, high)
    low, high = min(low, *marks), max(high, *marks)
    across = _scale(1, max(len(losses), 2), LEFT, WIDTH - RIGHT)
    up = _scale(low, high, HEIGHT - BOTTOM, TOP, logarithmic=logarithmic)
    xs = [across(middle) for middle in middles]
    band = ""
    if size > 1:
        tops = [(x, up(max(bucket))) for x, bucket in zip(xs, buckets, strict=True)]
        floors = [(x, up(min(bucket))) for x, bucket in zip(xs, buckets, strict=True)]
        band = _points([*tops, *reversed(floors)])
    means = [(x, up(statistics.fmean(bucket))) for x, bucket in zip(xs, buckets, strict=True)]
    return Chart(
        line=_points(means if len(means) > 1 else [*means, (WIDTH - RIGHT, means[0][1])]),
        band=band,
        x_ticks=tuple(Tick(round(across(mark), 1), f"{mark:g}") for mark in _counts(len(losses))),
        y_ticks=tuple(Tick(round(up(mark), 1), f"{mark:g}") for mark in marks),
        logarithmic=logarithmic,
        size=size,
    )


def sparkline(losses: Sequence[float]) -> str:
    """The same in one line of text, at most SPARKS characters, from zero or the lowest up."""
    if not losses:
        return ""
    size = math.ceil(len(losses) / SPARKS)
    means = [statistics.fmean(losses[at : at + size]) for at in range(0, len(losses), size)]
    low, high = min(means), max(means)
    step = (high - low) / (len(BLOCKS) - 1) or 1.0
    return "".join(BLOCKS[round((mean - low) / step)] for mean in means)


def _scale(
    low: float, high: float, start: float, end: float, *, logarithmic: bool = False
) -> Callable[[float], float]:
    by: Callable[[float], float] = math.log10 if logarithmic else float
    first, span = by(low), (by(high) - by(low)) or 1.0
    return lambda value: start + (by(value) - first) / span * (end - start)


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _ticks(low: float, high: float) -> list[float]:
    """Round figures around ``low`` to ``high``, both within them."""
    span = (high - low) or abs(high) or 1.0
    step = _nice(span / (TICKS - 1))
    first, last = math.floor(low / step), math.ceil(high / step)
    last = max(last, first + 1)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten around the figures, with 2 and 5 times them where that makes no crowd."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = range(first, last + 1)
    steps = (1, 2, 5) if len(powers) <= TICKS - 2 else (1,)
    marks = [float(f"{step * 10.0**power:.10g}") for power in powers for step in steps]
    every = math.ceil(len(powers) / (2 * TICKS))
    marks = marks if len(steps) > 1 else marks[::every]
    below = [mark for mark in marks if mark <= low][-1:]
    above = [mark for mark in marks if mark >= high][:1]
    return [*below, *(mark for mark in marks if low < mark < high), *above] or marks


def _counts(count: int) -> list[int]:
    """Iterations to name on the axis: the first, round ones, and the last."""
    if count <= 1:
        return [1]
    step = max(1, round(_nice(count / (TICKS - 1))))
    inner = [mark for mark in range(step, count, step) if mark > 1 and count - mark > step * 0.3]
    return [1, *inner, count]


def _nice(step: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is no less than ``step``."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
