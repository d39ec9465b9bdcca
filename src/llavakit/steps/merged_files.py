"""The small files of a merged model: configs, tokenizer, chat template, picture processor.

They are for two readers: a current Transformers, which finds everything by itself, and the pinned
4.40.1, which knows neither how to pad a picture nor the processor's newer settings.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from llavakit.errors import WeightsError
from llavakit.locks import write_json
from llavakit.phrases import phrase
from llavakit.recipe import Recipe
from llavakit.steps import weights
from llavakit.steps.conversations import IMAGE_TOKEN
from llavakit.steps.merged_weights import Tokens

PAD_TOKEN = "<pad>"  # noqa: S105 - no secret
ROWS_MULTIPLE = 64
"""Of the vocabulary's rows: matrices of odd sizes are slow on a GPU. Hugging Face's own LLaVAs are
filled up to the same."""
_PLAIN = {"local_files_only": True, "trust_remote_code": False}

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}"
    "{{ '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    "{% endif %}"
)
"""XTuner's llama3_chat, the begin token before it and the picture before the words, as in training.
The begin token stands here and the tokenizer adds none, so that it comes once whoever reads it.
"""


def write_tokenizer(models: Path, folder: Path) -> Tokens:
    """The base's tokenizer with a token for the picture and one for padding.

    Padding needs its own: Transformers 4.40.1 blanks every token of a prompt that is the padding's,
    and many a Llama pads with <|eot_id|>. Raises WeightsError ``missing``.
    """
    from tokenizers import AddedToken, processors
    from transformers import AutoTokenizer

    base = models / weights.LLM
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left", **_PLAIN)
    if not tokenizer.is_fast:
        raise WeightsError("missing", folder=base, why=phrase("why.lacks", names="tokenizer.json"))
    tokenizer.add_tokens(
        AddedToken(IMAGE_TOKEN, special=True, normalized=False), special_tokens=True
    )
    tokenizer.add_special_tokens(
        {"pad_token": AddedToken(PAD_TOKEN, special=True, normalized=False)}
    )
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.chat_template = CHAT_TEMPLATE
    # 4.40.1 reads it as LlamaTokenizerFast, which adds a begin token and a token <unk> unless it is
    # told not to; 4.57 gives the model token types too, which it refuses.
    tokenizer.model_input_names = names = ["input_ids", "attention_mask"]
    tokenizer.init_kwargs.update(
        add_bos_token=False, unk_token=tokenizer.unk_token, model_input_names=names
    )
    tokenizer.init_kwargs.pop("name_or_path", None)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    rows = int(weights.read_config(base).get("vocab_size", 0))
    needed = max(rows, len(tokenizer))
    return Tokens(
        image=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        pad=tokenizer.pad_token_id,
        rows=-(-needed // ROWS_MULTIPLE) * ROWS_MULTIPLE,
    )


def config(recipe: Recipe, models: Path, tokens: Tokens, activation: str) -> Any:
    """The merged model's LlavaConfig."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    text = LlamaConfig.from_pretrained(models / weights.LLM, local_files_only=True)
    vision = CLIPVisionConfig.from_pretrained(models / weights.VISION, local_files_only=True)
    text.vocab_size = tokens.rows
    return LlavaConfig(
        text_config=text,
        vision_config=vision,
        image_token_index=tokens.image,
        projector_hidden_act=activation,
        vision_feature_layer=recipe.train.visual_select_layer,
        vision_feature_select_strategy="default",
        pad_token_id=tokens.pad,
        tie_word_embeddings=text.tie_word_embeddings,
        torch_dtype=recipe.train.llm_dtype,
        architectures=["LlavaForConditionalGeneration"],
    )


def write_config(settings: Any, recipe: Recipe, folder: Path) -> None:
    """config.json, with every value of both parts: defaults change between versions."""
    import transformers

    vision = settings.vision_config
    body = {
        name: getattr(settings, name)
        for name in ("model_type", "architectures", "ignore_index", "image_token_index",
                     "projector_hidden_act", "vision_feature_layer", "pad_token_id",
                     "vision_feature_select_strategy", "tie_word_embeddings")
    }  # fmt: skip
    body["image_seq_length"] = (vision.image_size // vision.patch_size) ** 2
    body["torch_dtype"] = recipe.train.llm_dtype
    body["transformers_version"] = transformers.__version__
    body["text_config"] = _values(settings.text_config, recipe)
    body["vision_config"] = _values(vision, recipe)
    write_json(folder / "config.json", body)


def write_generation_config(models: Path, tokens: Tokens, folder: Path) -> None:
    """Greedy answers that end where the kit's end: at the tokenizer's end or at <|eot_id|>."""
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(models / weights.LLM, **_PLAIN)
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|eot_id|>")]
    GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[end for end in dict.fromkeys(ends) if end is not None],
        pad_token_id=tokens.pad,
    ).save_pretrained(folder)


def write_processor(recipe: Recipe, models: Path, settings: Any, folder: Path) -> None:
    """How a picture becomes pixels, and how many tokens stand for it."""
    from transformers import CLIPImageProcessor

    stored = CLIPImageProcessor.from_pretrained(models / weights.VISION, local_files_only=True)
    body = {key: value for key, value in stored.to_dict().items() if not key.startswith("_")}
    body.update(
        image_processor_type="LlavaImageProcessor",
        processor_class="LlavaProcessor",
        do_pad=recipe.train.pad_to_square,
    )
    write_json(folder / "preprocessor_config.json", body)
    write_json(
        folder / "processor_config.json",
        {
            "processor_class": "LlavaProcessor",
            "image_token": IMAGE_TOKEN,
            "patch_size": settings.vision_config.patch_size,
            "num_additional_image_tokens": 1,  # CLIP's class token, which "default" leaves out
            "vision_feature_select_strategy": settings.vision_feature_select_strategy,
        },
    )


def _values(part: Any, recipe: Recipe) -> dict[str, Any]:
    """Every setting that the config's class names, whatever its default."""
    names = [name for name in inspect.signature(type(part).__init__).parameters
             if name not in ("self", "kwargs")]  # fmt: skip
    own = {name: getattr(part, name) for name in names}
    return {**own, "model_type": part.model_type, "torch_dtype": recipe.train.llm_dtype}
