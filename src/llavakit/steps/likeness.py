"""A few numbers of an adapter that are as near to those of another as the two adapters are.

What an adapter adds to a layer is B A; the same product has many pairs of factors, so that it is
the products that are compared. They are never formed: each is applied to the same few random
vectors, and what comes out is added into the same random places with the same random signs (a count
sketch). The cosine of two sketches is then that of all products together, to a few hundredths.
"""

from __future__ import annotations

import hashlib
from typing import Any

VECTORS = 4
PLACES = 256
DIGITS = 4


def sketch(tensors: dict[str, Any]) -> list[float]:
    """``tensors`` of one adapter or several, by PEFT's names; VECTORS x PLACES numbers of norm 1,
    or zeros where the adapter changes nothing that fp32 can hold.
    """
    import torch

    total = torch.zeros(PLACES, VECTORS, dtype=torch.float64)
    for name in sorted(tensors):
        if not name.endswith(".lora_A.weight"):
            continue
        first, second = tensors[name], tensors[name.replace(".lora_A.", ".lora_B.")]
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")
        draw = torch.Generator().manual_seed(seed)
        inputs = torch.randn(first.shape[1], VECTORS, generator=draw)
        places = torch.randint(PLACES, (second.shape[0],), generator=draw)
        signs = torch.randint(2, (second.shape[0], 1), generator=draw) * 2.0 - 1.0
        added = (second.float() @ (first.float() @ inputs.to(first.device))).cpu()
        total.index_add_(0, places, (added * signs).double())
    flat = total.flatten()
    norm = float(flat.norm())
    if not 0 < norm < float("inf"):
        return [0.0] * (VECTORS * PLACES)
    return [round(float(number) / norm, DIGITS) for number in flat]
