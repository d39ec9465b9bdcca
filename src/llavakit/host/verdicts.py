"""Whether a run reproduced another one, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llavakit.host import bands, comparing
from llavakit.host.bands import Band
from llavakit.host.comparing import Difference, Figure
from llavakit.record_form import Machine, Run

Kind = Literal["bitwise", "band", "not"]


@dataclass(frozen=True)
class Reason:
    """Why not: a key of the table of words (``verdict.*``) and what it names."""

    key: str
    name: str = ""
    count: int = 0


@dataclass(frozen=True)
class Verdict:
    """What a comparison came to, with all that it was made from."""

    kind: Kind
    reasons: tuple[Reason, ...]
    """Empty unless ``kind`` is ``not``."""
    identity: tuple[Difference, ...]
    results: tuple[Figure, ...]
    bands: tuple[Band, ...]
    """Of the references; empty where bits decide, and where no band is known."""
    figures: dict[str, float]
    """Those of the second run, by the names of the bands."""
    references: int
    bits_owed: bool
    """Whether the same machine's kind must give the same bits."""


def judge(original: Run, again: Run, references: Sequence[Run] = ()) -> Verdict:
    """Hold ``again`` against ``original``: by bits, or where those are not owed by the band.

    ``references`` are other runs of the same experiment; the original counts as one.
    """
    identity = comparing.identities(original, again)
    results = comparing.results(original, again)
    owed = bits_owed(original, again)
    known = bands.distinct([original, *references])
    made = bands.bands(known)
    values = bands.figures(again)

    asked = [difference for difference in identity if difference.asked]
    kind: Kind = "not"
    reasons: tuple[Reason, ...] = ()
    if asked:
        reasons = tuple(Reason("differs", difference.name) for difference in asked)
    elif is_bitwise(results):
        kind = "bitwise"
    elif again.results.iterations != original.results.iterations:
        reasons = (Reason("other-result", "iterations"),)
    elif owed:
        unequal = [each.name for each in results if each.one is not None and not each.equal]
        reasons = tuple(Reason("other-bits", name) for name in unequal)
    elif not made:
        reasons = (Reason("no-band", count=len(known)),)
    else:
        outside = [band.name for band in made if not _is_inside(band, values)]
        kind = "not" if outside else "band"
        reasons = tuple(Reason("outside", name) for name in outside)
    return Verdict(
        kind, reasons, tuple(identity), tuple(results), () if owed else tuple(made), values,
        len(known), owed,
    )  # fmt: skip


def _is_inside(band: Band, values: Mapping[str, float]) -> bool:
    return band.name in values and band.holds(values[band.name])


def is_bitwise(figures: Sequence[Figure]) -> bool:
    """Whether losses and weights are there and equal, and nothing else that the first has differs.

    An older record lacks some results: what it cannot say is not held against the second run.
    """
    both = {figure.name for figure in figures if figure.in_both}
    told = [figure for figure in figures if figure.one is not None]
    return {"losses", "weights train"} <= both and all(figure.equal for figure in told)


def bits_owed(one: Run, other: Run) -> bool:
    """Whether both trained on CPUs of one instruction set and model, in the same code.

    A GPU owes nothing: its sums come in the order in which threads end. One thread and pinned
    packages leave nothing else on a CPU that could decide a bit.
    """
    kinds = [_kinds(run) for run in (one, other)]
    same = len(kinds[0]) == 1 and kinds[0] == kinds[1]
    code = all(getattr(one.identity, name) == getattr(other.identity, name)
               for name in ("lock", "steps"))  # fmt: skip
    return same and code and all(device == "cpu" for device, *_ in kinds[0])


def _kinds(run: Run) -> set[tuple[str | int | None, ...]]:
    return {_kind(machine) for machine in run.provenance.trained_on}


def _kind(machine: Machine) -> tuple[str | int | None, ...]:
    return (machine.device, machine.instructions, machine.cpu, machine.threads)
