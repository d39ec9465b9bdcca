"""Safetensors files as Hugging Face lays them out, written and hashed in one pass.

Names and shapes are known beforehand and numbers come a tensor at a time, so that no model is ever
in memory as a whole: safetensors' own writer wants all tensors of a file at once, and copies them.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

from llavakit.locks import write_json
from llavakit.steps.foreign import INDEX

MOST_BYTES = 4_000_000_000
"""Of one file."""
_KINDS = {"float16": ("F16", 2), "bfloat16": ("BF16", 2), "float32": ("F32", 4)}
"""torch's names, safetensors' names, and the bytes of a number."""


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: str
    """``float16``, ``bfloat16`` or ``float32``."""

    @property
    def bytes(self) -> int:
        return prod(self.shape) * _KINDS[self.dtype][1]


Piece = memoryview | bytes
Filling = Callable[[Tensor], Iterable[Piece]]
"""All bytes of a tensor (little-endian, rows first), a piece at a time."""
Report = Callable[[int], object]
"""Gets the number of bytes whenever some were written."""


def write(
    folder: Path,
    tensors: Iterable[Tensor],
    filling: Filling,
    report: Report,
    *,
    most: int = MOST_BYTES,
) -> dict[str, str]:
    """Write ``tensors`` in their order, and the index; returns the sha256 of every file by name."""
    tensors = list(tensors)
    shards = split(tensors, most)
    where: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        hashes[name] = _write(folder / name, shard, filling, report)
        where.update({tensor.name: name for tensor in shard})
    total = sum(tensor.bytes for tensor in tensors)
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": where})
    return hashes


def split(tensors: Iterable[Tensor], most: int) -> list[list[Tensor]]:
    """The tensors by file: at most ``most`` bytes each, unless one alone has more."""
    shards: list[list[Tensor]] = [[]]
    room = most
    for tensor in tensors:
        if shards[-1] and tensor.bytes > room:
            shards.append([])
            room = most
        shards[-1].append(tensor)
        room -= tensor.bytes
    return shards


def _write(path: Path, shard: list[Tensor], filling: Filling, report: Report) -> str:
    hasher = hashlib.sha256()
    with path.open("wb") as file:
        _put(file, hasher, _header(shard))
        for tensor in shard:
            for piece in filling(tensor):
                report(_put(file, hasher, piece))
    return hasher.hexdigest()


def _put(file: IO[bytes], hasher: Any, piece: Piece) -> int:
    hasher.update(piece)
    return file.write(piece)


def _header(shard: list[Tensor]) -> bytes:
    """How a safetensors file begins: a length (8 bytes, little-endian) and that much JSON."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in shard:
        begin, end = end, end + tensor.bytes
        entries[tensor.name] = {
            "dtype": _KINDS[tensor.dtype][0],
            "shape": tensor.shape,
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def pieces(value: Any, most: int = 16 << 20) -> Iterator[Piece]:
    """The bytes of a torch tensor on the CPU, at most ``most`` at a time."""
    import torch

    plain = value.contiguous().reshape(-1).view(torch.uint8).numpy().data
    for begin in range(0, len(plain), most):
        yield plain[begin : begin + most]
