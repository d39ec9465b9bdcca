"""The merged folder: plain Transformers reads from it the very model that was trained."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPVisionModel, LlamaForCausalLM, LlamaTokenizerFast
from transformers import LlavaForConditionalGeneration as HfLlava

from llavakit import recipe as recipes
from llavakit.errors import WeightsError
from llavakit.locks import StepLock, write_json
from llavakit.steps import (
    adapters,
    check_merged,
    llava,
    merged_files,
    merged_readme,
    merged_use,
    merged_weights,
    shards,
)
from llavakit.steps.conversations import IMAGE_TOKEN

TUTORIAL = Path(__file__).resolve().parents[2] / "configs" / "recipes" / "tutorial.yaml"
MODELS, TUNED, MERGED = "models/m", "runs/r/tuned", "runs/r/merged"
FILES = {
    "README.md", "chat_template.jinja", "config.json", "generation_config.json", "lock.json",
    "model-00001-of-00001.safetensors", "model.safetensors.index.json", "preprocessor_config.json",
    "processor_config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip
QUESTIONS = (
    "Describe this image.", "What is the equipment in the image?", "Please describe this picture",
    "图中有什么设备?", "  two  blanks before,\nand a line ", "What's <this>?",
)  # fmt: skip


@pytest.fixture(scope="module")
def merged(chain):
    """The folder that the merge step makes of the chain's run."""
    chain.must("merge", "--weights", MODELS, "--tuned", TUNED, "--out", MERGED)
    return chain.root / MERGED


@pytest.fixture(scope="module")
def recipe(chain):
    return recipes.load(chain.root / "runs/r/recipe.json")


@pytest.fixture(scope="module")
def ours(chain, recipe):
    return llava.load(recipe, chain.root / MODELS, chain.root / TUNED)


@pytest.fixture(scope="module")
def theirs(merged):
    return merged_use.load(merged.as_posix())


@pytest.fixture
def tuned(chain, tmp_path):
    """A copy of what convert made, to tamper with."""
    return shutil.copytree(chain.root / TUNED, tmp_path / "tuned")


def tokens_of(folder):
    config = json.loads((folder / "config.json").read_text())
    rows = config["text_config"]["vocab_size"]
    return merged_weights.Tokens(config["image_token_index"], config["pad_token_id"], rows)


def refused(chain, tuned, models=None):
    tokens = merged_weights.Tokens(557, 558, 576)
    with pytest.raises(WeightsError) as caught:
        merged_weights.opened(models or chain.root / MODELS, tuned, tokens, "float32")
    return caught.value


