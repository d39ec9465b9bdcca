"""LLaVA for questions: the three parts together, on a CPU or a GPU, answering greedily.

The same prompt as XTuner trains with: the begin token once, then each turn in the template, the
picture's features in the place of ``<image>`` in the first one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llavakit.errors import WeightsError
from llavakit.recipe import Recipe
from llavakit.steps import adapters, weights, xtuner_patches
from llavakit.steps.conversations import IMAGE_TOKEN
from llavakit.steps.device import has_gpu, prepare

if TYPE_CHECKING:
    from PIL.Image import Image

Turns = list[tuple[str, str]]
"""Questions with their answers, the oldest first."""


@dataclass
class LLaVA:
    """Loaded by :func:`load`. ``select_layer`` is the vision tower's layer that is looked at."""

    tokenizer: Any
    processor: Any
    llm: Any
    vision: Any
    projector: Any
    template: Any
    select_layer: int
    pad_to_square: bool
    context: int
    """Most positions of the language model, patches and answer included."""

    def look(self, image: Image) -> Any:
        """The picture's features for the language model: [patches, language width]."""
        import torch

        with torch.inference_mode():
            pixels = self.pixels(image).to(self.vision.device, self.vision.dtype)
            layers = self.vision(pixels, output_hidden_states=True).hidden_states
            return self.projector(layers[self.select_layer][:, 1:])[0]

    def pixels(self, image: Image) -> Any:
        """The picture as the vision tower is shown it: [1, 3, side, side] in fp32."""
        picture = image.convert("RGB")
        if self.pad_to_square:
            picture = _padded(picture, self.processor.image_mean)
        return self.processor.preprocess(picture, return_tensors="pt")["pixel_values"]

    def first_logits(self, features: Any, question: str) -> Any:
        """The logits of an answer's first token, in fp32 on the CPU: [vocabulary]."""
        import torch

        before, after = self.prompt(question, [])
        with torch.inference_mode():
            embeds = torch.cat([self._embed(before), features, self._embed(after)]).unsqueeze(0)
            return self.llm(inputs_embeds=embeds, use_cache=False).logits[0, -1].float().cpu()

    def answer(self, features: Any, question: str, turns: Turns, most: int) -> str:
        """The greedy answer to ``question`` after ``turns``, of at most ``most`` tokens.

        The oldest turns are left out when the context would not hold them.
        """
        import torch

        before, after = self.prompt(question, turns)
        while turns and len(before) + len(features) + len(after) + most > self.context:
            turns = turns[1:]
            before, after = self.prompt(question, turns)
        stop = [self.tokenizer.convert_tokens_to_ids(word) for word in self.template.STOP_WORDS]
        with torch.inference_mode():
            embeds = torch.cat([self._embed(before), features, self._embed(after)]).unsqueeze(0)
            mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
            tokens = self.llm.generate(
                inputs_embeds=embeds,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=most,
                eos_token_id=[*stop, self.tokenizer.eos_token_id],
                pad_token_id=self.tokenizer.eos_token_id,
            )
        return str(self.tokenizer.decode(tokens[0], skip_special_tokens=True)).strip()

    def prompt(self, question: str, turns: Turns) -> tuple[list[int], list[int]]:
        """Token ids before and after the picture."""
        text = ""
        asked = [*turns, (question, None)]
        for index, (human, model) in enumerate(asked):
            human = f"{IMAGE_TOKEN}\n{human}" if index == 0 else human
            text += self.template.INSTRUCTION.format(input=human, round=index + 1)
            text += "" if model is None else f"{model}{self.template.SUFFIX}"
        before, after = text.split(IMAGE_TOKEN, maxsplit=1)
        begin = [self.tokenizer.bos_token_id]
        return begin + self._encode(before), self._encode(after)

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _embed(self, ids: list[int]) -> Any:
        import torch

        return self.llm.get_input_embeddings()(torch.tensor(ids, device=self.llm.device))


def load(recipe: Recipe, models: Path, tuned: Path, *, quantization: str = "none") -> LLaVA:
    """The pretrained model with what ``tuned`` (made by ``convert``) adds to it.

    ``quantization`` is ``Ask``'s: on a GPU, ``nf4`` keeps the language model in 4 bits.

    Raises WeightsError ``missing``, ``not-converted``, ``not-plain`` and ``projector-shape``.
    """
    weights.read_ahead(models)
    prepare()
    import torch
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPVisionModel, LlamaForCausalLM
    from xtuner.utils import PROMPT_TEMPLATE

    xtuner_patches.never_run_foreign_code()
    gpu = has_gpu()
    device = torch.device("cuda" if gpu else "cpu")
    dtype = getattr(torch, recipe.train.llm_dtype) if gpu else torch.float32
    plain: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    # Straight to where it computes: 16 GB need not fit into the host's memory first.
    safe = {**plain, "use_safetensors": True, "torch_dtype": dtype, "device_map": {"": device}}
    try:
        tokenizer = AutoTokenizer.from_pretrained(models / weights.LLM, **plain)
        processor = CLIPImageProcessor.from_pretrained(
            models / weights.VISION, local_files_only=True
        )
        bits = {"quantization_config": _nf4(dtype)} if gpu and quantization == "nf4" else {}
        llm = LlamaForCausalLM.from_pretrained(models / weights.LLM, **safe, **bits)
        vision = CLIPVisionModel.from_pretrained(models / weights.VISION, **safe)
    except (OSError, ValueError) as error:
        raise WeightsError("missing", folder=models, why=str(error)) from error
    projector = adapters.load_projector(tuned)
    widths = (projector.config.llm_hidden_size, projector.config.visual_hidden_size)
    if widths != (llm.config.hidden_size, vision.config.hidden_size):
        wanted = (llm.config.hidden_size, vision.config.hidden_size)
        raise WeightsError("projector-shape", file=tuned, found=widths, wanted=wanted)
    context = llm.config.max_position_embeddings
    llm = adapters.add_lora(llm, tuned / adapters.LLM_ADAPTER)
    vision = adapters.add_lora(vision, tuned / adapters.VISION_ADAPTER)
    llm, vision, projector = (placed(part, device, dtype) for part in (llm, vision, projector))
    return LLaVA(
        tokenizer=tokenizer,
        processor=processor,
        llm=llm,
        vision=vision,
        projector=projector,
        template=getattr(PROMPT_TEMPLATE, recipe.prompt_template),
        select_layer=recipe.train.visual_select_layer,
        pad_to_square=recipe.train.pad_to_square,
        context=context,
    )


def _nf4(dtype: Any) -> Any:
    """As the training quantises."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_quant_type="nf4",
    )


def placed(part: Any, device: Any, dtype: Any) -> Any:
    """``part`` on ``device``, its parameters as ``dtype``, for inference.

    Buffers stay as they are: Llama computes the angles of its positions from one, and in fp16 they
    would be half a radian off at a thousand tokens. So do numbers of 4 bits, two in a byte.
    """
    for parameter in part.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(device, dtype)
    for buffer in part.buffers():
        buffer.data = buffer.data.to(device)
    return part.eval()


def _padded(picture: Image, mean: list[float]) -> Image:
    """The picture in the middle of a square of CLIP's mean colour, as in training."""
    from PIL import Image as ImageModule

    wide, high = picture.size
    if wide == high:
        return picture
    side = max(wide, high)
    square = ImageModule.new("RGB", (side, side), tuple(int(value * 255) for value in mean))
    square.paste(picture, ((side - wide) // 2, (side - high) // 2))
    return square
