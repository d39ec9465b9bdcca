"""Weights drawn from a seed: a small Llama with its tokenizer, a CLIP vision tower, a projector.

They know nothing; training on a handful of samples shows that every part of the chain works.
The same seed gives the same bytes, whatever else the process drew before.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from llavakit.parts import DrawnLLM, DrawnProjector, DrawnVision

SPECIAL_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)
"""Those of Llama 3's that XTuner's ``llama3_chat`` template uses."""
_BEGIN, _END = SPECIAL_TOKENS[:2]
BEGIN_ID, END_ID = 0, 1
"""Of the first two of them: special tokens come first."""


def make_llm(spec: DrawnLLM, seed: int, texts: Iterable[str], folder: Path) -> None:
    """Write a Llama in float32 and its tokenizer to ``folder``, as Hugging Face does."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    entries = make_tokenizer(spec.vocabulary, texts, folder)
    config = LlamaConfig(
        vocab_size=entries,
        hidden_size=spec.hidden_size,
        intermediate_size=spec.intermediate_size,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.attention_heads,
        num_key_value_heads=spec.key_value_heads,
        max_position_embeddings=spec.context,
        bos_token_id=BEGIN_ID,
        eos_token_id=END_ID,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            model.lm_head.weight.normal_(0.0, spec.lm_head_std)
    model.save_pretrained(folder, safe_serialization=True)


def make_vision(spec: DrawnVision, seed: int, folder: Path) -> None:
    """Write a CLIP vision tower in float32 and its image processor to ``folder``."""
    import torch
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=spec.hidden_size,
        intermediate_size=spec.intermediate_size,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.attention_heads,
        image_size=spec.image_size,
        patch_size=spec.patch_size,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        model = CLIPVisionModel(config)
    model.save_pretrained(folder, safe_serialization=True)
    side = spec.image_size
    processor = CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    processor.save_pretrained(folder)


def make_projector(
    spec: DrawnProjector, seed: int, visual_size: int, llm_size: int, path: Path
) -> None:
    """Write a projector to ``path`` in the form of XTuner's own ``iter_N.pth`` of a pretraining.

    Keys ``projector.model.0.weight`` [llm_size, visual_size], ``projector.model.2.weight``
    [llm_size, llm_size], ..., each with its bias; between them stands a GELU without weights.
    """
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 2)
        sizes = [visual_size] + [llm_size] * spec.depth
        state = {}
        for index, (wide, high) in enumerate(pairwise(sizes)):
            layer = nn.Linear(wide, high)
            state[f"projector.model.{2 * index}.weight"] = layer.weight.detach().clone()
            state[f"projector.model.{2 * index}.bias"] = layer.bias.detach().clone()
    torch.save({"state_dict": state}, path)


def make_tokenizer(most: int, texts: Iterable[str], folder: Path) -> int:
    """Train a byte-level BPE on ``texts``, save it to ``folder`` and return its size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=most,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{_BEGIN} $A", pair=f"{_BEGIN} $A {_BEGIN} $B", special_tokens=[(_BEGIN, BEGIN_ID)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=_BEGIN, eos_token=_END)
    tokenizer.save_pretrained(folder)
    return len(tokenizer)
