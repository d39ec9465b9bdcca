"""From the lines of a training to figures. XTuner writes a line when an iteration has ended."""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llavakit import errors

FROM = 6
"""The first iterations warm up: allocator, kernels, caches."""
TAIL = 30
NO_MEMORY = "the host, or the container's limit, may have been out of memory"
_LINE = re.compile(r"Iter\(train\) \[\s*(\d+)/(\d+)\]")
_LOSS = re.compile(r"\bloss: (\S+)")
_ALLOCATED = re.compile(r"\bmemory: (\d+)")
_ERROR = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt|Failure)\b.*")


@dataclass(frozen=True)
class Iteration:
    """One that has ended; ``seconds`` since its process was started."""

    number: int
    seconds: float
    loss: float
    allocated_mib: int | None
    """The most that torch has had allocated on the GPU until then."""


def iteration(seconds: float, line: str) -> Iteration | None:
    """The iteration that a line tells of."""
    found, loss, allocated = _LINE.search(line), _LOSS.search(line), _ALLOCATED.search(line)
    if not found or not loss:
        return None
    try:
        value = float(loss[1])
    except ValueError:
        return None
    return Iteration(int(found[1]), seconds, value, int(allocated[1]) if allocated else None)


def per_iteration(found: Sequence[Iteration]) -> dict[str, Any] | None:
    """Median, 10th and 90th percentile of the seconds from one to the next.

    Of those from :data:`FROM` on, where there are any; ``counted`` says how many.
    """
    gaps = {b.number: b.seconds - a.seconds for a, b in itertools.pairwise(found)}
    values = [gap for number, gap in gaps.items() if number >= FROM] or list(gaps.values())
    if not values:
        return None
    low, high = _outer(values)
    return {
        "median": round(statistics.median(values), 4),
        "p10": round(low, 4),
        "p90": round(high, 4),
        "counted": len(values),
    }


def _outer(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    cuts = statistics.quantiles(values, n=10, method="inclusive")
    return cuts[0], cuts[-1]


def trouble(found: Sequence[Iteration]) -> str:
    """What is wrong with the losses; empty when nothing."""
    bad = next((each.number for each in found if not math.isfinite(each.loss)), None)
    return "" if bad is None else f"the loss of iteration {bad} is not finite"


def why(tail: Sequence[str], status: int | None) -> str:
    """Why a child ended early: in its own words, where it had any."""
    for line in reversed(tail):
        if known := errors.from_wire(line):
            return " ".join([known.what(), known.why]).strip()
    for line in reversed(tail):
        if said := _ERROR.match(line.strip()):
            return said[0][:600]
    if status is not None and status < 0:
        return f"ended by signal {-status}" + (f"; {NO_MEMORY}" if status == -9 else "")
    last = next((line.strip() for line in reversed(tail) if line.strip()), "")
    how = f"ended with status {status}" + (f": {last[:300]}" if last else "")
    # `xtuner train` ends with 0 whatever ended its training, a SIGKILL too.
    return f"{how}; {NO_MEMORY}" if status == 0 else how