def picture(wide, high, mode="RGB"):
    """Every pixel has another colour than its neighbours."""
    count = wide * high * len(mode)
    return Image.frombytes(mode, (wide, high), bytes((7 * n + n // 91) % 256 for n in range(count)))


# --- the folder ---


def test_the_folder_is_locked_and_holds_no_code_and_no_path_of_this_machine(chain, merged):
    assert {path.name for path in merged.iterdir()} == FILES
    assert StepLock(merged / "lock.json").check(chain.key).fresh
    for path in merged.glob("*.json"):
        assert str(chain.root.parent) not in path.read_text(), path.name
        assert "auto_map" not in path.read_text(), path.name


def test_transformers_finds_every_tensor_and_no_other(merged):
    model, info = HfLlava.from_pretrained(merged, output_loading_info=True)
    assert not any(info.values())
    assert set(model.state_dict()) == set(load_file(merged / "model-00001-of-00001.safetensors"))


def test_the_config_says_what_was_trained(chain, merged, recipe):
    config = json.loads((merged / "config.json").read_text())
    llm, vision = (
        json.loads((chain.root / MODELS / part / "config.json").read_text())
        for part in ("llm", "vision")
    )
    assert config["vision_feature_layer"] == recipe.train.visual_select_layer == -2
    assert config["projector_hidden_act"] == "gelu"
    assert config["image_seq_length"] == 16
    for key in ("rope_theta", "rms_norm_eps", "num_key_value_heads", "hidden_size"):
        assert config["text_config"][key] == llm[key], key
    for key in ("hidden_act", "image_size", "patch_size", "num_hidden_layers"):
        assert config["vision_config"][key] == vision[key], key
    assert json.loads((merged / "generation_config.json").read_text())["eos_token_id"] == [1, 4]


# --- the numbers ---


def test_both_towers_are_what_peft_merges(chain, merged):
    state = load_file(merged / "model-00001-of-00001.safetensors")
    for kind, part, adapter, prefix in (
        (LlamaForCausalLM, "llm", adapters.LLM_ADAPTER, merged_weights.LLM),
        (CLIPVisionModel, "vision", adapters.VISION_ADAPTER, merged_weights.VISION),
    ):
        base = kind.from_pretrained(chain.root / MODELS / part)
        before = {name: value.clone() for name, value in base.state_dict().items()}
        by_peft = adapters.add_lora(base, chain.root / TUNED / adapter).merge_and_unload()
        moved = 0
        for name, value in by_peft.state_dict().items():
            rows = slice(0, len(value))
            torch.testing.assert_close(state[prefix + name][rows], value, rtol=1e-6, atol=1e-6)
            moved += not torch.equal(value, before[name])
        # The last layer of the vision tower is not looked at, and nothing reaches it in training.
        assert moved == {"llm": 14, "vision": 12}[part]


def test_the_projector_is_renamed_and_nothing_else(chain, merged):
    state = load_file(merged / "model-00001-of-00001.safetensors")
    projector = load_file(chain.root / TUNED / "projector/model.safetensors")
    for theirs, own in merged_weights.PROJECTOR.items():
        assert torch.equal(state[theirs], projector[own])


def test_half_precision_is_rounded_once(chain, merged):
    tokens, name = tokens_of(merged), "language_model.model.layers.0.mlp.up_proj.weight"
    halves = merged_weights.opened(chain.root / MODELS, chain.root / TUNED, tokens, "float16")
    base = load_file(chain.root / MODELS / "llm/model.safetensors")
    lora = load_file(chain.root / TUNED / "llm_adapter/adapter_model.safetensors")
    first, second = (
        lora[f"base_model.model.model.layers.0.mlp.up_proj.lora_{letter}.weight"].double()
        for letter in "AB"
    )
    exact = base["model.layers.0.mlp.up_proj.weight"].half().double() + second @ first
    tensor = shards.Tensor(name, tuple(exact.shape), "float16")
    found = torch.frombuffer(bytearray(b"".join(halves.pieces(tensor))), dtype=torch.float16)
    apart = (found.reshape(exact.shape).double() - exact).abs()
    assert (apart <= exact.abs() * 2**-11 + 1e-6).all()
    assert (found.reshape(exact.shape) != exact.half()).float().mean() < 1e-3, "ties in fp32"


def test_several_files_hold_the_same_and_the_same_bytes_come_again(chain, merged, tmp_path, recipe):
    tokens = tokens_of(merged)
    settings = merged_files.config(recipe, chain.root / MODELS, tokens, "gelu")
    tensors = merged_weights.tensors(settings, "float32")
    merging = merged_weights.opened(chain.root / MODELS, chain.root / TUNED, tokens, "float32")
    hashes = shards.write(tmp_path, tensors, merging.pieces, int, most=500_000)
    assert len(hashes) > 3
    assert all((tmp_path / name).stat().st_size < 520_000 for name in hashes)
    shutil.copy(merged / "config.json", tmp_path)
    whole, parts = (HfLlava.from_pretrained(folder).state_dict() for folder in (merged, tmp_path))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    name = "model-00001-of-00001.safetensors"
    again = shards.write(tmp_path, tensors, merging.pieces, int)
    assert again[name] == StepLock(merged / "lock.json").hashes()[name]


def test_tied_matrices_are_written_once(chain, merged, recipe):
    settings = merged_files.config(recipe, chain.root / MODELS, tokens_of(merged), "gelu")
    names = {tensor.name for tensor in merged_weights.tensors(settings, "float32")}
    settings.text_config.tie_word_embeddings = True
    tied = {tensor.name for tensor in merged_weights.tensors(settings, "float32")}
    assert names - tied == {"language_model.lm_head.weight"}


def test_tokens_that_the_base_lacks_are_never_answered(merged, theirs):
    model, processor = theirs
    given = merged_use.inputs(picture(60, 40), "What?", model, processor)
    with torch.inference_mode():
        logits = model(**given).logits[0, -1]
    added = [model.config.image_token_index, *range(model.config.pad_token_id, len(logits))]
    others = torch.tensor([token for token in range(len(logits)) if token not in added])
    assert len(added) == 576 - 557
    assert logits[added].max() < logits[others].max()
    torch.testing.assert_close(logits[added], logits[others].mean().expand(len(added)))


# --- refusals ---


def test_an_adapter_of_another_base_is_refused(chain, tuned, tmp_path):
    models = shutil.copytree(chain.root / MODELS, tmp_path / "m")
    path = models / "llm/model.safetensors"
    state = load_file(path)
    wide = {"model.layers.1.mlp.up_proj.weight": torch.zeros(512, 128)}
    save_file({**state, **wide}, path, metadata={"format": "pt"})
    error = refused(chain, tuned, models)
    assert error.name == "other-base"
    assert "layers.1.mlp.up_proj.lora_B.weight [256, 64] is not in the base" in error.why


@pytest.mark.parametrize("change", ["lost", "more", "rank"])
def test_an_adapter_that_is_not_whole_is_refused(chain, tuned, change):
    folder = tuned / "visual_encoder_adapter"
    path = folder / "adapter_model.safetensors"
    state = {name: value.clone() for name, value in load_file(path).items()}
    if change == "lost":
        del state[sorted(state)[0]]
    elif change == "more":
        state["base_model.model.vision_model.post.lora_A.weight"] = torch.zeros(1, 1)
    else:
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, "r": 8}))
    save_file(state, path)
    assert refused(chain, tuned).name == "other-base"


