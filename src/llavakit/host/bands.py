"""The band in which a run's figures lie when it is the same experiment on another machine.

Where bits cannot be equal (a GPU, another CPU instruction set), the figures of reference runs say
how far honest runs lie apart. As in MLPerf, whose reference convergence points are several runs of
a reference implementation against which a submission's convergence is tested: there one-sided
(nobody may converge faster than the reference by more than chance allows), here on both sides.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llavakit.record_form import Run

LEVEL = 0.99
"""Of each figure: where the references are right, one honest run in a hundred lies outside."""
QUANTILES = (63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055,
             3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861)  # fmt: skip
"""Student's t at 0.995 for 1 degree of freedom and more; the last stands for all above."""
FLOOR = 0.001
"""A band is never narrower than this part of its middle: roundings, not another experiment."""
SCORE_FLOOR = 0.02
"""Nor than this on each side, of a score: a rounding can turn a word of a greedy answer."""
FEWEST = 2
QUARTERS = 4
SCORE = "rouge_l "


@dataclass(frozen=True)
class Band:
    """Where one figure of a further run is expected, from ``count`` references."""

    name: str
    low: float
    high: float
    count: int

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def figures(run: Run) -> dict[str, float]:
    """What is held against the band: the mean loss of each quarter of the training, and scores.

    Single losses are noise at batch size 1; their means over a quarter are not.
    """
    losses, found = run.results.losses, {}
    if len(losses) >= QUARTERS:
        ends = [round(len(losses) * part / QUARTERS) for part in range(QUARTERS + 1)]
        for number, (start, end) in enumerate(pairwise(ends), 1):
            found[f"loss quarter {number}"] = statistics.fmean(losses[start:end])
    elif losses:
        found["loss mean"] = statistics.fmean(losses)
    for side, scores in (run.results.scores or {}).items():
        if (score := scores.get("rouge_l")) is not None:
            found[f"{SCORE}{side}"] = score
    return found


def distinct(runs: Iterable[Run]) -> list[Run]:
    """Runs whose losses differ: equal bits say nothing about how far runs lie apart."""
    found: dict[tuple[float, ...], Run] = {}
    for run in runs:
        found.setdefault(tuple(run.results.losses), run)
    return list(found.values())


def bands(references: Sequence[Run]) -> list[Band]:
    """A band for every figure that all of the references have; none for fewer than two.

    It is the prediction interval for one more run: mean ± t · s · sqrt(1 + 1/n).
    """
    if len(references) < FEWEST:
        return []
    values = [figures(run) for run in references]
    names = [name for name in values[0] if all(name in each for each in values)]
    return [_band(name, [each[name] for each in values]) for name in names]


def _band(name: str, values: Sequence[float]) -> Band:
    count, middle = len(values), statistics.fmean(values)
    quantile = QUANTILES[min(count - 1, len(QUANTILES)) - 1]
    spread = quantile * statistics.stdev(values) * (1 + 1 / count) ** 0.5
    half = max(spread, SCORE_FLOOR if name.startswith(SCORE) else FLOOR * abs(middle))
    return Band(name, middle - half, middle + half, count)
