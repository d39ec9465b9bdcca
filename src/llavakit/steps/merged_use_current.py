"""How to use a merged model with a current Transformers. Its README shows this very code."""

from typing import Any

from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration


def load(folder: str, **more: Any) -> tuple[Any, Any]:
    """The model and its processor. ``more``, such as device_map="cuda", is for the model."""
    # Pixels as in training come from PIL; torchvision, the default, rounds a few differently.
    processor = AutoProcessor.from_pretrained(folder, backend="pil")
    more = {"dtype": "auto", **more}
    return LlavaForConditionalGeneration.from_pretrained(folder, **more).eval(), processor


def inputs(picture: Image.Image, question: str, model: Any, processor: Any) -> Any:
    """What the model is given for one question about one picture."""
    content = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
    made = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    return made.to(model.device, model.dtype)


def answer(picture: Image.Image, question: str, model: Any, processor: Any, most: int = 64) -> str:
    """The model's answer, of at most ``most`` tokens."""
    given = inputs(picture, question, model, processor)
    tokens = model.generate(**given, do_sample=False, max_new_tokens=most)
    new = tokens[0, given["input_ids"].shape[1] :]
    return str(processor.decode(new, skip_special_tokens=True)).strip()