@pytest.mark.parametrize(
    "name", ["llm_adapter", "visual_encoder_adapter", "projector/model.safetensors"]
)
def test_what_was_not_converted_is_said(chain, tuned, name):
    path = tuned / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert refused(chain, tuned).name == "not-converted"


def test_a_projector_that_llava_cannot_hold_is_refused(chain, tuned):
    from xtuner.model.modules import ProjectorConfig, ProjectorModel

    three = ProjectorModel(ProjectorConfig(visual_hidden_size=64, llm_hidden_size=128, depth=3))
    three.save_pretrained(tuned / "projector", safe_serialization=True)
    error = refused(chain, tuned)
    assert error.name == "not-llava"
    assert "model.4.weight" in error.what()


def test_a_projector_of_other_widths_is_refused(chain, tuned):
    path = tuned / "projector/model.safetensors"
    state = {**load_file(path), "model.0.weight": torch.zeros(128, 32)}
    save_file(state, path, metadata={"format": "pt"})
    assert refused(chain, tuned).name == "projector-shape"


def test_a_base_without_a_tensor_is_refused_and_nothing_stays(chain, request):
    models = shutil.copytree(chain.root / MODELS, chain.root / "models/torn")
    request.addfinalizer(lambda: shutil.rmtree(models))
    path = models / "llm/model.safetensors"
    state = load_file(path)
    del state["model.norm.weight"]
    save_file(state, path, metadata={"format": "pt"})
    done = chain.step("merge", "--weights", "models/torn", "--tuned", TUNED, "--out", "runs/r/no")
    assert done.error.id == "weights.missing"
    assert "model.norm.weight" in done.error.why
    assert not list((chain.root / "runs/r").glob("*no*"))
    assert not list((chain.root / "runs/r").glob(".no*"))


# --- prompts ---


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


# --- pixels ---


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


# --- what the folder says of itself, and the check ---


def readme(tmp_path, **weights):
    raw = {**recipes.load(TUTORIAL).resolved(), "rehearsal": None}
    raw["weights"] = {**raw["weights"], **weights}
    merged_readme.write(recipes.parse(raw, origin="test"), "tutorial-0a1b2c3d", tmp_path)
    return (tmp_path / "README.md").read_text()


def test_what_derives_from_llama_3_carries_its_terms(tmp_path):
    text = readme(tmp_path)
    assert "# Llama 3 LLaVA (tutorial-0a1b2c3d)" in text
    assert (
        "META LLAMA 3 COMMUNITY LICENSE AGREEMENT, https://llama.meta.com/llama3/license/" in text
    )
    assert "Built with Meta Llama 3." in text
    assert "license: llama3" in text
    assert "modelscope" in text.lower()
    notice = (tmp_path / "NOTICE").read_text()
    assert notice.startswith("Meta Llama 3 is licensed under the Meta Llama 3 Community License")


@pytest.mark.parametrize(
    ("name", "is_llama_3"),
    [
        ("META LLAMA 3 COMMUNITY LICENSE AGREEMENT", True),
        ("Llama 3", True),
        ("LLAMA 3.1 COMMUNITY LICENSE AGREEMENT", False),
        ("Apache-2.0", False),
    ],
)
def test_other_terms_are_named_and_no_more(tmp_path, name, is_llama_3):
    llm = recipes.load(TUTORIAL).resolved()["weights"]["llm"]
    llm["licence"] = {"name": name, "address": "https://example.com/terms"}
    text = readme(tmp_path, llm=llm)
    assert f"{name}, https://example.com/terms" in text
    assert ("Built with Meta Llama 3." in text) == is_llama_3
    assert (tmp_path / "NOTICE").exists() == is_llama_3


def test_of_a_folder_of_the_user_s_only_the_name_is_told(tmp_path):
    text = readme(tmp_path, llm={"source": "path", "path": "/home/somebody/models/My-Llama"})
    assert "My-Llama, a folder of the user's" in text
    assert "somebody" not in text
    assert "names no licence" in text
    assert not (tmp_path / "NOTICE").exists()


