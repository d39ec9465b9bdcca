"""A Llama of a real model's shapes with random numbers: memory, speed and disk can be tried before
16 GB are downloaded.

Names and shapes come from the model itself on torch's meta device, which holds no numbers. Every
matrix is one block of normals, read round and round from a place that its name decides: drawing
eight thousand million numbers would take minutes and teach nothing more. Files are written and
hashed in one pass, so that no tensor is ever in memory as a whole.
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

from llavakit.locks import digest, write_json
from llavakit.parts import RandomLLM
from llavakit.steps import drawn
from llavakit.steps.foreign import INDEX

BLOCK = 16_777_213
"""Numbers in the block: a prime, so that no two rows of a matrix begin at the same place."""
SHARD_BYTES = 4_000_000_000
PIECE_BYTES = 16 << 20
"""Written and reported at a time."""
_SAFETENSORS = {"float16": "F16", "float32": "F32"}


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]

    def bytes(self, width: int) -> int:
        """``width`` is that of one number."""
        return prod(self.shape) * width


def make_llm(
    spec: RandomLLM,
    seed: int,
    texts: Iterable[str],
    folder: Path,
    report: Callable[[int], object],
    *,
    shard_bytes: int = SHARD_BYTES,
) -> dict[str, str]:
    """Write the model and a tokenizer trained on ``texts`` to ``folder``, as Hugging Face does.

    ``report`` gets the number of bytes whenever some were written. Returns the sha256 of every
    shard by its name. The same seed gives the same bytes.
    """
    from transformers import GenerationConfig

    drawn.make_tokenizer(spec.tokenizer_entries, texts, folder)
    settings = config(spec)
    settings.save_pretrained(folder)
    GenerationConfig.from_model_config(settings).save_pretrained(folder)
    filling = _Filling(seed, spec.dtype, spec.std)
    shards = split(tensors(spec), filling.width, shard_bytes)
    where: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        hashes[name] = _write(folder / name, shard, filling, report)
        where.update({tensor.name: name for tensor in shard})
    write_json(folder / INDEX, {"metadata": {"total_size": spec.bytes}, "weight_map": where})
    return hashes


def config(spec: RandomLLM) -> Any:
    """The model's LlamaConfig; ids of begin and end are the tokenizer's."""
    from transformers import LlamaConfig

    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=spec.vocabulary,
        hidden_size=spec.hidden_size,
        intermediate_size=spec.intermediate_size,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.attention_heads,
        num_key_value_heads=spec.key_value_heads,
        max_position_embeddings=spec.context,
        rope_theta=spec.rope_theta,
        rms_norm_eps=spec.rms_norm_eps,
        initializer_range=spec.std,
        bos_token_id=drawn.BEGIN_ID,
        eos_token_id=drawn.END_ID,
        torch_dtype=spec.dtype,
    )


def tensors(spec: RandomLLM) -> list[Tensor]:
    """Every tensor of the model, in its own order; no number is made."""
    import torch
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        state = LlamaForCausalLM(config(spec)).state_dict()
    return [Tensor(name, tuple(value.shape)) for name, value in state.items()]


def split(wanted: Iterable[Tensor], width: int, most: int) -> list[list[Tensor]]:
    """The tensors by shard: at most ``most`` bytes each, unless one alone has more."""
    shards: list[list[Tensor]] = [[]]
    room = most
    for tensor in wanted:
        size = tensor.bytes(width)
        if shards[-1] and size > room:
            shards.append([])
            room = most
        shards[-1].append(tensor)
        room -= size
    return shards


class _Filling:
    """Bytes for tensors, from one block of normals."""

    def __init__(self, seed: int, dtype: str, std: float) -> None:
        import numpy

        kind = numpy.dtype(dtype).newbyteorder("<")
        draw = numpy.random.Generator(numpy.random.PCG64(seed))
        block = draw.standard_normal(BLOCK, dtype=numpy.float32) * numpy.float32(std)
        self.dtype = _SAFETENSORS[dtype]
        self.width = kind.itemsize
        self._block = memoryview(block.astype(kind)).cast("B")
        self._one = numpy.ones(1, dtype=kind).tobytes()

    def pieces(self, tensor: Tensor) -> Iterator[memoryview | bytes]:
        """All bytes of ``tensor``, a piece at a time."""
        left = tensor.bytes(self.width)
        if len(tensor.shape) == 1:  # the weights of norms, Llama's only vectors
            yield self._one * (left // self.width)
            return
        place = int(digest(tensor.name)[:12], 16) % BLOCK * self.width
        while left:
            piece = self._block[place : place + min(left, PIECE_BYTES)]
            yield piece
            left -= len(piece)
            place = (place + len(piece)) % len(self._block)


def _write(
    path: Path, shard: list[Tensor], filling: _Filling, report: Callable[[int], object]
) -> str:
    """One safetensors file; returns its sha256."""
    hasher = hashlib.sha256()
    with path.open("wb") as file:
        _put(file, hasher, _header(shard, filling))
        for tensor in shard:
            for piece in filling.pieces(tensor):
                report(_put(file, hasher, piece))
    return hasher.hexdigest()


def _put(file: IO[bytes], hasher: Any, piece: memoryview | bytes) -> int:
    hasher.update(piece)
    return file.write(piece)


def _header(shard: list[Tensor], filling: _Filling) -> bytes:
    """How a safetensors file begins: a length (8 bytes, little-endian) and that much JSON."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in shard:
        begin, end = end, end + tensor.bytes(filling.width)
        entries[tensor.name] = {
            "dtype": filling.dtype, "shape": tensor.shape, "data_offsets": [begin, end],
        }  # fmt: skip
    text = json.dumps(entries, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
