"""The trained weights, which ZeRO-2 leaves divided among the ranks, on the host of rank 0.

A rank on another host writes its share of a checkpoint there. When the training has ended it sends
the weights of it, a third of the share, to rank 0.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

STATE = "optimizer_state_dict"
KEPT = ("zero_stage", "partition_count", "single_partition_of_fp32_groups")
"""What DeepSpeed 0.14.2's zero_to_fp32 reads of a share."""
NAME = "zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
BF16 = "bf16_"
"""Stands before the name where the model is in that format."""
CHUNK = 64 << 20


def bring_home(checkpoint: Path) -> None:
    """Send this rank's share of ``checkpoint`` to rank 0, which writes it beside its own.

    All ranks at the same time; those of host 0 send nothing.
    """
    import torch.distributed as dist

    group = dist.new_group(backend="gloo")
    hosts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(hosts, os.environ["GROUP_RANK"], group=group)
    mine = dist.get_rank()
    for rank, host in enumerate(hosts):
        if host == "0":
            continue
        if mine == rank:
            _send(checkpoint, rank, group)
        elif mine == 0:
            _receive(checkpoint, rank, group)
    dist.barrier(group=group)


def _send(checkpoint: Path, rank: int, group: Any) -> None:
    import torch
    import torch.distributed as dist

    (share,) = checkpoint.glob("*" + NAME.format(rank=rank))
    state = torch.load(str(share), map_location="cpu", mmap=True)[STATE]
    with tempfile.TemporaryFile(dir=checkpoint.parent) as file:
        torch.save({STATE: {name: state[name] for name in KEPT}}, file)
        size = file.tell()
        file.seek(0)
        dist.send(torch.tensor([size, int(share.name.startswith(BF16))]), dst=0, group=group)
        while chunk := file.read(CHUNK):
            dist.send(torch.frombuffer(bytearray(chunk), dtype=torch.uint8), dst=0, group=group)


def _receive(checkpoint: Path, rank: int, group: Any) -> None:
    import torch
    import torch.distributed as dist

    head = torch.empty(2, dtype=torch.int64)
    dist.recv(head, src=rank, group=group)
    size = int(head[0])
    name = (BF16 if head[1] else "") + NAME.format(rank=rank)
    partial = checkpoint / f".{name}"
    with partial.open("wb") as file:
        for start in range(0, size, CHUNK):
            chunk = torch.empty(min(CHUNK, size - start), dtype=torch.uint8)
            dist.recv(chunk, src=rank, group=group)
            file.write(chunk.numpy().tobytes())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(checkpoint / name)
