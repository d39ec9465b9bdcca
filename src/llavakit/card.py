"""A model card: what a trained model is, what it cannot do, what binds who shares it, how it is
used. One text for both who write it: the merge step, which knows the recipe, and `invoke export`,
which knows the record too and puts the run's figures in.

Its head is Hugging Face's front matter. English only: hubs show it to everybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import yaml

from llavakit import card_terms
from llavakit.artefact import Artefact, HuggingFace, ModelScope, title
from llavakit.markdown import escaped, quoted
from llavakit.parts import Given
from llavakit.recipe import Recipe

FILE_NAME = "README.md"
TESTED = "Transformers 5.24.0 and 4.57.6 with torch 2.14.1, with the recipe `tiny`, on a CPU"
"""By scripts/check_merged_current.py."""
STEPS = Path(__file__).parent / "steps"

_TEXT = Template("""\
---
$front---
# $name

$what

- run: $run, of the recipe $recipe
- language model: $llm
- vision tower: $vision
- projector: $projector

## What it cannot do
$limits

$figures

## Licence
$terms

$use
$pins""")
_MERGED = """\
LLaVA, merged by llavakit: the language model and the vision tower with what their LoRA adapters
learned, and the projector, in {dtype}. Tensors, configs and a tokenizer; no code."""
_APART = """\
LLaVA, fine-tuned by llavakit with XTuner 0.1.18: LoRA adapters of the language model and of the
vision tower, and the projector. Without the base models they are no model."""
_NO_FIGURES = """\
`invoke export` writes this card with the run's figures, scores and answers in it: put that one in
the place of this one in the copy that you share."""
_USE_APART = """\
## Use
`invoke ask` and `invoke chat` of llavakit ask it; `invoke merge` makes one folder of it that plain
Transformers loads."""
_USE_MERGED = Template("""\
## Use with a current Transformers
Tested: $tested. `AutoProcessor` and
`LlavaForConditionalGeneration` find everything by themselves:
```python
$current
```
```python
model, processor = load("path/to/this/folder", device_map="cuda")
print(answer(Image.open("picture.jpg"), "Describe this image.", model, processor))
```
$pixels

## Use with Transformers 4.40.1, the version that it was trained with
That version cannot pad pictures, and its `AutoProcessor` does not know the newer settings in
`processor_config.json` (it ends in a TypeError): load the two parts, and pad before.
```python
$pinned
```
Versions without LlavaImageProcessor (4.46.3, say) need the same two steps; others were not
tried.""")
_CROPPED = """\
Without `backend="pil"` torchvision resizes the pictures: pixels differ by up to one of 255 steps.
Transformers 5 leaves blanks before punctuation in answers, which 4.40.1 takes out."""
_PADDED = f"""\
{_CROPPED}
Other programs must do the same: pad the picture to a square of the mean colour, then resize; CLIP's
own processor resizes and crops, and shows the model another picture than it was trained on."""


def text(
    recipe: Recipe, run: str, *, merged: bool, figures: str = "", pins: str = "",
    results: Sequence[Mapping[str, Any]] = (),
) -> str:  # fmt: skip
    """The card of a run's model. ``merged``: it is one folder for Transformers.

    ``figures`` and ``pins`` are Markdown, what strangers wrote in it escaped; ``results`` are those
    of Hugging Face's ``model-index``.
    """
    weights = recipe.weights
    name = f"{'Llama 3 ' if card_terms.derives_from_llama_3(recipe) else ''}LLaVA ({run})"
    return _TEXT.substitute(
        front=_yaml(front_matter(recipe, name, merged=merged, results=results)),
        name=escaped(name),
        what=_MERGED.format(dtype=recipe.train.llm_dtype) if merged else _APART,
        run=quoted(run),
        recipe=f"{quoted(recipe.name)} ({escaped(recipe.summary)})",
        llm=escaped(_origin(weights.llm)),
        vision=escaped(_origin(weights.vision)),
        projector=escaped(_origin(weights.projector)),
        figures=figures.strip() or _NO_FIGURES,
        limits=card_terms.limits(recipe),
        terms=card_terms.terms(recipe),
        use=_use(recipe) if merged else _USE_APART,
        pins=f"\n{pins.strip()}\n" if pins else "",
    )


def front_matter(
    recipe: Recipe, name: str, *, merged: bool, results: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """What hubs read. A key whose value nobody knows is not there."""
    found: dict[str, Any] = {
        **card_terms.front_matter(recipe),
        "library_name": "transformers" if merged else "xtuner",
        "pipeline_tag": "image-text-to-text",
        "base_model": base_models(recipe),
        "datasets": _repositories(recipe.data.download, HuggingFace),
        "tags": ["llava", "xtuner", "llavakit"],
    }
    if results:
        found["model-index"] = [{"name": name, "results": [dict(each) for each in results]}]
    return {key: value for key, value in found.items() if value}


def base_models(recipe: Recipe) -> list[str]:
    """Repositories of the language model and of the vision tower, by Hugging Face's name where the
    recipe knows one. None without the language model's: the other alone would be the wrong base.
    """
    llm, vision = (
        _repositories(part, HuggingFace) or _repositories(part, ModelScope)
        for part in (recipe.weights.llm, recipe.weights.vision)
    )
    return [*llm[:1], *vision[:1]] if llm else []


def _repositories(part: Any, hub: type[HuggingFace] | type[ModelScope]) -> list[str]:
    sources = part.sources if isinstance(part, Artefact) else ()
    return [source.repository for source in sources if isinstance(source, hub)]


def _yaml(value: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=1000))


def _origin(part: Any) -> str:
    if isinstance(part, Artefact):
        return f"{part.name} ({'; '.join(map(title, part.sources))})"
    if isinstance(part, Given):
        return f"{Path(part.path).name}, a folder of the user's"
    return "drawn from the recipe's seed"


def _use(recipe: Recipe) -> str:
    return _USE_MERGED.substitute(
        tested=TESTED,
        pixels=_PADDED if recipe.train.pad_to_square else _CROPPED,
        current=_source("merged_use_current"),
        pinned=_source("merged_use"),
    )


def _source(module: str) -> str:
    """A step's code as text, from its first import on."""
    code = (STEPS / f"{module}.py").read_text(encoding="utf-8")
    return code[code.index("from typing") :].strip()
