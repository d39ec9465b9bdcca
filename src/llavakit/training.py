"""The training's part of a recipe: hyper-parameters, as XTuner's config means them, and memory."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from llavakit.schema import (
    NotNegative,
    Part,
    PositiveFloat,
    PositiveInt,
    Probability,
    Text,
    Texts,
)


class Lora(Part):
    rank: PositiveInt
    alpha: PositiveInt
    dropout: Probability


class Checkpoints(Part):
    every: PositiveInt
    """Iterations; the last one is always written."""
    keep: PositiveInt
    """How many there are at once. The oldest goes before the next is written: with 1, a training
    that is killed while it writes starts over. What stays in the end are the weights alone."""


class Evaluation(Part):
    """XTuner's own look at its answers while it trains."""

    every: PositiveInt
    """Iterations."""
    image: Text
    """Relative to the data's folder."""
    questions: Texts


class Memory(Part):
    """A memory profile: how a training fits its GPU, in the place of DeepSpeed.

    The kit trains then with mixed-precision AdamW of its own: weights and gradients in bf16, the
    fp32 weights and the two moments apart, as ZeRO-2 does it.
    """

    maths: Literal["identical", "changed"]
    """Against ZeRO-2 in bf16: whether all number formats and the update rule are the same."""
    changed: Text | None = None
    """What is different, in words."""
    states: Literal["gpu", "host"]
    """Where fp32 weights and moments lie; ``host`` is pinned memory, streamed at every step."""
    resident_gib: NotNegative = 0.0
    """Of states on the host: how much of them stays on the GPU all the same."""
    moments: Literal["float32", "int8"] = "float32"
    """``int8``: block by block, by bitsandbytes."""
    recompute: bool = True
    """Whether activations are computed again in the backward pass (gradient checkpointing)."""
    frozen: Literal["nf4", "expanded"] = "nf4"
    """``expanded``: NF4's values in bf16, computed once, for more memory and less time."""

    @model_validator(mode="after")
    def _labelled(self) -> Memory:
        if (self.maths == "changed") != (self.changed is not None):
            raise ValueError("say in `changed` what is different where `maths` is changed")
        if self.maths == "identical" and self.moments != "float32":
            raise ValueError("moments in 8 bits change the maths")
        return self


class Train(Part):
    """The hyper-parameters, as XTuner's config means them."""

    max_length: PositiveInt
    """Most text tokens of a sample; image patches come on top."""
    batch_size: PositiveInt
    accumulation: PositiveInt = 1
    epochs: PositiveInt = 1
    ranks: PositiveInt = 1
    """Processes that train together, one to a GPU, each with batches of its own: a step sees
    ``ranks`` times as many samples, and an epoch has that many fewer iterations."""
    learning_rate: PositiveFloat
    betas: Annotated[tuple[Probability, Probability], Field(strict=False)] = (0.9, 0.999)
    weight_decay: Probability = 0.0
    clip_norm: PositiveFloat = 1.0
    warmup_ratio: Probability
    """Share of the iterations during which the learning rate rises linearly."""
    sampler: Literal["length-grouped", "in-order"]
    pad_to_square: bool = True
    visual_select_layer: int = -2
    llm_dtype: Literal["float16", "bfloat16", "float32"]
    llm_quantization: Literal["nf4", "none"]
    llm_lora: Lora
    vision_lora: Lora
    deepspeed: Literal["zero2", "none"]
    """On a CPU it computes in fp32, over gloo: to try what a GPU host runs."""
    memory: Memory | None = None
    deterministic: bool = False
    """The same bits each time on one kind of GPU, for more time; a CPU gives them anyway."""
    log_every: PositiveInt = 10
    checkpoints: Checkpoints
    evaluation: Evaluation | None = None

    @model_validator(mode="after")
    def _one_optimizer(self) -> Train:
        if self.memory is not None and self.deepspeed != "none":
            raise ValueError("a memory profile takes DeepSpeed's place: deepspeed: none")
        return self
