"""A plain user of the merged folder asks with the kit's tokens, and shows its pixels."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch
from PIL import Image
from steps.merge.folders import MODELS, picture, tokens_of
from transformers import AutoTokenizer, LlamaTokenizerFast

from llavakit.steps import merged_files, merged_use
from llavakit.steps.conversations import IMAGE_TOKEN

QUESTIONS = (
    "Describe this image.", "What is the equipment in the image?", "Please describe this picture",
    "图中有什么设备?", "  two  blanks before,\nand a line ", "What's <this>?",
)  # fmt: skip


def all_questions(chain):
    table = chain.json("data/d/questions.json")
    return [*(row["question"] for row in table["questions"]), *QUESTIONS]


def test_a_plain_user_s_prompt_has_our_tokens(chain, ours, theirs):
    model, processor = theirs
    for question in all_questions(chain):
        given = merged_use.inputs(picture(56, 56), question, model, processor)
        before, after = ours.prompt(question, [])
        wanted = [*before, model.config.image_token_index, *after]
        assert given["input_ids"][0].tolist() == wanted, question


def test_however_it_is_asked_for_the_begin_token_comes_once(merged, ours):
    before, after = ours.prompt("What?", [])
    content = [{"type": "text", "text": "What?"}, {"type": "image"}]  # the picture comes first
    turns = ([{"role": "user", "content": content}],
             [{"role": "user", "content": f"{IMAGE_TOKEN}\nWhat?"}])  # fmt: skip
    for kind in (AutoTokenizer, LlamaTokenizerFast):
        tokenizer = kind.from_pretrained(merged)
        wanted = [*before, tokenizer.convert_tokens_to_ids(IMAGE_TOKEN), *after]
        for turn in turns:
            text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            asked = [
                tokenizer.apply_chat_template(turn, add_generation_prompt=True),
                tokenizer(text).input_ids,
                tokenizer(text, add_special_tokens=False).input_ids,
            ]
            assert asked == [wanted] * 3, kind.__name__
            assert len(tokenizer) == 559, "no <unk> beside the two"
            assert set(tokenizer(text)) == {"input_ids", "attention_mask"}
            assert Counter(wanted)[tokenizer.bos_token_id] == 1


def test_a_conversation_is_written_as_in_training(merged, ours):
    from xtuner.utils import PROMPT_TEMPLATE

    xtuner = PROMPT_TEMPLATE.llama3_chat
    tokenizer = AutoTokenizer.from_pretrained(merged)
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "One?"}]},
        {"role": "assistant", "content": "First."},
        {"role": "user", "content": "Two?"},
    ]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True)
    before, after = ours.prompt("Two?", [("One?", "First.")])
    assert ids == [*before, tokenizer.convert_tokens_to_ids(IMAGE_TOKEN), *after]
    system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two?"}]
    text = tokenizer.apply_chat_template(system, tokenize=False, add_generation_prompt=True)
    wanted = xtuner.SYSTEM.format(system="Be brief.") + xtuner.INSTRUCTION.format(input="Two?")
    assert text == tokenizer.bos_token + wanted


def test_padding_has_a_token_of_its_own_and_leaves_answers_alone(chain, theirs):
    model, processor = theirs
    names = ("boat", "fish")
    questions = ("What does this picture show?", "Is the animal that swims here on the land?")
    pictures = [Image.open(chain.root / f"data/d/pictures/images/{name}.png") for name in names]
    alone = [merged_use.answer(each, question, model, processor, 40)
             for each, question in zip(pictures, questions, strict=True)]  # fmt: skip
    prompts = [processor.tokenizer.decode(
        merged_use.inputs(each, question, model, processor)["input_ids"][0])
        for each, question in zip(pictures, questions, strict=True)]  # fmt: skip
    given = processor(text=prompts, images=pictures, padding=True, return_tensors="pt")
    assert (given["input_ids"] == processor.tokenizer.pad_token_id).any()
    tokens = model.generate(**given, do_sample=False, max_new_tokens=40)
    new = tokens[:, given["input_ids"].shape[1] :]
    batch = processor.batch_decode(new, skip_special_tokens=True)
    assert [text.strip() for text in batch] == alone
    assert alone[0] == "A sailing boat with two white sails glides over calm water."


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("size", [(120, 40), (40, 120), (57, 56), (56, 57), (56, 56), (9, 300)])
def test_pictures_of_any_shape_become_our_pixels(ours, theirs, size, mode):
    model, processor = theirs
    one = picture(*size, mode)
    given = merged_use.inputs(one, "What?", model, processor)
    assert torch.equal(given["pixel_values"], ours.pixels(one))


def test_clip_s_own_processor_shows_another_picture(ours, theirs):
    _, processor = theirs
    cropped = processor.image_processor(picture(120, 40), return_tensors="pt")["pixel_values"]
    assert (cropped - ours.pixels(picture(120, 40))).abs().max() > 0.5


def test_a_recipe_that_does_not_pad_has_it_said(chain, recipe, merged, tmp_path, ours):
    train = recipe.train.model_copy(update={"pad_to_square": False})
    other = recipe.model_copy(update={"train": train})
    settings = merged_files.config(other, chain.root / MODELS, tokens_of(merged), "gelu")
    merged_files.write_processor(other, chain.root / MODELS, settings, tmp_path)
    processor = merged_use.CLIPImageProcessor.from_pretrained(tmp_path)
    assert processor.do_pad is False
    assert json.loads((tmp_path / "processor_config.json").read_text())["patch_size"] == 14
