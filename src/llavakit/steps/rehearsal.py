"""A Llama of a real model's shapes with random numbers: memory, speed and disk can be tried before
16 GB are downloaded.

Names and shapes come from the model itself on torch's meta device, which holds no numbers. Every
matrix is one block of normals, read round and round from a place that its name decides: drawing
eight thousand million numbers would take minutes and teach nothing more. No tensor is ever in
memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from llavakit.locks import digest
from llavakit.parts import RandomLLM
from llavakit.steps import drawn, shards
from llavakit.steps.shards import Piece, Tensor

BLOCK = 16_777_213
"""Numbers in the block: a prime, so that no two rows of a matrix begin at the same place."""
PIECE_BYTES = 16 << 20
"""Written and reported at a time."""


def make_llm(
    spec: RandomLLM,
    seed: int,
    texts: Iterable[str],
    folder: Path,
    report: shards.Report,
    *,
    shard_bytes: int = shards.MOST_BYTES,
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
    return shards.write(folder, tensors(spec), filling.pieces, report, most=shard_bytes)


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
    return [Tensor(name, tuple(value.shape), spec.dtype) for name, value in state.items()]


class _Filling:
    """Bytes for tensors, from one block of normals."""

    def __init__(self, seed: int, dtype: str, std: float) -> None:
        import numpy

        kind = numpy.dtype(dtype).newbyteorder("<")
        draw = numpy.random.Generator(numpy.random.PCG64(seed))
        block = draw.standard_normal(BLOCK, dtype=numpy.float32) * numpy.float32(std)
        self._width = kind.itemsize
        self._block = memoryview(block.astype(kind)).cast("B")
        self._one = numpy.ones(1, dtype=kind).tobytes()

    def pieces(self, tensor: Tensor) -> Iterator[Piece]:
        """All bytes of ``tensor``, a piece at a time."""
        left = tensor.bytes
        if len(tensor.shape) == 1:  # the weights of norms, Llama's only vectors
            yield self._one * (left // self._width)
            return
        place = int(digest(tensor.name)[:12], 16) % BLOCK * self._width
        while left:
            piece = self._block[place : place + min(left, PIECE_BYTES)]
            yield piece
            left -= len(piece)
            place = (place + len(piece)) % len(self._block)
