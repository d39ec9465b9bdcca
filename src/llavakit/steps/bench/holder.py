"""Hold a GPU's memory but for so many MiB: ``python -m llavakit.steps.bench.holder --leave MIB``.

By plain allocations, so that a training sees a card of that size: what asks for more is refused.
Says ``{"free_mib", "held_mib"}`` in one line when it is done, and holds until its input ends.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

MIB = 1 << 20
PIECE = 1 << 30


def take(leave: int) -> tuple[list[Any], dict[str, int]]:
    """Allocate until ``leave`` bytes are free, or nothing more can be had; what, and the facts."""
    import torch

    free, _ = torch.cuda.mem_get_info()
    before, held = free, []
    while free - leave >= 2 * MIB:
        try:
            held.append(torch.empty(min(PIECE, free - leave), dtype=torch.uint8, device="cuda"))
        except torch.cuda.OutOfMemoryError:
            break
        free, _ = torch.cuda.mem_get_info()
    return held, {"free_mib": free // MIB, "held_mib": (before - free) // MIB}


def main() -> None:
    """Hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leave", type=int, required=True, help="MiB")
    held, facts = take(parser.parse_args().leave * MIB)
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    del held


if __name__ == "__main__":
    main()
