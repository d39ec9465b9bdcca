"""How to use a merged model with Transformers 4.40.1. Its README shows this very code."""

from typing import Any

from PIL import Image
from transformers import (
    CLIPImageProcessor,
    LlamaTokenizerFast,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)


def load(folder: str, **more: Any) -> tuple[Any, Any]:
    """The model and its processor. ``more``, such as device_map="cuda", is for the model."""
    processor = LlavaProcessor(
        CLIPImageProcessor.from_pretrained(folder), LlamaTokenizerFast.from_pretrained(folder)
    )
    more = {"torch_dtype": "auto", "low_cpu_mem_usage": True, **more}
    return LlavaForConditionalGeneration.from_pretrained(folder, **more).eval(), processor


def padded(picture: Image.Image, processor: Any) -> Image.Image:
    """The picture in the middle of a square of the mean colour, as in training."""
    picture = picture.convert("RGB")
    if not processor.image_processor.do_pad:
        return picture
    side, mean = max(picture.size), processor.image_processor.image_mean
    square = Image.new("RGB", (side, side), tuple(int(value * 255) for value in mean))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def inputs(picture: Image.Image, question: str, model: Any, processor: Any) -> Any:
    """What the model is given for one question about one picture."""
    content = [{"type": "image"}, {"type": "text", "text": question}]
    prompt = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    made = processor(text=prompt, images=padded(picture, processor), return_tensors="pt")
    return made.to(model.device, model.dtype)


def answer(picture: Image.Image, question: str, model: Any, processor: Any, most: int = 64) -> str:
    """The model's answer, of at most ``most`` tokens."""
    given = inputs(picture, question, model, processor)
    tokens = model.generate(**given, do_sample=False, max_new_tokens=most)
    new = tokens[0, given["input_ids"].shape[1] :]
    return str(processor.decode(new, skip_special_tokens=True)).strip()
