"""The merged model's README.md and NOTICE: what it is, how it is used, what binds who shares it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from string import Template
from typing import Any

from llavakit.artefact import Artefact, Licence, title
from llavakit.parts import Given
from llavakit.recipe import Recipe

TESTED = "Transformers 5.24.0 and 4.57.6 with torch 2.14.1, with the recipe `tiny`, on a CPU"
"""By scripts/check_merged_current.py."""
NOTICE = (
    "Meta Llama 3 is licensed under the Meta Llama 3 Community License, "
    "Copyright © Meta Platforms, Inc. All Rights Reserved.\n"
)
"""The attribution that the licence (1.b.iii) wants in a text file of this name."""
LLAMA_TERMS = """\
Built with Meta Llama 3.

Whoever shares this model, or a service that uses it, must, by the Meta Llama 3 Community License
(section 1.b): pass on a copy of that agreement; show "Built with Meta Llama 3" prominently on a
related website, user interface, blog post, about page or documentation; begin the model's name with
"Llama 3"; keep the file NOTICE; and follow Meta's Acceptable Use Policy. The agreement itself
counts, not this summary."""

_TEXT = Template("""\
---
library_name: transformers
pipeline_tag: image-text-to-text
$front---
# $name

LLaVA, merged by llavakit: the language model and the vision tower with what their LoRA adapters
learned, and the projector, in $dtype. Tensors, configs and a tokenizer; no code.

- run: `$run`, of the recipe `$recipe` ($summary)
- language model: $llm
- vision tower: $vision

## Licence
$terms

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
Versions without LlavaImageProcessor (4.46.3, say) need the same two steps; others were not tried.
""")
_CROPPED = """\
Without `backend="pil"` torchvision resizes the pictures: pixels differ by up to one of 255 steps.
Transformers 5 leaves blanks before punctuation in answers, which 4.40.1 takes out."""
_PADDED = f"""\
{_CROPPED}
Other programs must do the same: pad the picture to a square of the mean colour, then resize; CLIP's
own processor resizes and crops, and shows the model another picture than it was trained on."""


def write(recipe: Recipe, run: str, folder: Path) -> None:
    """Write README.md and, where the base is a Llama 3 by its licence, NOTICE."""
    licence = licence_of(recipe)
    llama = licence is not None and is_llama_3(licence)
    text = _TEXT.substitute(
        name=f"{'Llama 3 ' if llama else ''}LLaVA ({run})",
        front="license: llama3\n" if llama else "",
        recipe=recipe.name,
        summary=recipe.summary,
        dtype=recipe.train.llm_dtype,
        run=run,
        llm=_origin(recipe.weights.llm),
        vision=_origin(recipe.weights.vision),
        terms=_terms(recipe, licence),
        tested=TESTED,
        pixels=_PADDED if recipe.train.pad_to_square else _CROPPED,
        current=_source("merged_use_current"),
        pinned=_source("merged_use"),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    if llama:
        (folder / "NOTICE").write_text(NOTICE, encoding="utf-8")


def licence_of(recipe: Recipe) -> Licence | None:
    """The terms of the language model, as far as the recipe names them."""
    return recipe.weights.llm.licence if isinstance(recipe.weights.llm, Artefact) else None


def is_llama_3(licence: Licence) -> bool:
    """Llama 3.1 and its followers have other words in their terms."""
    return re.search(r"\bllama 3(?!\.\d)", licence.name, re.IGNORECASE) is not None


def _terms(recipe: Recipe, licence: Licence | None) -> str:
    if licence is not None:
        terms = f"The language model's: {licence.name}, {licence.address}"
        return f"{terms}\n\n{LLAMA_TERMS}" if is_llama_3(licence) else terms
    if isinstance(recipe.weights.llm, Artefact | Given):
        return (
            "The recipe names no licence. Those of the base models hold for this one too: look "
            "them up before you share it. What derives from Meta Llama 3 carries its terms "
            '("Built with Meta Llama 3", a NOTICE file, a name that begins with "Llama 3").'
        )
    return "The language model was drawn from a seed by the kit: nobody's terms bind it."


def _origin(part: Any) -> str:
    if isinstance(part, Artefact):
        return f"{part.name} ({'; '.join(map(title, part.sources))})"
    if isinstance(part, Given):
        return f"{Path(part.path).name}, a folder of the user's"
    return "drawn from the recipe's seed"


def _source(module: str) -> str:
    """A module's code, from its first import on."""
    text = Path(inspect.getfile(write)).with_name(f"{module}.py").read_text(encoding="utf-8")
    return text[text.index("from typing") :].strip()
