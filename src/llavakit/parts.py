"""The three parts of LLaVA in a recipe: where their weights come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from llavakit.artefact import Artefact, is_pattern
from llavakit.schema import Part, PositiveFloat, PositiveInt, Text


class DrawnLLM(Part):
    """A Llama whose weights are drawn from the recipe's seed.

    Its tokenizer is a byte-level BPE trained on the data's text, with Llama-3's special tokens.
    """

    source: Literal["drawn"]
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    layers: PositiveInt
    attention_heads: PositiveInt
    key_value_heads: PositiveInt
    vocabulary: Annotated[int, Field(ge=270)]
    """Most entries of the tokenizer; the text may need fewer."""
    context: PositiveInt
    """Most positions (tokens and image patches together)."""
    lm_head_std: PositiveFloat
    """Standard deviation of the output layer's weights. Llama's own 0.02 cannot be trained by LoRA
    on a model this small."""


class RandomLLM(Part):
    """A Llama of a real model's size, its numbers drawn from the recipe's seed, for rehearsals.

    Its tokenizer is made like that of :class:`DrawnLLM`; ids stay below ``vocabulary``.
    """

    source: Literal["random"]
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    layers: PositiveInt
    attention_heads: PositiveInt
    key_value_heads: PositiveInt
    vocabulary: PositiveInt
    """Rows of the embedding and of the output layer."""
    tokenizer_entries: Annotated[int, Field(ge=270)]
    """Most entries of the tokenizer: they decide how many tokens a text takes."""
    context: PositiveInt
    """Most positions (tokens and image patches together)."""
    rope_theta: PositiveFloat
    rms_norm_eps: PositiveFloat
    dtype: Literal["float16", "float32"]
    std: PositiveFloat
    """Standard deviation of the matrices' numbers; norms are 1."""

    @model_validator(mode="after")
    def _ids_fit(self) -> RandomLLM:
        if self.tokenizer_entries > self.vocabulary:
            raise ValueError("tokenizer_entries must not exceed vocabulary")
        return self

    @property
    def bytes(self) -> int:
        """Of all tensors together."""
        width, inner = self.hidden_size, self.intermediate_size
        keys = width * self.key_value_heads // self.attention_heads
        layer = 2 * width * (width + keys) + 3 * width * inner + 2 * width
        numbers = 2 * self.vocabulary * width + self.layers * layer + width
        return numbers * (2 if self.dtype == "float16" else 4)


class DrawnVision(Part):
    """A CLIP vision tower whose weights are drawn from the recipe's seed."""

    source: Literal["drawn"]
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    layers: PositiveInt
    attention_heads: PositiveInt
    image_size: PositiveInt
    """Pixels a side."""
    patch_size: PositiveInt
    """Pixels a side; (image_size / patch_size)^2 patches go to the language model."""

    @model_validator(mode="after")
    def _whole_patches(self) -> DrawnVision:
        if self.image_size % self.patch_size:
            raise ValueError("image_size must be a multiple of patch_size")
        return self


class DrawnProjector(Part):
    """An untrained projector drawn from the recipe's seed, shaped to fit its neighbours."""

    source: Literal["drawn"]
    depth: PositiveInt = 2
    """Linear layers, with GELU between them."""


class RemoteWeights(Artefact):
    """Weights from a hub, in Hugging Face's form: config.json, safetensors or .bin, a tokenizer."""

    source: Literal["remote"]


class RemoteProjector(Artefact):
    """A projector from elsewhere: one ``.pth`` file in the form of XTuner's pretraining."""

    source: Literal["remote"]

    @model_validator(mode="after")
    def _one_file(self) -> RemoteProjector:
        if len(self.files) != 1 or is_pattern(self.files[0]):
            raise ValueError("files must name the one file of the projector")
        return self


class Given(Part):
    """What the user has: a folder in Hugging Face's form, or the projector's file."""

    source: Literal["path"]
    path: Text
    """Relative to the kit's root, or absolute."""


Source = Field(discriminator="source")


class Weights(Part):
    """Where the three parts of LLaVA come from."""

    llm: Annotated[DrawnLLM | RandomLLM | RemoteWeights | Given, Source]
    vision: Annotated[DrawnVision | RemoteWeights | Given, Source]
    projector: Annotated[DrawnProjector | RemoteProjector | Given, Source]

    def remote(self) -> dict[str, Artefact]:
        """The parts that come from elsewhere, the smallest first: a mistake shows early."""
        parts = {"projector": self.projector, "vision": self.vision, "llm": self.llm}
        return {name: part for name, part in parts.items() if isinstance(part, Artefact)}

    def given(self) -> dict[str, Given]:
        """The parts that the user has."""
        parts = {"projector": self.projector, "vision": self.vision, "llm": self.llm}
        return {name: part for name, part in parts.items() if isinstance(part, Given)}
