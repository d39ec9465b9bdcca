"""Plain XTuner, as its user types it: ``python -m llavakit.steps.bench.plain ARGUMENTS``.

What ``xtuner train ARGUMENTS`` starts, in this process, with nothing of the kit in it. One thing is
done before, without which DeepSpeed 0.14.2 does not start on a host that has a GPU and no nvcc.
"""

from __future__ import annotations

import runpy
import sys

from llavakit.steps import device


def main() -> None:
    """Run XTuner's script."""
    if device.has_gpu():
        device.import_deepspeed()
    sys.argv[0] = "train"
    runpy.run_module("xtuner.tools.train", run_name="__main__")


if __name__ == "__main__":
    main()
