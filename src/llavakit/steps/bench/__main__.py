"""Measure the first iterations of one training, the kit's or plain XTuner's, and write JSON.

    python -m llavakit.steps.bench --recipe FILE --run FOLDER --key KEY --label LABEL
        --kind kit|plain --weights FOLDER --data FOLDER --iterations N --out FILE

The child trains in a folder of the run that goes with it; it is stopped when N iterations are
seen, so that it writes no checkpoint. Whether it came to N is in the result: a child that fails is
a result too.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llavakit.locks import write_json
from llavakit.steps import common, outputs
from llavakit.steps.bench import child, figures, nvml
from llavakit.steps.bench.figures import Iteration
from llavakit.steps.bench.gauges import Gauges
from llavakit.steps.bench.group import Group, SilentError
from llavakit.steps.bench.squeeze import squeezed
from llavakit.steps.common import Job

VERSION = 1


@dataclass
class Seen:
    """What was seen of a child."""

    state: str = "interrupted"
    """``measured`` when it came to all iterations, ``failed`` when it ended before."""
    reason: str = ""
    iterations: list[Iteration] = field(default_factory=list)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=figures.TAIL))
    facts: dict[str, Any] = field(default_factory=dict)

    def fail(self, reason: str) -> None:
        self.state, self.reason = "failed", reason

    def body(self) -> dict[str, Any]:
        """As JSON values. Times are seconds from the child's start to an iteration's end."""
        first = self.iterations[0] if self.iterations else None
        allocated = [each.allocated_mib for each in self.iterations if each.allocated_mib]
        return {
            "version": VERSION,
            "state": self.state,
            "reason": self.reason,
            "tail": list(self.tail) if self.state == "failed" else [],
            "first_iteration_s": round(first.seconds, 2) if first else None,
            "seconds_per_iteration": figures.per_iteration(self.iterations),
            "times_s": [round(each.seconds, 3) for each in self.iterations],
            "losses": [each.loss if each.loss - each.loss == 0 else None
                       for each in self.iterations],  # JSON has no word for nan
            "allocated_mib": max(allocated, default=None),
            **self.facts,
        }  # fmt: skip


def make(job: Job) -> None:
    """Write ``--out``, whatever happens; see the module's docstring.

    Raises KeyboardInterrupt when it is stopped, after what was seen until then is written.
    """
    scratch = job.run / f".{job.args.label}.partial"
    seen = Seen()
    try:
        outputs.remove(scratch)
        scratch.mkdir(parents=True)
        _measure(job, scratch, seen)
    except Exception as error:
        known = common.translate(error, job.step, job.run)
        seen.fail(" ".join([known.what(), known.why]).strip())
    finally:
        outputs.remove(scratch)
        names = {"label": job.args.label, "kind": job.args.kind, "recipe": job.recipe.name}
        write_json(job.args.out, {**names, **seen.body()})


def _measure(job: Job, scratch: Path, seen: Seen) -> None:
    gpu, lacking = nvml.first()
    seen.facts["gpu"] = gpu.facts() if gpu else None
    seen.facts["no_gpu_figures"] = lacking
    one = child.prepare(job, scratch)
    wanted = min(job.args.iterations, one.iterations - 1)
    argv = [Path(one.argv[0]).name, *one.argv[1:]]
    seen.facts.update(argv=argv, planned=one.iterations, wanted=wanted)
    for note in one.notes:
        job.events.say(note)
    if wanted < job.args.iterations:
        job.events.note("note.few", all=one.iterations, wanted=wanted)
    log = job.run / "logs" / f"{job.args.label}.log"
    log.parent.mkdir(exist_ok=True)
    with squeezed(job.args.squeeze) as held:
        seen.facts["squeeze"] = held
        gauges = Gauges(scratch, gpu)
        seen.facts["gpu_before_mib"] = gauges.gpu_before
        group = Group(one.argv, one.env, log)
        gauges.watch(group.processes)
        try:
            _watch(job, group, wanted, seen)
        finally:
            seen.facts["peaks"] = gauges.close()
            status = group.ended() if seen.state == "failed" and not seen.reason else None
            group.stop()
            _conclude(seen, status)


def _watch(job: Job, group: Group, wanted: int, seen: Seen) -> None:
    """Until the wanted iterations are seen, or the child has ended."""
    try:
        for seconds, line in group.lines(job.args.patience):
            seen.tail.append(line)
            found = figures.iteration(seconds, line)
            if found is None:
                continue
            seen.iterations.append(found)
            job.events.emit("iteration", n=found.number, of=wanted, loss=found.loss)
            if found.number >= wanted:
                seen.state = "measured"
                return
        seen.state = "failed"
    except SilentError as error:
        seen.fail(str(error))


def _conclude(seen: Seen, status: int | None) -> None:
    if seen.state == "failed" and not seen.reason:
        seen.reason = figures.why(list(seen.tail), status)
    if seen.state == "measured" and (trouble := figures.trouble(seen.iterations)):
        seen.fail(trouble)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--label", required=True, help="names the log and the folder")
    parser.add_argument("--kind", choices=("kit", "plain"), required=True)
    parser.add_argument("--weights", type=Path, required=True, help="the folder models/NAME")
    parser.add_argument("--data", type=Path, required=True, help="the folder data/NAME")
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--squeeze", type=int, default=None, help="MiB of the GPU to leave")
    parser.add_argument("--patience", type=float, default=900.0, help="seconds without a word")
    parser.add_argument("--warm", action="store_true", help="fill the page cache before")
    parser.add_argument("--out", type=Path, required=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the step."""
    return common.run("bench", make, _arguments, argv)


if __name__ == "__main__":
    sys.exit(main())