def test_the_readme_shows_code_that_runs(merged):
    text = (merged / "README.md").read_text()
    blocks = [part.partition("```")[0] for part in text.split("```python\n")[1:]]
    assert len(blocks) == 3
    assert "nobody's terms bind it" in text
    for block in blocks:
        compile(block, "README.md", "exec")
    place = {}
    exec(blocks[2], place)  # noqa: S102 - what its reader does
    model, processor = place["load"](merged.as_posix())
    assert place["answer"](picture(30, 20), "What?", model, processor, most=3) is not None


CHECK = ("--weights", MODELS, "--data", "data/d", "--tuned", TUNED)


def test_the_check_finds_the_model_that_was_trained(chain, merged):
    chain.must("check_merged", *CHECK, "--merged", MERGED, "--out", "runs/r/merged.json")
    content = chain.json("runs/r/merged.json")
    assert (content["pixels"], content["same_texts"]) == (0.0, True)
    assert content["logits"] <= content["tolerance"] < 1e-4
    assert content["transformers"] == "4.40.1"
    after = {row["image"]: row for row in chain.json("runs/r/answers.json")["answers"]}
    assert len(content["rows"]) == 6
    for row in content["rows"]:
        assert row["same_prompt"]
        assert row["merged"] == row["kit"] == after[row["image"]]["answer"]
    assert StepLock(chain.root / "runs/r/merged.lock.json").check(chain.key).fresh


def test_the_check_refuses_another_model_and_says_how_far_it_is(chain, merged, request):
    wrong = shutil.copytree(merged, chain.root / "runs/r/wrong")
    request.addfinalizer(lambda: shutil.rmtree(wrong))
    path = wrong / "model-00001-of-00001.safetensors"
    state = load_file(path)
    base = load_file(chain.root / MODELS / "vision/model.safetensors")
    state.update({merged_weights.VISION + name: value for name, value in base.items()})
    save_file(state, path, metadata={"format": "pt"})
    done = chain.step("check_merged", *CHECK, "--merged", "runs/r/wrong", "--out", "runs/r/w.json")
    assert done.error.id == "step.merged-differs"
    assert "logits differ by up to" in done.error.what()
    assert chain.json("runs/r/w.json")["logits"] > 0.1
    assert not (chain.root / "runs/r/w.lock.json").exists()


def test_a_model_in_half_precision_may_differ_by_its_own_roundings(chain, new_bench, recipe):
    train = recipe.train.model_copy(update={"llm_dtype": "float16"})
    here = new_bench(chain.root, run="runs/half")
    (chain.root / "runs/half/logs").mkdir(parents=True)
    resolved = recipe.model_copy(update={"train": train}).resolved()
    write_json(chain.root / "runs/half/recipe.json", resolved)
    folder = ("--weights", MODELS, "--tuned", TUNED, "--out", "runs/half/merged")
    here.must("merge", *folder)
    here.must("check_merged", *CHECK, "--merged", "runs/half/merged",
              "--out", "runs/half/merged.json")  # fmt: skip
    content = chain.json("runs/half/merged.json")
    assert 1e-4 < content["logits"] < content["tolerance"] / 5
    assert content["same_texts"]
    state = load_file(chain.root / "runs/half/merged/model-00001-of-00001.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float16}


def seen(**other):
    same = {"pixels": torch.zeros(1, 3, 2, 2), "ids": [0, -1, 3], "text": "a",
            "logits": torch.tensor([1.0, 2.0, 3.0])}  # fmt: skip
    return check_merged.Seen(**{**same, **other})


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({}, []),
        ({"text": "b"}, []),
        ({"pixels": torch.full((1, 3, 2, 2), 0.01)}, ["pixel values differ by up to 0.01"]),
        ({"pixels": torch.zeros(1, 3, 4, 4)}, ["pixel values differ by up to inf"]),
        ({"pixels": torch.full((1, 3, 2, 2), torch.nan)}, ["pixel values differ by up to inf"]),
        ({"ids": [0, 0, -1, 3]}, ["the token ids of 1 prompts differ"]),
        ({"logits": torch.tensor([1.0, 2.0, 3.01, 9.0])}, ["logits differ by up to 0.01"]),
        ({"logits": torch.tensor([1.0, 2.0, torch.nan])}, ["logits differ by up to inf"]),
        ({"logits": torch.tensor([1.0, 7.0, 3.0, 9.0]), "added": (1, 3)}, []),
    ],
)
def test_what_differs_is_told_by_name_and_words_alone_are_no_failure(recipe, other, said):
    pairs = [("a.png", "What?")]
    result = check_merged.compared(pairs, [seen()], [seen(**other)], recipe)
    found = check_merged.problems(result)
    assert len(found) == len(said)
    assert all(word in text for word, text in zip(said, found, strict=True))
    assert result["same_texts"] == ("text" not in other)
