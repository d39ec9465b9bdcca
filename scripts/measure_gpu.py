"""Measure a recipe on a GPU host, unattended: results are written as they come.

    python3 scripts/measure_gpu.py --workspace DIR [--recipe tutorial] [--weights random]
        [--data FOLDER] [--set data.repeat=34] [--phases host,models,train,kill,...]

Runs `invoke` commands one after another and looks at what they leave. Needs the standard library
and a Python that `-m invoke` works in; nvidia-smi is asked where there is one. A phase that fails
is recorded and the next one begins. Phases, each of which can be a call of its own:

host     what the machine and its engine are, and `invoke doctor`
models   get or draw the weights, and repeat the data
train    `invoke train`: time to the first iteration, seconds per iteration, losses, peaks
kill     a training of its own: SIGKILL of client and job in mid-run, then the same call again
convert  `invoke convert`
compare  `invoke compare`, with the answers before and after
ask      one question to the pretrained and to the fine-tuned model
chat     the recipe's picture in a conversation, both models, through a pseudo-terminal
bench    `invoke bench`: plain XTuner, then each of --recipes, --iterations of each

Into --results go results.jsonl (a line as a phase begins, a line as it ends), results.md (tables),
samples.jsonl (the GPU, the disk and the memory once a second) and commands.log. When --budget
seconds are over, a training job is left running and its client is ended: the same call goes on. A
bench is stopped instead, and what it saw until then is kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from measuring.commands import OutOfTimeError
from measuring.phases import Measurement

PHASES = ("host", "models", "train", "kill", "convert", "compare", "ask", "chat", "bench")


def measure(measurement: Measurement, phases: list[str]) -> int:
    """Run the phases; 1 if one failed."""
    bad = 0
    for phase in phases:
        measurement.write(phase=phase, event="begin")
        body: Callable[[], dict[str, Any]] = getattr(measurement, phase)
        began = time.monotonic()
        try:
            measurement.check_time()
            found = body()
        except OutOfTimeError:
            left = "the time is over; the same call goes on with it"
            measurement.write(phase=phase, event="end", failed=left, status=124,
                              seconds=round(time.monotonic() - began, 1))  # fmt: skip
            return 1
        except Exception as error:  # whatever it is, the next phase may work
            found = {"failed": f"{type(error).__name__}: {error}", "status": 1}
        bad |= bool(found.get("status"))
        found.setdefault("seconds", round(time.monotonic() - began, 1))
        measurement.write(phase=phase, event="end", **found)
    return int(bad)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--results", default="", help="default: WORKSPACE/measured")
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--recipe", default="tutorial")
    parser.add_argument("--weights", default="", help="'random': weights of the recipe's shapes")
    parser.add_argument("--data", default="", help="the folder of the recipe's data")
    parser.add_argument("--set", action="append", default=[], help="as for invoke, in every phase")
    parser.add_argument("--engine", default="")
    parser.add_argument("--gpus", default="")
    parser.add_argument("--image", default="llavakit:0.1.0")
    parser.add_argument("--kill-set", action="append", default=[],
                        help="more of --set, for the phase kill alone, which must make it a run of"
                             " its own (train.log_every=2 does)")  # fmt: skip
    parser.add_argument("--kill-at", type=int, default=30, help="kill once this iteration is done")
    parser.add_argument("--recipes", default="", help="of the phase bench; default: --recipe")
    parser.add_argument("--iterations", type=int, default=60, help="of each in the phase bench")
    parser.add_argument("--squeeze", action="store_true", help="as for invoke bench")
    parser.add_argument("--picture", default="")
    parser.add_argument("--question", action="append", default=[])
    parser.add_argument("--budget", type=float, default=0, help="seconds; 0: no limit")
    args = parser.parse_args()
    args.question = args.question or ["Describe this image.", "What is the equipment in the image?"]
    phases = [phase for phase in args.phases.split(",") if phase]
    if wrong := [phase for phase in phases if phase not in PHASES]:
        parser.error(f"no such phase: {', '.join(wrong)}; there are {', '.join(PHASES)}")
    return measure(Measurement(args), phases)


if __name__ == "__main__":
    sys.exit(main())
